"""Reviews: what people said of a version, before and apart from any request to release it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

from headwater.access.approvals import record_decision
from headwater.errors import InvalidInputError
from headwater.model import documents
from headwater.model.registry import read_version
from headwater.operation import operation
from headwater.project import Project

if TYPE_CHECKING:
    from headwater.ledger import Tx

_PREFIX = "review:"


class Review(msgspec.Struct, frozen=True, kw_only=True):
    """A person's word on a model version; ``roles`` are those held when it was said."""

    id: str
    version: str
    by: str
    claimed: bool
    roles: tuple[str, ...]
    decision: Literal["approve", "reject"]
    reason: str
    at: int

    @property
    def ref(self) -> str:
        """The text that names this review in the lineage."""
        return f"approval:{self.id}"


@operation("release.review", needs="release:approve")
def review_version(project: Project, version: str, decision: Literal["approve", "reject"], reason: str) -> Review:
    """Record what a person thinks of a model version, and return it; the gate ``reviewer`` reads it.

    It asks for no release and moves nothing. Of several reviews by one person the last counts.

    Raises:
        InvalidInputError: there is no reason.
        NotFoundError: there is no such version.
    """
    if not reason.strip():
        raise InvalidInputError("a review needs a reason: whoever reads it later will ask what was looked at.")
    with project.ledger.write() as tx:
        wanted = read_version(tx, version)
        ref = record_decision(
            tx,
            project.actor,
            decision,
            reason,
            request=_PREFIX + tx.new_id(),
            subject=wanted.ref,
            about={"model": wanted.model, "version": wanted.id},
        )
        return next(each for each in read_reviews(tx, wanted.ref) if each.ref == ref)


@operation("release.reviews", needs="release:read")
def list_reviews(project: Project, version: str) -> list[Review]:
    """Return what people said of a model version, oldest first.

    Raises:
        NotFoundError: there is no such version.
    """
    with project.ledger.read() as tx:
        return read_reviews(tx, read_version(tx, version).ref)


def read_reviews(tx: Tx, subject: str) -> list[Review]:
    """Return the reviews of a subject (``modelversion:…``), oldest first, within a transaction."""
    refs = [each.child for each in tx.children_of(subject) if each.role == "subject"]
    found = [each.removeprefix("approval:") for each in refs if each.startswith("approval:")]
    rows = tx.all_in(
        "SELECT id, request, person, claimed, roles, decision, reason, at FROM approvals WHERE id IN (??)", found
    )
    reviews = [
        Review(
            id=row.id,
            version=subject.removeprefix("modelversion:"),
            by=row.person,
            claimed=bool(row.claimed),
            roles=tuple(documents.parse(row.roles)),
            decision=row.decision,
            reason=row.reason,
            at=row.at,
        )
        for row in rows
        if row.request.startswith(_PREFIX)
    ]
    return sorted(reviews, key=lambda each: (each.at, each.id))

"""Requests, decisions and releases as rows of the ledger, and back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import msgspec

from headwater.errors import NotFoundError
from headwater.model import documents

from .values import Approval, GateResult, Release, ReleaseRequest

if TYPE_CHECKING:
    from headwater.ledger import Row, Tx

REQUEST = (
    "id, model, version, number, channel, kind, reason, requested_by, claimed, requested_at, needs, replaces, status, "
    "why, gates, lacks"
)
RELEASE = (
    "id, seq, model, channel, version, number, previous, previous_number, kind, request, person, claimed, reason, "
    "released_at, gates"
)
_APPROVAL = "id, request, person, claimed, roles, decision, reason, at"


def read_request(tx: Tx, request: str) -> ReleaseRequest:
    """Return a request with its decisions.

    Raises:
        NotFoundError: there is none of that id.
    """
    identifier = request.removeprefix("request:")
    row = tx.one(f"SELECT {REQUEST} FROM release_requests WHERE id = ?", (identifier,))
    if row is None:
        raise NotFoundError(
            f"there is no release request '{identifier}'. 'hw release requests' shows them.", request=identifier
        )
    return requests_of(tx, [row])[0]


def requests_of(tx: Tx, rows: Sequence[Row]) -> list[ReleaseRequest]:
    """Return the values of request rows, each with its decisions and the release it led to."""
    decisions = approvals_of(tx, [row.id for row in rows])
    led_to = {
        row.request: row.id
        for row in tx.all_in("SELECT id, request FROM releases WHERE request IN (??)", [row.id for row in rows])
    }
    return [
        ReleaseRequest(
            id=row.id,
            model=row.model,
            version=row.version,
            number=row.number,
            channel=row.channel,
            kind=row.kind,
            status=row.status,
            reason=row.reason,
            requested_by=row.requested_by,
            claimed=bool(row.claimed),
            requested_at=row.requested_at,
            needs=row.needs,
            lacks=tuple(documents.parse(row.lacks)),
            why=row.why,
            replaces=row.replaces,
            gates=gates_of(row.gates),
            approvals=decisions.get(row.id, ()),
            release=led_to.get(row.id),
        )
        for row in rows
    ]


def releases_of(tx: Tx, rows: Sequence[Row]) -> list[Release]:
    """Return the values of release rows, each with the approvals of its request."""
    decisions = approvals_of(tx, [row.request for row in rows if row.request])
    return [
        Release(
            id=row.id,
            model=row.model,
            channel=row.channel,
            version=row.version,
            number=row.number,
            kind=row.kind,
            by=row.person,
            claimed=bool(row.claimed),
            reason=row.reason,
            released_at=row.released_at,
            previous=row.previous,
            previous_number=row.previous_number,
            request=row.request,
            approvals=decisions.get(row.request, ()),
            gates=gates_of(row.gates),
        )
        for row in rows
    ]


def approvals_of(tx: Tx, requests: Iterable[str]) -> dict[str, tuple[Approval, ...]]:
    """Return the decisions on each request, in the order they were made."""
    found: dict[str, list[Approval]] = {}
    for row in tx.all_in(f"SELECT {_APPROVAL} FROM approvals WHERE request IN (??)", requests):
        found.setdefault(row.request, []).append(
            Approval(
                id=row.id,
                request=row.request,
                by=row.person,
                claimed=bool(row.claimed),
                decision=row.decision,
                reason=row.reason,
                at=row.at,
                roles=tuple(documents.parse(row.roles)),
            )
        )
    return {request: tuple(sorted(each, key=lambda a: (a.at, a.id))) for request, each in found.items()}


def gates_of(text: str) -> tuple[GateResult, ...]:
    """Return gate results from their JSON."""
    return msgspec.convert(documents.parse(text), tuple[GateResult, ...])

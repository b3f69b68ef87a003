"""Whether everything is what it says: bytes, events, the chain, the lake, and every reference between facts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from headwater import lake
from headwater.errors import InvalidInputError
from headwater.ledger.chain import verify_chain
from headwater.ledger.packs import LOST
from headwater.objects.findings import Finding
from headwater.operation import operation
from headwater.project import Project

from .describing import KINDS
from .losing import accepted_losses

if TYPE_CHECKING:
    from headwater.ledger import Tx

_PAGE = 500
_DIGEST = re.compile("[0-9a-f]{64}")
_NAMED_OBJECTS = {
    "model_files": ("SELECT digest, 'modelversion:' || version AS owner FROM model_files", "a file of"),
    "references": (
        "SELECT reference AS digest, 'modelversion:' || id AS owner FROM model_versions WHERE reference IS NOT NULL",
        "the training profile of",
    ),
    "proofs": ("SELECT proof AS digest, 'pull:' || id AS owner FROM pulls WHERE proof IS NOT NULL", "the proof of"),
    "states": (
        "SELECT state_object AS digest, 'pull:' || id AS owner FROM pulls WHERE state_object IS NOT NULL",
        "where the next pull goes on after",
    ),
    "deliveries": (
        "SELECT object AS digest, 'source:webhook:' || source || ', delivery ' || delivery AS owner "
        "FROM webhook_deliveries",
        "a delivery to",
    ),
    "artefacts": ("SELECT digest, 'run:' || run AS owner FROM artefacts", "an artefact of"),
}
"""Facts that name objects, apart from the lake's, which checks its own."""


@operation("trace.verify", needs="trace:read")
def verify(project: Project, head: str | None = None) -> list[Finding]:
    """Return what is wrong with the project; nothing wrong, nothing returned.

    Checked are every object by its digest, every event by its checksum, the chain of governance link by link, every
    dataset's manifests and names, and every reference from one fact to another. ``head`` is ``SEQ:HASH`` of the chain
    as it was kept elsewhere: with it even a history rewritten by the database's owner is seen.

    Raises:
        InvalidInputError: the head is not written ``SEQ:HASH``.
    """
    kept = parse_head(head)
    return [*_accepted(project, [*_stores(project), *lake.verify(project), *_ledger(project, kept)])]


def _accepted(project: Project, found: list[Finding]) -> Iterator[Finding]:
    """Yield the findings, those that name an object whose loss somebody accepted as notes, and each such loss."""
    with project.ledger.read() as tx:
        lost = {row.ref.partition(":")[2] for row in tx.all("SELECT ref FROM gone WHERE how = ?", (LOST,))}
        losses = accepted_losses(tx)
    for each in found:
        if lost.intersection(_DIGEST.findall(f"{each.what} {each.message}")):
            message = f"{each.message} This loss was accepted."
            yield Finding(kind=each.kind, what=each.what, message=message, severity="note")
        else:
            yield each
    for loss in losses:
        named = "what it took is not named yet: accept its loss again" if loss.objects is None else loss.objects
        message = (
            f"pack {loss.pack} ({loss.entries} objects, needed: {named}) is lost for good; {loss.by} accepted that on "
            f"{datetime.fromtimestamp(loss.at / 1e6, UTC):%Y-%m-%d}: {loss.why}."
        )
        yield Finding(kind="loss", what=f"pack:{loss.pack}", message=message, severity="note")


def parse_head(text: str | None) -> tuple[int, str] | None:
    """Return the seq and hash of a head written ``SEQ:HASH``."""
    if text is None:
        return None
    seq, _, link = text.partition(":")
    if not seq.isdigit() or len(link) != 64:
        raise InvalidInputError(f"'{text}' is no head of the chain: it is written SEQ:HASH.", head=text)
    return int(seq), link


def _stores(project: Project) -> Iterator[Finding]:
    yield from project.objects.verify()
    yield from project.events.verify()


def _ledger(project: Project, head: tuple[int, str] | None) -> Iterator[Finding]:
    with project.ledger.read() as tx:
        yield from _pages(project, tx)
        yield from verify_chain(tx, head)
        yield from _edges(tx)
        yield from _channels(tx)
        yield from _named_objects(project, tx)


def _pages(project: Project, tx: Tx) -> Iterator[Finding]:
    """Yield what SQLite finds wrong with the structure of its file; Postgres checks its own pages."""
    for row in tx.all("PRAGMA integrity_check(20)") if project.ledger.dialect == "sqlite" else ():
        if row[0] != "ok":
            message = f"the ledger's file is damaged: {row[0]}. Copy it aside as it is, then restore the last backup."
            yield Finding(kind="ledger", what=project.ledger.where, message=message, severity="error")


def _edges(tx: Tx) -> Iterator[Finding]:
    """Yield edges that name a fact which is not there, from either side."""
    for kind, what in KINDS.items():
        prefix = f"{kind}:"
        for side, other in (("parent", "child"), ("child", "parent")):
            rows = tx.stream(
                f"SELECT e.{side} AS named, e.role, e.{other} AS other FROM edges e "
                f"WHERE e.{side} >= ? AND e.{side} < ? AND NOT EXISTS "
                f"(SELECT 1 FROM {what.table} t WHERE t.id = substr(e.{side}, {len(prefix) + 1}))",
                (prefix, f"{kind};"),
            )
            for row in rows:
                message = f"{row.other} names {row.named} ({row.role}), which is not recorded."
                yield Finding(kind="reference", what=row.named, message=message, severity="error")


def _channels(tx: Tx) -> Iterator[Finding]:
    for pointer in tx.pointers("channel"):
        if tx.one("SELECT 1 AS one FROM model_versions WHERE id = ?", (pointer.head,)) is None:
            message = f"channel '{pointer.name}' points to model version {pointer.head}, which is not recorded."
            yield Finding(kind="reference", what=f"channel:{pointer.name}", message=message, severity="error")


def _named_objects(project: Project, tx: Tx) -> Iterator[Finding]:
    for sql, said in _NAMED_OBJECTS.values():
        page: dict[str, str] = {}
        for row in tx.stream(sql):
            page[row.digest] = row.owner
            if len(page) >= _PAGE:
                yield from _missing(project, page, said)
                page = {}
        yield from _missing(project, page, said)


def _missing(project: Project, named: dict[str, str], said: str) -> Iterator[Finding]:
    odd = [digest for digest in named if not _DIGEST.fullmatch(digest)]
    absent = [*odd, *project.objects.missing([each for each in named if each not in odd], rely=False)]
    with project.ledger.read() as tx:
        gone = {row.ref for row in tx.all_in("SELECT ref FROM gone WHERE ref IN (??)", [f"object:{d}" for d in absent])}
    for digest in absent:
        if f"object:{digest}" in gone:
            continue
        message = f"the object {digest}, {said} {named[digest]}, is not in the store."
        yield Finding(kind="reference", what=f"object:{digest}", message=message, severity="error")

"""Heads of the chain and of the branches, kept beside the data and where the ledger's owner cannot reach them.

A checkpoint is an object of its own, created and never changed: where the ledger is lost, the versions come back from
their records, and branches and tags as the newest checkpoint has them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from headwater.canonical import encode
from headwater.durable import crash_point
from headwater.ledger import Head
from headwater.objects.collecting import Mark, holder
from headwater.operation import operation
from headwater.project import Project

if TYPE_CHECKING:
    from headwater.ledger import Tx

FORMAT = "headwater.checkpoint/1"
_KINDS = ("branch", "tag", "channel")
_KEPT = 10


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """A head of the chain with the names of that moment. ``digest`` is that of its object; ``at`` UTC microseconds."""

    digest: str
    project: str
    seq: int
    hash: str
    at: int
    names: int


@operation("trace.head", needs="trace:read")
def export_head(project: Project) -> Head:
    """Return the newest link of the chain: project, number, hash and time; ``verify`` takes it back as SEQ:HASH.

    A head kept elsewhere shows a history rewritten since, even by whoever owns the database.
    """
    return project.ledger.export_head()


@operation("trace.checkpoint", needs="data:write")
def write_checkpoint(project: Project) -> Checkpoint:
    """Write the head of the chain, every branch, tag and channel, and the versions' numbers as an object.

    Nothing is written when the newest checkpoint says the same. A ``[[triggers]]`` table with
    ``operation = "trace.checkpoint"`` writes one after each release, or every hour.
    """
    with project.ledger.read() as tx:
        head = project_head(tx)
        body = _body(tx, head)
    digest = project.objects.put(encode(body))
    crash_point("trace.checkpoint.durable")
    with project.ledger.write() as tx:
        tx.execute(
            "INSERT INTO checkpoints (digest, seq, at) VALUES (?, ?, ?) ON CONFLICT (digest) DO NOTHING",
            (digest, head.seq, tx.now),
        )
        at = tx.value("SELECT at FROM checkpoints WHERE digest = ?", (digest,))
    return Checkpoint(
        digest=digest, project=head.project, seq=head.seq, hash=head.hash, at=at, names=len(body["pointers"])
    )


def project_head(tx: Tx) -> Head:
    """Return the head of the chain in this snapshot."""
    from headwater.ledger.chain import head_of

    return head_of(tx)


def _body(tx: Tx, head: Head) -> dict[str, Any]:
    numbers: dict[str, list[list[Any]]] = {}
    moved = [0]
    for row in tx.stream("SELECT dataset, number, id, created_at FROM versions ORDER BY dataset, number"):
        numbers.setdefault(row.dataset, []).append([row.number, row.id])
        moved.append(row.created_at)
    pointers = [[kind, p.name, p.head, p.moved_at] for kind in _KINDS for p in tx.pointers(kind)]
    meta = tx.one("SELECT name FROM ledger_meta")
    return {
        "format": FORMAT,
        "project": head.project,
        "name": meta.name if meta is not None else "",
        "seq": head.seq,
        "hash": head.hash,
        "at": max([head.at, *moved, *(each[3] for each in pointers)]),
        "pointers": [each[:3] for each in pointers],
        "numbers": numbers,
        "descriptions": {row.name: row.description for row in tx.all("SELECT name, description FROM datasets")},
    }


@holder("trace", floor=60, speaks_for=("checkpoints",))
def mark_checkpoints(plan: Any, tx: Tx, mark: Mark) -> None:
    """Keep the newest checkpoints; older ones say nothing that they do not."""
    rows = tx.all("SELECT digest, at FROM checkpoints ORDER BY at DESC, seq DESC")
    mark.keep([row.digest for row in rows[:_KEPT]], "checkpoints of heads")
    for row in rows[_KEPT:]:
        mark.free(f"checkpoint:{row.digest}", "newer checkpoints say the same", [row.digest])

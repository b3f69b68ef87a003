"""What is known of an announced fact: the attributes that triggers match and fill in."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .filling import has, looked_up

if TYPE_CHECKING:
    from headwater.ledger import Row, Tx

# Where the fact that a ref names has its row. The columns of the row are the attributes, so that what a room
# records can be matched without this floor knowing the room.
_TABLES = {
    "alarm": "alarms",
    "approval": "approvals",
    "evidence": "evidence",
    "job": "jobs",
    "modelversion": "model_versions",
    "question": "questions",
    "release": "releases",
    "request": "release_requests",
    "run": "runs",
    "verdict": "verdicts",
    "version": "versions",
}
_LONGEST = 4096


def attributes_of(tx: Tx, fact: Row) -> dict[str, Any]:
    """Return what is known of an announcement ``(seq, kind, ref, at)``.

    Always ``event`` (its kind), ``ref``, ``seq`` and ``at``; then, from the row of what it names, every short column.
    For a branch or a tag: ``dataset``, ``name`` and ``version``, where it points now.
    """
    kind, _, name = fact.ref.partition(":")
    found = _pointer(tx, kind, name) if kind in ("branch", "tag") else _row(tx, kind, name)
    return {**found, "event": fact.kind, "ref": fact.ref, "seq": fact.seq, "at": fact.at}


def matches(wanted: Mapping[str, str], attributes: Mapping[str, Any]) -> bool:
    """Tell whether each wanted attribute is there and fits; a dotted name is a field of one.

    ``*`` and ``?`` are wildcards, case counts.
    """
    return all(
        has(name, attributes) and fnmatch.fnmatchcase(_text(looked_up(name, attributes)), pattern)
        for name, pattern in wanted.items()
    )


def _text(value: Any) -> str:
    return str(int(value)) if isinstance(value, bool) else str(value)


def _row(tx: Tx, kind: str, identifier: str) -> dict[str, Any]:
    table = _TABLES.get(kind)
    if table is None:
        return {}
    row = tx.one(f"SELECT * FROM {table} WHERE id = ?", (identifier,))
    if row is None:
        return {}
    return {
        name: value
        for name, value in row.as_dict().items()
        if value is not None and not isinstance(value, bytes) and len(str(value)) <= _LONGEST
    }


def _pointer(tx: Tx, kind: str, name: str) -> dict[str, Any]:
    dataset, _, label = name.rpartition("/")
    return {"dataset": dataset, "name": label, "version": tx.pointer(kind, name) or ""}

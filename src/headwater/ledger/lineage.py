"""Edges and announcements: what came from what, and what others may react to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from .rows import Row

if TYPE_CHECKING:
    from .transaction import Tx, WriteTx

COUNTER = "announcements"


def edges(tx: WriteTx, rows: Iterable[tuple[str, str, str]]) -> None:
    """Record edges ``(child, role, parent)``; those known already stay as they are."""
    tx.executemany("INSERT INTO edges (child, role, parent) VALUES (?, ?, ?) ON CONFLICT DO NOTHING", rows)


def edges_of(tx: Tx, ref: str) -> list[Row]:
    """Return ``(role, parent)`` of what this ref came from, in order."""
    return tx.all("SELECT role, parent FROM edges WHERE child = ? ORDER BY role, parent", (ref,))


def children_of(tx: Tx, ref: str) -> list[Row]:
    """Return ``(role, child)`` of what came from this ref, in order."""
    return tx.all("SELECT role, child FROM edges WHERE parent = ? ORDER BY role, child", (ref,))


def announce(tx: WriteTx, kind: str, ref: str) -> int:
    """Record an announcement and return its seq.

    The counter's row stays locked until the commit, so a higher seq never becomes visible before a lower one:
    a follower that remembers the last seq it saw misses none.
    """
    seq = tx.next(COUNTER)
    tx.insert("announcements", seq=seq, kind=kind, ref=ref, at=tx.now)
    return seq


def announcements_since(tx: Tx, seq: int, kinds: Sequence[str] | None = None, limit: int = 1000) -> list[Row]:
    """Return ``(seq, kind, ref, at)`` of what was announced after ``seq``, in order, at most ``limit``."""
    if kinds is None:
        return tx.all("SELECT seq, kind, ref, at FROM announcements WHERE seq > ? ORDER BY seq LIMIT ?", (seq, limit))
    if not kinds:
        return []
    marks = ", ".join("?" * len(kinds))
    return tx.all(
        f"SELECT seq, kind, ref, at FROM announcements WHERE kind IN ({marks}) AND seq > ? ORDER BY seq LIMIT ?",
        (*kinds, seq, limit),
    )

"""Pointers: names that move by compare-and-swap and keep every move they made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import ConflictError
from .rows import Row
from .values import after_prefix

if TYPE_CHECKING:
    from .transaction import Tx, WriteTx


def pointer(tx: Tx, kind: str, name: str) -> str | None:
    """Return where a pointer points, or None."""
    head: str | None = tx.value("SELECT head FROM pointers WHERE kind = ? AND name = ?", (kind, name))
    return head


def pointers(tx: Tx, kind: str, prefix: str = "") -> list[Row]:
    """Return ``(name, head, moved_at)`` of the pointers whose names begin with ``prefix``, by name."""
    sql, params = "SELECT name, head, moved_at FROM pointers WHERE kind = ? AND name >= ?", [kind, prefix]
    beyond = after_prefix(prefix)
    if beyond is not None:
        sql, params = f"{sql} AND name < ?", [*params, beyond]
    return tx.all(f"{sql} ORDER BY name", params)


def pointer_as_of(tx: Tx, kind: str, name: str, at: int) -> str | None:
    """Return where a pointer pointed at the time ``at``, or None."""
    head: str | None = tx.value(
        "SELECT new FROM pointer_moves WHERE kind = ? AND name = ? AND at <= ? ORDER BY seq DESC LIMIT 1",
        (kind, name, at),
    )
    return head


def pointer_history(tx: Tx, kind: str, name: str) -> list[Row]:
    """Return ``(seq, old, new, at, by, why)`` of each move, first to last."""
    return tx.all(
        "SELECT seq, old, new, at, by, why FROM pointer_moves WHERE kind = ? AND name = ? ORDER BY seq", (kind, name)
    )


def move_pointer(
    tx: WriteTx, kind: str, name: str, *, expected: str | None, new: str, why: str = "", by: str = ""
) -> None:
    """Move a pointer from ``expected`` to ``new`` and record the move; ``expected`` None creates it."""
    if expected is None:
        moved = _create(tx, kind, name, new)
    else:
        # A clock set back must not put a move before the one it followed: as-of questions go by this time.
        moved = tx.one(
            "UPDATE pointers SET head = ?, moves = moves + 1,"
            " moved_at = CASE WHEN moved_at > ? THEN moved_at ELSE ? END"
            " WHERE kind = ? AND name = ? AND head = ? RETURNING moves, moved_at",
            (new, tx.now, tx.now, kind, name, expected),
        )
    if moved is None:
        raise _moved_already(tx, kind, name, expected)
    _record(tx, kind, name, (moved.moves, expected, new, moved.moved_at, by, why))


def remove_pointer(tx: WriteTx, kind: str, name: str, *, expected: str, why: str = "", by: str = "") -> None:
    """Remove a pointer that still points to ``expected``; the move is recorded with no new head."""
    last = tx.one(
        "DELETE FROM pointers WHERE kind = ? AND name = ? AND head = ? RETURNING moves + 1 AS moves, moved_at",
        (kind, name, expected),
    )
    if last is None:
        raise _moved_already(tx, kind, name, expected)
    _record(tx, kind, name, (last.moves, expected, None, max(tx.now, last.moved_at), by, why))


def _create(tx: WriteTx, kind: str, name: str, new: str) -> Row | None:
    return tx.one(
        "INSERT INTO pointers (kind, name, head, moves, moved_at)"
        " SELECT ?, ?, ?, COALESCE(MAX(seq), 0) + 1,"
        " CASE WHEN MAX(at) > ? THEN MAX(at) ELSE ? END FROM pointer_moves WHERE kind = ? AND name = ?"
        " ON CONFLICT (kind, name) DO NOTHING RETURNING moves, moved_at",
        (kind, name, new, tx.now, tx.now, kind, name),
    )


def _record(tx: WriteTx, kind: str, name: str, move: tuple[int, str | None, str | None, int, str, str]) -> None:
    seq, old, new, at, by, why = move
    tx.insert("pointer_moves", kind=kind, name=name, seq=seq, old=old, new=new, at=at, by=by, why=why)


def _moved_already(tx: Tx, kind: str, name: str, expected: str | None) -> ConflictError:
    head = pointer(tx, kind, name)
    if head is None:
        said = f"the {kind} '{name}' does not exist: it was removed, or never made"
    else:
        said = f"the {kind} '{name}' points to '{head}'"
    wanted = "it was to be created" if expected is None else f"it was to move from '{expected}'"
    return ConflictError(
        f"{said}, but {wanted}: somebody was first. Look at it again, then decide.",
        kind=kind,
        name=name,
        head=head,
        expected=expected,
    )

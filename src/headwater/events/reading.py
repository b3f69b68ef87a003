"""Readers of sealed events: which seals each of them took, whatever becomes of the seals afterwards.

A reader is a line of takes, numbered from 1; take 0 is what it skipped when it began. It stands at a number of its
line, which it keeps itself, beside what it made of the events. Whoever goes back to an older number (a branch goes on
from an older version, a pull was overtaken) reads what came after it again, in a line of its own.

No event is lost to a reader and none comes twice:

- an acknowledged event is in the tail or in one seal in force, and one transaction moves it (``sealing.py``);
- a write transaction has the ledger to itself (SQLite has one writer at a time; on Postgres a lock is taken before
  anything is looked at, and each statement sees what was committed before). So of replacing and taking the same seals
  one comes first. If the replacing does, ``take`` finds a seal that is not in force and records nothing. If the taking
  does, ``carry`` finds it and hands it on in the transaction that replaces;
- no seal takes the place of one that a line has and of one that it has not (``carry`` refuses, gathering groups so).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from headwater.errors import ConflictError

from .tail import Seal, seal_of

if TYPE_CHECKING:
    from headwater.ledger import Tx, WriteTx

PARTLY = 1 << 62
"""The last take of a seal of which a line has some of what was gathered into it, and will take the rest."""

_WITH_TAKES = (
    "SELECT s.id, s.stream, s.schema, s.digest, s.bytes, s.rows, s.first_at, s.last_at, s.sealed_at, r.first_take, "
    "r.last_take FROM seals s LEFT JOIN event_reads r ON r.line = ? AND r.seal = s.id "
)


class Piece(NamedTuple):
    """A seal that a line has not taken. ``top`` is the seal in force that its rows are in: itself, as a rule.

    It is another one where a reader went back, and what it had at that time was gathered with what it had not.
    """

    seal: Seal
    top: str


def list_unread(tx: Tx, stream: str, line: str, number: int) -> list[Piece]:
    """Return what a line that stands at a number has not taken of a stream, what was sealed first first.

    Raises:
        ConflictError: the line went back, and what it had can no longer be told from what it had not.
    """
    rows = tx.all(
        f"{_WITH_TAKES} WHERE s.stream = ? AND s.replaced_by IS NULL AND (r.last_take IS NULL OR r.last_take > ?)",
        (line, stream, number),
    )
    pieces = [piece for row in rows for piece in _pieces(tx, row, row.id, line, number)]
    return sorted(pieces, key=lambda piece: piece.seal.id)


def went_on(tx: Tx, line: str, number: int) -> bool:
    """Tell whether a line has takes after a number: whoever stands there went back, and needs a line of its own."""
    sql = "SELECT 1 FROM event_reads WHERE line = ? AND last_take > ? AND last_take < ? LIMIT 1"
    return tx.value(sql, (line, number, PARTLY)) is not None


def fork(tx: WriteTx, line: str, number: int, new: str) -> None:
    """Begin a line that has what another one had at a number."""
    tx.execute(
        "INSERT INTO event_reads (line, seal, first_take, last_take) SELECT ?, seal, first_take, "
        "CASE WHEN last_take <= ? THEN last_take ELSE ? END FROM event_reads WHERE line = ? AND first_take <= ?",
        (new, number, PARTLY, line, number),
    )


def take(tx: WriteTx, line: str, number: int, pieces: Sequence[Piece]) -> bool:
    """Record that a line took seals; False, and nothing is recorded, where one is no longer in force.

    Raises:
        ConflictError: the line has one of them already.
    """
    tops = {piece.top for piece in pieces}
    in_force = tx.all_in("SELECT id FROM seals WHERE replaced_by IS NULL AND id IN (??)", sorted(tops))
    if {row.id for row in in_force} != tops:
        return False
    columns = ("line", "seal", "first_take", "last_take")
    tx.insert_many("event_reads", columns, [(line, piece.seal.id, number, number) for piece in pieces])
    partly = "WHERE r.line = ? AND r.last_take = ?"
    for row in tx.all(f"{_WITH_TAKES} {partly}", (line, line, PARTLY)):
        if not _pieces(tx, row, row.id, line, number):
            sql = "UPDATE event_reads SET last_take = ? WHERE line = ? AND seal = ?"
            tx.execute(sql, (number, line, row.id))
    return True


def carry(tx: WriteTx, replaced: Sequence[str], made: str) -> None:
    """Give the seal that takes the place of others to each line that has those.

    The rows of the replaced stay: they tell apart what was gathered, for a reader that goes back.

    Raises:
        ConflictError: a line has some of them and not the others.
    """
    found: dict[str, list[tuple[int, int]]] = {}
    for row in tx.all_in("SELECT line, first_take, last_take FROM event_reads WHERE seal IN (??)", replaced):
        found.setdefault(row.line, []).append((row.first_take, row.last_take))
    for line, takes in found.items():
        if len(takes) != len(replaced):
            raise ConflictError(
                f"a reader took {len(takes)} of {len(replaced)} seals that were to become one: look again."
            )
        first, last = min(each[0] for each in takes), max(each[1] for each in takes)
        tx.insert("event_reads", line=line, seal=made, first_take=first, last_take=last)


def lines_of(tx: Tx, seals: Sequence[str]) -> dict[str, frozenset[str]]:
    """Return the lines that have each of some seals; those that none has are left out."""
    found: dict[str, frozenset[str]] = {}
    for row in tx.all_in("SELECT seal, line FROM event_reads WHERE seal IN (??)", seals):
        found[row.seal] = found.get(row.seal, frozenset()) | {row.line}
    return found


def _pieces(tx: Tx, row: Any, top: str, line: str, number: int) -> list[Piece]:
    """Return a seal that the line has not, or what it has not of those gathered into it."""
    if row.first_take is None or row.first_take > number:
        return [Piece(seal_of(row), top)]
    inner = tx.all(f"{_WITH_TAKES} WHERE s.replaced_by = ?", (line, row.id))
    if len(inner) < 2:  # not gathered: written anew without some of its rows or cells, which must not come back
        raise indistinct(row.stream, row.id)
    return [
        piece
        for each in inner
        if each.last_take is None or each.last_take > number
        for piece in _pieces(tx, each, top, line, number)
    ]


def indistinct(stream: str, seal: str) -> ConflictError:
    """Return the error for rows of which it cannot be told any more whether a reader had them."""
    return ConflictError(
        f"the reader of stream '{stream}' was set back to where it stood before, and since then what it had read was "
        f"put into one object with what it had not (seal {seal}), which then was rewritten or collected: they cannot "
        "be told apart. Set the branch to the version that the last pull made, or declare the source with another "
        "dataset, which reads all events anew.",
        stream=stream,
        seal=seal,
    )

"""Giving up results to make room, the cheapest to compute again first, and looking whether they come back the same.

Of a collected result the row stays, with the digest of what it was. When the same call is computed again, the two
digests are compared and the outcome is recorded; a step whose result came back otherwise is told to its run, and
nothing of that step is given up to make room again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from .saving import OBJECT, Part

if TYPE_CHECKING:
    from headwater.ledger import Tx, WriteTx

    from .memory import Remembered

COLLECTED = 2
"""The value of ``results.broken`` of a result whose bytes were collected; 1 is one that was found damaged."""


class Candidate(NamedTuple):
    """A result as a budget sees it: its objects with their bytes, what computing it again costs, whether it may go."""

    id: str
    step: str
    sizes: dict[str, int]
    seconds: float
    spare: bool


class Choice(NamedTuple):
    """What a budget decides: the results that go, and the bytes of those that stay."""

    going: list[Candidate]
    left_bytes: int


def candidate_of(row: Any, spare: bool) -> Candidate:
    """Return the candidate of a row of ``results``."""
    parts = msgspec.json.decode(row.parts, type=list[Part])
    sizes = {part.stored or part.digest: part.size for part in parts if part.format != OBJECT}
    return Candidate(row.id, row.step, sizes, row.seconds, spare)


def choose(results: Iterable[Candidate], budget_bytes: int) -> Choice:
    """Return which results to give up until the rest fits: fewest seconds per byte first, then the larger.

    An object that several results share goes when all of them do, so it counts for the last.
    """
    results = list(results)
    holders: dict[str, int] = {}
    sizes: dict[str, int] = {}
    for each in results:
        sizes.update(each.sizes)
        for digest in each.sizes:
            holders[digest] = holders.get(digest, 0) + 1
    left = sum(sizes.values())
    spare = [each for each in results if each.spare and each.sizes]
    spare.sort(key=lambda each: (each.seconds / max(1, sum(each.sizes.values())), -sum(each.sizes.values()), each.id))
    going: list[Candidate] = []
    for each in spare:
        if left <= budget_bytes:
            break
        going.append(each)
        for digest, size in each.sizes.items():
            holders[digest] -= 1
            left -= 0 if holders[digest] else size
    return Choice(going, left)


def unsteady_steps(tx: Tx) -> set[str]:
    """Return the steps of which a result that was made again was not the same."""
    return {row.step for row in tx.all("SELECT DISTINCT step FROM remade WHERE same = 0")}


def note_remade(tx: WriteTx, made: Sequence[Remembered]) -> dict[str, str]:
    """Compare results with collected ones of the same call and reads; return a sentence for each that differs, by id.

    To be called before the new results are written.
    """
    by_key = {each.result.static_key: each for each in made if each.result.static_key}
    rows = tx.all_in(
        "SELECT id, static_key, output, reads, created_at FROM results WHERE broken = 2 AND static_key IN (??) "
        "ORDER BY created_at",
        list(by_key),
    )
    earlier = {}
    for row in rows:
        new = by_key[row.static_key]
        if msgspec.json.encode(new.result.reads).decode() == row.reads:
            earlier[new.result.id] = (row, new)
    said = {}
    for identifier, (row, new) in earlier.items():
        same = row.output == new.result.output
        tx.insert("remade", result=identifier, earlier=row.id, step=new.result.step, same=int(same), at=tx.now)
        if not same:
            said[identifier] = (
                f"made again after it was collected, its result is {new.result.output[:12]}…, and was "
                f"{row.output[:12]}…: the step does not give the same each time. Give it a seed, or mark it impure."
            )
    return said

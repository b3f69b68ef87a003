"""How long cards are kept, and how an erasure reaches them: as the results and tasks that left them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from headwater.lake.collecting import Plan
from headwater.lake.erasing import Effect, Erasing, eraser
from headwater.objects.collecting import Mark, holder
from headwater.track.holding import kept_runs

if TYPE_CHECKING:
    from headwater.ledger import Tx


@holder("cards", floor=34, speaks_for=("cards",))
def mark_cards(plan: Plan, tx: Tx, mark: Mark) -> None:
    """Keep the cards of results that are kept, and of tasks of kept runs."""
    kept = kept_runs(plan, tx, mark)
    going = {ref for ref, _ in mark.going}
    runs = {f"task:{row.id}": row.run for row in tx.stream("SELECT id, run FROM tasks WHERE result IS NULL")}
    for row in tx.stream("SELECT owner, digest FROM cards ORDER BY owner, position"):
        stays = row.owner not in going if row.owner.startswith("result:") else runs.get(row.owner) in kept
        if stays:
            mark.keep([row.digest], "cards of steps whose results or runs are kept")
        elif not mark.holds(row.digest):
            mark.free(row.owner, "its retention is over", [row.digest])


@eraser("cards")
def erase_cards(erasing: Erasing, act: bool) -> Iterator[Effect]:
    """Take away cards that hold something of the subject."""
    with erasing.project.ledger.read() as tx:
        rows = tx.all("SELECT owner, position, digest FROM cards ORDER BY owner, position")
    for row in rows:
        if row.digest not in erasing.holding:
            continue
        yield Effect(store="cards", what=f"card {row.position} of {row.owner}", how="dropped")
        if act:
            with erasing.project.ledger.write() as tx:
                tx.execute("DELETE FROM cards WHERE owner = ? AND position = ?", (row.owner, row.position))

"""What the event log holds in the object store: the Parquet objects that its seals list."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from headwater.objects.collecting import Mark, holder

if TYPE_CHECKING:
    from headwater.ledger import Tx


@holder("events", floor=5, speaks_for=("seals", "event_reads", "sealed_segments", "event_tail"))
def mark_seals(plan: Any, tx: Tx, mark: Mark) -> None:
    """Keep every seal in force; a seal that a larger one replaced need not be kept."""
    replaced = []
    for row in tx.stream("SELECT id, digest, stream, replaced_by FROM seals ORDER BY id"):
        if row.replaced_by is None:
            mark.keep([row.digest], "sealed events")
        else:
            replaced.append(row)
    for row in replaced:
        if not mark.holds(row.digest):
            mark.free(f"seal:{row.id}", f"events of '{row.stream}', gathered into a larger object", [row.digest])

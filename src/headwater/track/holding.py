"""What runs hold: their artefacts, and the versions that they read, for as long as runs are kept."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec

from headwater.lake.collecting import Plan, ancestors
from headwater.objects.collecting import Mark, holder

if TYPE_CHECKING:
    from headwater.ledger import Tx


def kept_runs(plan: Plan, tx: Tx, mark: Mark) -> dict[str, str]:
    """Return the ids of the runs whose bytes are kept, with the reason."""
    kept = {ref.partition(":")[2]: why for ref, why in mark.pinned.items() if ref.startswith("run:")}
    for row in tx.all("SELECT ref, why FROM holds WHERE released_at IS NULL AND ref LIKE 'run:%'"):
        kept.setdefault(row.ref.partition(":")[2], f"held: {row.why}")
    for row in tx.stream("SELECT id, status, ended_at FROM runs WHERE shelf <> 2"):
        if row.status == "running":
            kept.setdefault(row.id, "runs under way")
        elif (row.ended_at or 0) >= plan.runs_before:
            kept.setdefault(row.id, "runs within retention")
    return kept


@holder("track", floor=30, speaks_for=("artefacts", "runs", "run_params", "run_tags", "run_removals"))
def mark_runs(plan: Plan, tx: Tx, mark: Mark) -> None:
    """Keep the artefacts of kept runs and pin what they read; the artefacts of the others need not be kept."""
    kept = kept_runs(plan, tx, mark)
    by_why: dict[str, list[str]] = {}
    for run, why in kept.items():
        by_why.setdefault(why, []).append(f"run:{run}")
    for why, runs in by_why.items():
        mark.pin([ref for ref in ancestors(tx, runs, past_versions=False) if ref.startswith("version:")], why)
    going: dict[str, list[str]] = {}
    for run, digests in _texts(tx):
        if run in kept:
            mark.keep(digests, kept[run])
        else:
            going.setdefault(run, []).extend(digests)
    for row in tx.stream("SELECT run, digest FROM artefacts ORDER BY run"):
        if row.run in kept:
            mark.keep([row.digest], kept[row.run])
        else:
            going.setdefault(row.run, []).append(row.digest)
    for run, digests in going.items():
        mark.free(f"run:{run}", "its retention is over", [each for each in digests if not mark.holds(each)])


def _texts(tx: Tx) -> Iterator[tuple[str, list[str]]]:
    """Yield each run with the digests of the texts that its environment names."""
    for row in tx.stream("SELECT id, environment FROM runs ORDER BY id"):
        environment = msgspec.json.decode(row.environment, type=dict[str, str])
        digests = [environment[name] for name in ("diff", "packages") if name in environment]
        if digests:
            yield row.id, digests

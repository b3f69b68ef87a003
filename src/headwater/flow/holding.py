"""What flows hold: remembered results and code snapshots, for as long as a run that used them is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from headwater.lake.collecting import Plan
from headwater.objects.collecting import Mark, holder
from headwater.track.holding import kept_runs

from .saving import Part

if TYPE_CHECKING:
    from headwater.ledger import Tx


@holder("flow", floor=35, speaks_for=("results", "tasks", "snapshots", "ingredients"))
def mark_results(plan: Plan, tx: Tx, mark: Mark) -> None:
    """Keep the results and the code of kept runs; results of no kept run need not be kept."""
    kept = kept_runs(plan, tx, mark)
    used: dict[str, str] = {}
    for row in tx.stream("SELECT run, result FROM tasks WHERE result IS NOT NULL"):
        if row.run in kept:
            used.setdefault(row.result, kept[row.run])
    going = []
    for row in tx.stream("SELECT id, step, parts, broken, created_at FROM results ORDER BY id"):
        digests = [part.stored or part.digest for part in msgspec.json.decode(row.parts, type=list[Part])]
        if row.id in used:
            mark.keep(digests, used[row.id])
        elif row.created_at >= plan.runs_before:
            mark.keep(digests, "results within retention")
        elif not row.broken:
            going.append((row, digests))
    for row, digests in going:
        why = f"result of {row.step}, whose runs are beyond their retention"
        mark.free(f"result:{row.id}", why, [each for each in digests if not mark.holds(each)])
    _mark_snapshots(plan, tx, mark, kept)


def _mark_snapshots(plan: Plan, tx: Tx, mark: Mark, kept: dict[str, str]) -> None:
    codes = {row.code: kept[row.id] for row in tx.stream("SELECT id, code FROM runs") if row.id in kept}
    for row in tx.all("SELECT digest, manifest, created_at FROM snapshots"):
        why = codes.get(row.digest) or ("results within retention" if row.created_at >= plan.runs_before else "")
        if plan.project.objects.missing([row.manifest], rely=False):
            continue  # its runs' retention ended before
        listed = msgspec.json.decode(plan.project.objects.get(row.manifest), type=list[tuple[str, str]])
        digests = [row.manifest, *(digest for _, digest in listed)]
        if why:
            mark.keep(digests, why)
        else:
            left = [each for each in digests if not mark.holds(each)]
            mark.free(f"snapshot:{row.digest}", "code of runs beyond their retention", left)

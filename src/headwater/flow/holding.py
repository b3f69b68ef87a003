"""What flows hold: remembered results and code snapshots, for as long as a run that used them is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from headwater.errors import GoneError
from headwater.lake.collecting import Plan
from headwater.objects.collecting import Mark, holder
from headwater.track.holding import kept_runs

from . import card_keeping as _cards  # noqa: F401  # registers what cards hold
from .remaking import candidate_of, choose, unsteady_steps
from .saving import Part

if TYPE_CHECKING:
    from headwater.ledger import Tx


_SPARE = ("runs within retention", "results within retention")


@holder("flow", floor=35, speaks_for=("results", "tasks", "snapshots", "ingredients", "remade", "run_files"))
def mark_results(plan: Plan, tx: Tx, mark: Mark) -> None:
    """Keep the results and the code of kept runs; results of no kept run need not be kept.

    Where the plan says how many bytes results may have, those go too that only the retention of runs keeps.
    """
    kept = kept_runs(plan, tx, mark)
    used: dict[str, str] = {}
    for row in tx.stream("SELECT run, result FROM tasks WHERE result IS NOT NULL"):
        if row.run in kept and used.get(row.result, _SPARE[0]) in _SPARE:
            used[row.result] = kept[row.run]
    given_up = _give_up(plan, tx, used, mark)
    going = []
    for row in tx.stream("SELECT id, step, parts, broken, created_at FROM results ORDER BY id"):
        digests = [part.stored or part.digest for part in msgspec.json.decode(row.parts, type=list[Part])]
        if row.id in given_up:
            going.append((row, digests))
        elif row.id in used:
            mark.keep(digests, used[row.id])
        elif row.created_at >= plan.runs_before:
            mark.keep(digests, "results within retention")
        elif not row.broken:
            going.append((row, digests))
    for row, digests in going:
        why = f"result of {row.step}, whose runs are beyond their retention"
        if row.id in given_up:
            why = f"result of {row.step}, given up to make room: {given_up[row.id]:.1f} s to compute again"
            mark.costs[f"result:{row.id}"] = given_up[row.id]
        mark.free(f"result:{row.id}", why, [each for each in digests if not mark.holds(each)])
    _mark_snapshots(plan, tx, mark, kept)
    for row in tx.stream("SELECT run, digest FROM run_files ORDER BY run"):
        if row.run in kept:
            mark.keep([row.digest], kept[row.run])
        elif not mark.holds(row.digest):
            mark.free(f"run:{row.run}", "its retention is over", [row.digest])


def _give_up(plan: Plan, tx: Tx, used: dict[str, str], mark: Mark) -> dict[str, float]:
    """Return the results that make room, each with the seconds that computing it again takes."""
    if plan.results_to_bytes is None:
        return {}
    unsteady = unsteady_steps(tx)
    found, stay = [], set()
    for row in tx.stream("SELECT id, static_key, step, parts, seconds FROM results WHERE broken = 0"):
        spare = used.get(row.id, _SPARE[1]) in _SPARE and bool(row.static_key) and row.step not in unsteady
        one = candidate_of(row, spare)
        if spare and any(mark.holds(digest) for digest in one.sizes):
            one = one._replace(spare=False)  # somebody else needs its bytes
        if row.step in unsteady:
            stay.add(row.step)
        found.append(one)
    choice = choose(found, plan.results_to_bytes)
    mark.notes += [f"results of {step} stay: made again, one was not the same as before" for step in sorted(stay)]
    if choice.left_bytes > plan.results_to_bytes:
        mark.notes.append(f"results of {choice.left_bytes:,} bytes stay, because something needs them")
    return {each.id: each.seconds for each in choice.going}


def _mark_snapshots(plan: Plan, tx: Tx, mark: Mark, kept: dict[str, str]) -> None:
    codes = {row.code: kept[row.id] for row in tx.stream("SELECT id, code FROM runs") if row.id in kept}
    for row in tx.all("SELECT digest, manifest, created_at FROM snapshots"):
        why = codes.get(row.digest) or ("results within retention" if row.created_at >= plan.runs_before else "")
        try:
            listed = msgspec.json.decode(plan.project.objects.get(row.manifest), type=list[tuple[str, str]])
        except GoneError:  # its runs' retention ended before; what is missing for another reason stops the collection
            continue
        digests = [row.manifest, *(digest for _, digest in listed)]
        if why:
            mark.keep(digests, why)
        else:
            left = [each for each in digests if not mark.holds(each)]
            mark.free(f"snapshot:{row.digest}", "code of runs beyond their retention", left)

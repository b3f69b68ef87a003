"""Deleting runs that nobody wants any longer: their parameters, points, lines, files, results and code."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from headwater.flow.removing import remove_tasks
from headwater.operation import operation
from headwater.project import Project
from headwater.track.listing import chosen_runs
from headwater.track.shelving import batches, remove_events, remove_facts

if TYPE_CHECKING:
    from headwater.ledger import Tx

# What descends from a run, however far: a model version made of its results or of data that it wrote.
_DESCENDANTS = """
WITH RECURSIVE down (root, ref) AS (
    SELECT 'run:' || r.id, 'run:' || r.id FROM runs r WHERE r.id IN ({marks})
    UNION SELECT d.root, e.child FROM edges e JOIN down d ON e.parent = d.ref
) SELECT root, min(ref) AS ref FROM down WHERE ref LIKE 'modelversion:%' GROUP BY root
"""


class KeptRun(msgspec.Struct, frozen=True, kw_only=True):
    """A run that was not deleted, and why."""

    run: str
    why: str


class Deleted(msgspec.Struct, frozen=True, kw_only=True):
    """What a deletion took (or would take): runs, the rows of their streams, and which runs stay."""

    runs: tuple[str, ...]
    kept: tuple[KeptRun, ...]
    event_rows: int = 0
    done: bool = True


@operation("run.delete", needs="run:write")
def delete_runs(project: Project, runs: Sequence[str] = (), *, filter: str = "", dry_run: bool = False) -> Deleted:
    """Delete runs and what only they need; the row of each stays and says when and by whom, and so does its lineage.

    Parameters, tags, summaries, points, lines, tasks, and the results that no other run used go at once; the bytes of
    artefacts and results are freed by the next ``data.collect``. A run stays that is under way, that is held, or that
    a model version descends from.

    Raises:
        InvalidInputError: runs and a filter are given, or neither.
        NotFoundError: a run does not exist.
    """
    chosen = chosen_runs(project, runs, filter)
    gone: list[str] = []
    kept: list[KeptRun] = []
    for batch in batches(chosen):
        if dry_run:
            with project.ledger.read() as tx:
                staying = _staying(tx, batch)
        else:
            with project.ledger.write() as tx:
                staying = _staying(tx, batch)
                going = [run for run in batch if run not in staying]
                if going:
                    remove_tasks(tx, going)
                    remove_facts(tx, going, project.actor.name)
        gone += [run for run in batch if run not in staying]
        kept += [KeptRun(run=run, why=why) for run, why in staying.items()]
    rows = 0 if dry_run else remove_events(project)
    return Deleted(runs=tuple(gone), kept=tuple(kept), event_rows=rows, done=not dry_run)


def _staying(tx: Tx, runs: Sequence[str]) -> dict[str, str]:
    """Return the runs that must stay, each with the reason."""
    marks = ", ".join("?" * len(runs))
    found: dict[str, str] = {}
    for row in tx.all(f"SELECT id FROM runs WHERE status = 'running' AND id IN ({marks})", runs):
        found[row.id] = "it is under way: end it first"
    refs = [f"run:{run}" for run in runs]
    for row in tx.all(f"SELECT ref, why FROM holds WHERE released_at IS NULL AND ref IN ({marks})", refs):
        found.setdefault(row.ref.partition(":")[2], f"it is held: {row.why}")
    for row in tx.all(_DESCENDANTS.format(marks=marks), runs):
        found.setdefault(row.root.partition(":")[2], f"{row.ref} descends from it")
    return found

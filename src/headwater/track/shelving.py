"""Runs put away: archived ones are left out of lists, deleted ones leave only the row that says when and by whom."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from headwater.operation import operation

from .listing import chosen_runs
from .logs import STREAM as LOGS
from .metrics import STREAM as METRICS
from .runs import ARCHIVED, DELETED, LISTED

if TYPE_CHECKING:
    from headwater.ledger import WriteTx
    from headwater.project import Project

AT_ONCE = 500
_OF_A_RUN = ("run_params", "run_tags", "metric_summary", "metric_marks", "artefacts")


@operation("run.archive", needs="run:write")
def archive_runs(project: Project, runs: Sequence[str] = (), *, filter: str = "", archived: bool = True) -> int:
    """Leave runs out of lists, or (``archived`` False) bring them back; returns how many were moved.

    ``filter`` chooses all runs that it holds for. Nothing is lost: ``archived = true`` in a filter shows them.

    Raises:
        InvalidInputError: runs and a filter are given, or neither.
        NotFoundError: a run does not exist.
    """
    before, after = (LISTED, ARCHIVED) if archived else (ARCHIVED, LISTED)
    if filter.strip() and not archived:
        filter = f"archived = true and ({filter})"
    moved = 0
    for batch in batches(chosen_runs(project, runs, filter)):
        marks = ", ".join("?" * len(batch))
        with project.ledger.write() as tx:
            moved += tx.execute(
                f"UPDATE runs SET shelf = ?, shelved_at = ?, shelved_by = ? WHERE shelf = ? AND id IN ({marks})",
                (after, tx.now, project.actor.name, before, *batch),
            )
    return moved


def remove_facts(tx: WriteTx, runs: Sequence[str], by: str) -> None:
    """Take away what the ledger keeps of ended runs, in this transaction; the row stays and says when and by whom."""
    marks = ", ".join("?" * len(runs))
    for table in _OF_A_RUN:
        tx.execute(f"DELETE FROM {table} WHERE run IN ({marks})", runs)
    tx.execute(
        f"UPDATE runs SET shelf = ?, shelved_at = ?, shelved_by = ?, error = '', traceback = '', environment = '{{}}' "
        f"WHERE id IN ({marks})",
        (DELETED, tx.now, by, *runs),
    )
    tx.insert_many("run_removals", ("run",), [(run,) for run in runs])


def remove_events(project: Project) -> int:
    """Take the points and lines of deleted runs out of sealed events; returns how many rows went.

    A run is done with when none of its rows is left, also not in a tail that is open still.
    """
    from headwater.events.removing import remove_rows

    with project.ledger.read() as tx:
        waiting = [row.run for row in tx.all("SELECT run FROM run_removals ORDER BY run")]
    if not waiting:
        return 0
    project.events.seal(all=True)
    removed = sum(remove_rows(project, stream, "run", waiting) for stream in (METRICS, LOGS))
    for batch in batches(waiting):
        left = _with_rows(project, batch)
        done = [(run,) for run in batch if run not in left]
        with project.ledger.write() as tx:
            tx.executemany("DELETE FROM run_removals WHERE run = ?", done)
    return removed


def batches(runs: Sequence[str]) -> Iterator[Sequence[str]]:
    """Yield runs as many at once as one statement takes."""
    for start in range(0, len(runs), AT_ONCE):
        yield runs[start : start + AT_ONCE]


def _with_rows(project: Project, runs: Sequence[str]) -> set[str]:
    marks = ", ".join("?" * len(runs))
    found: set[str] = set()
    for stream in (METRICS, LOGS):
        sql = f"SELECT DISTINCT run FROM {stream} WHERE run IN ({marks})"
        found |= {row[0] for row in project.events.query(sql, list(runs), streams=[stream]).fetchall()}
    return found

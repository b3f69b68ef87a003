"""Runs that a worker executes for a job: the run belongs to the job, and goes on or ends with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headwater.jobs.fencing import ON_CANCEL, current_job
from headwater.ledger.values import escape_text
from headwater.track.liveness import host, process_mark
from headwater.track.runs import finish_run

if TYPE_CHECKING:
    from headwater.ledger import Tx, WriteTx
    from headwater.project import Project

_OF_JOB = (
    "SELECT runs.id AS id, runs.flow AS flow, runs.process AS process FROM edges "
    "JOIN runs ON 'run:' || runs.id = edges.child "
    "WHERE edges.parent = ? AND edges.role = 'job' AND runs.status = ? ORDER BY runs.id"
)


def find_waiting_run(project: Project, flow: str) -> str | None:
    """Return the run of a flow that the job in hand began before it was made to wait; None where it begins now."""
    job = current_job()
    if job is None:
        return None
    with project.ledger.read() as tx:
        found = [row.id for row in tx.all(_OF_JOB, (job, "waiting")) if row.flow == flow]
    return str(found[-1]) if found else None


def begin_for_job(tx: WriteTx, run: str) -> None:
    """Note for which job a run is executed; what the job ran before, on a worker that died, has ended with it."""
    job = current_job()
    if job is None:
        return
    here = process_mark()
    for before in tx.all(_OF_JOB, (job, "running")):
        if before.process != here:  # a flow that this one calls, or that calls it, is of this process
            finish_run(tx, before.id, "killed", f"its worker fell silent; run:{run} goes on in its place")
    tx.edge(f"run:{run}", "job", job)


def go_on(tx: WriteTx, run: str) -> None:
    """Note that a run that waited is running again, in this process."""
    tx.execute(
        "UPDATE runs SET status = 'running', ended_at = NULL, heartbeat_at = ?, host = ?, process = ?, error = '', "
        "traceback = '' WHERE id = ? AND status = 'waiting'",
        (tx.now, host(), process_mark(), run),
    )


def tasks_before(project: Project, run: str) -> frozenset[tuple[int, str]]:
    """Return the position and the result of each task that a run finished before it waited."""
    with project.ledger.read() as tx:
        rows = tx.all("SELECT position, result FROM tasks WHERE run = ? AND result IS NOT NULL", (run,))
    return frozenset((int(row.position), str(row.result)) for row in rows)


def end_with_job(tx: WriteTx, job: str, why: str) -> None:
    """End the runs of a job that was cancelled; the process that executes one hears of it within a second."""
    for run in _runs_of(tx, job, "running"):
        tx.execute(
            "INSERT INTO run_cancels (run, asked_by, reason, asked_at) VALUES (?, '', ?, ?) "
            "ON CONFLICT (run) DO NOTHING",
            (run, escape_text(why), tx.now),
        )
        finish_run(tx, run, "killed", why)
    for run in _runs_of(tx, job, "waiting"):
        tx.execute(
            "UPDATE runs SET status = 'killed', ended_at = ?, error = ? WHERE id = ?", (tx.now, escape_text(why), run)
        )
        tx.announce("run", f"run:{run}")
    tx.execute(
        "UPDATE questions SET status = 'expired', decided_at = ?, reason = ? WHERE job = ? AND status = 'waiting'",
        (tx.now, why, job),
    )


def _runs_of(tx: Tx, job: str, status: str) -> list[str]:
    return [str(row.id) for row in tx.all(_OF_JOB, (job, status))]


ON_CANCEL.append(end_with_job)

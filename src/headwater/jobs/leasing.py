"""Giving jobs to workers, and how they end.

A worker holds a job by the lease ``job:<id>``. What it records of the job, and what the job's operation records
meanwhile, commits only under the lease's current fencing number.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from headwater.errors import ConflictError
from headwater.ledger import Lease, take_lease

from .fencing import ON_CANCEL
from .limits import Limits, left_out
from .queue import lease_name, read_job
from .values import ENDED, Job

if TYPE_CHECKING:
    from headwater.ledger import Tx, WriteTx

_DUE = "status IN ('queued', 'waiting') AND run_after <= {clock}"
_LOST = (
    "SELECT jobs.id, jobs.worker, jobs.attempts, jobs.most_attempts FROM jobs "
    "JOIN leases ON leases.name = 'job:' || jobs.id WHERE jobs.status = 'running' AND leases.expires_at <= {clock}"
)


def anything_to_do(tx: Tx, labels: Sequence[str]) -> bool:
    """Tell whether a worker with these labels has a reason to open a write transaction."""
    due = f"SELECT 1 AS found FROM jobs WHERE {_DUE.format(clock=tx.clock_sql)} AND {_labelled(labels)} LIMIT 1"
    if tx.value(due, labels) is not None:
        return True
    return tx.value(f"{_LOST.format(clock=tx.clock_sql)} LIMIT 1") is not None


def take_job(
    tx: WriteTx, worker: str, labels: Sequence[str], *, ttl_s: float, limits: Limits | None = None
) -> tuple[Job, Lease] | None:
    """Give the next job to a worker: the highest priority, then the oldest, of those that no limit or pause holds up.

    None when none is due. Limits are counted in this transaction, which has the ledger to itself: two workers at once
    never exceed one together.
    """
    _give_back_lost(tx)
    condition, values = left_out(tx, limits or Limits({}, {}))
    row = tx.one(
        f"SELECT id, status FROM jobs WHERE {_DUE.format(clock=tx.clock_sql)} AND {_labelled(labels)}{condition} "
        "ORDER BY priority DESC, id LIMIT 1",
        (*labels, *values),
    )
    lease = None if row is None else take_lease(tx, lease_name(row.id), worker, ttl_s=ttl_s)
    if row is None or lease is None:
        return None
    tx.execute(
        "UPDATE jobs SET status = 'running', worker = ?, attempts = attempts + 1, heartbeat_at = ?, started_at = ?, "
        "woken = 0, error = '' WHERE id = ?",
        (worker, tx.database_now(), tx.now, row.id),
    )
    return read_job(tx, row.id), lease


def finish(tx: WriteTx, lease: Lease, *, status: str, result: bytes | None = None, error: str = "") -> None:
    """Record how a job ended, and let go of it.

    Raises:
        ConflictError: the lease was lost: the job is somebody else's, or was cancelled.
    """
    tx.fence(lease.name, lease.token)
    identifier = _end(tx, lease.name, status, result, error)
    tx.announce("job", f"job:{identifier}")


def give_back(tx: WriteTx, lease: Lease, *, delay_us: int, error: str) -> None:
    """Put a job back into the queue to be tried again; raises as ``finish``."""
    tx.fence(lease.name, lease.token)
    tx.execute(
        "UPDATE jobs SET status = 'queued', run_after = ?, error = ? WHERE id = ?",
        (tx.database_now() + delay_us, error, lease.name.removeprefix("job:")),
    )
    _release(tx, lease.name)


def park(tx: WriteTx, lease: Lease, *, until: int, result: bytes) -> None:
    """Let a job wait without a worker until it is woken, or ``until``; it costs no attempt. Raises as ``finish``.

    What woke it while a worker still had it is not forgotten: it goes back into the queue at once.
    """
    tx.fence(lease.name, lease.token)
    tx.execute(
        "UPDATE jobs SET status = CASE WHEN woken = 1 THEN 'queued' ELSE 'waiting' END, "
        "run_after = CASE WHEN woken = 1 THEN 0 ELSE ? END, attempts = attempts - 1, result = ?, worker = '' "
        "WHERE id = ?",
        (until, result, lease.name.removeprefix("job:")),
    )
    _release(tx, lease.name)


def wake(tx: WriteTx, job: str) -> None:
    """Let a job that waits go on: what it waited for has come. One that has ended stays so."""
    identifier = job.removeprefix("job:")
    tx.execute("UPDATE jobs SET status = 'queued', run_after = 0 WHERE id = ? AND status = 'waiting'", (identifier,))
    tx.execute("UPDATE jobs SET woken = 1 WHERE id = ? AND status = 'running'", (identifier,))


def cancel(tx: WriteTx, identifier: str, error: str) -> Job:
    """End a job that has not ended; what a worker still does of it cannot be recorded any more.

    Raises:
        ConflictError: it has ended.
    """
    job = read_job(tx, identifier)
    if job.status in ENDED:
        raise ConflictError(f"job {job.id} has ended already: {job.status}.", job=job.id, status=job.status)
    for ended in ON_CANCEL:
        ended(tx, job.ref, error)
    _end(tx, lease_name(job.id), "cancelled", None, error)
    tx.announce("job", job.ref)
    return read_job(tx, job.id)


def retry(tx: WriteTx, identifier: str) -> Job:
    """Queue a job again that failed or was cancelled, with all its attempts anew.

    Raises:
        ConflictError: it has not ended, or it is done.
    """
    job = read_job(tx, identifier)
    if job.status not in ("failed", "cancelled"):
        why = "it is done, and doing it twice is a new job" if job.status == "done" else f"it is {job.status}"
        raise ConflictError(
            f"job {job.id} cannot be tried again: {why}. 'hw job submit' makes a new one.",
            job=job.id,
            status=job.status,
        )
    tx.execute(
        "UPDATE jobs SET status = 'queued', attempts = 0, run_after = 0, error = '', result = NULL, ended_at = NULL, "
        "worker = '' WHERE id = ?",
        (job.id,),
    )
    return read_job(tx, job.id)


def _end(tx: WriteTx, lease: str, status: str, result: bytes | None, error: str) -> str:
    identifier = lease.removeprefix("job:")
    tx.execute(
        "UPDATE jobs SET status = ?, result = ?, error = ?, ended_at = ? WHERE id = ?",
        (status, result, error, tx.now, identifier),
    )
    # The row stays, and its number rises: a job that is tried again must not give a number to a worker that is asleep.
    _release(tx, lease)
    return identifier


def _give_back_lost(tx: WriteTx) -> None:
    """Queue the jobs of workers that fell silent again, or end those that were tried often enough."""
    for row in tx.all(_LOST.format(clock=tx.clock_sql)):
        lease = lease_name(row.id)
        died = f"worker '{row.worker}' fell silent while it ran this (attempt {row.attempts} of {row.most_attempts})"
        if row.attempts >= row.most_attempts:
            _end(tx, lease, "failed", None, f"{died}. See its log, then submit the job again.")
            tx.announce("job", f"job:{row.id}")
        else:
            tx.execute("UPDATE jobs SET status = 'queued', error = ? WHERE id = ?", (died, row.id))
            _release(tx, lease)


def _release(tx: WriteTx, lease: str) -> None:
    """Take a lease from whoever holds it: what they still record is refused."""
    tx.execute("UPDATE leases SET token = token + 1, holder = '', expires_at = 0 WHERE name = ?", (lease,))


def _labelled(labels: Sequence[str]) -> str:
    return f"label IN ('', {', '.join('?' * len(labels))})" if labels else "label = ''"

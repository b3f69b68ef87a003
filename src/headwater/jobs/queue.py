"""The jobs in the ledger: making them, giving them to workers, and how they end.

A worker holds a job by the lease ``job:<id>``. What it records of the job, and what the job's operation records
meanwhile, commits only under the lease's current fencing number.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from headwater.canonical import decode, encode
from headwater.errors import ConflictError, NotFoundError
from headwater.ledger import Lease, take_lease
from headwater.project import Actor

from .values import Job

if TYPE_CHECKING:
    from headwater.ledger import Row, Tx, WriteTx

_COLUMNS = (
    "id, operation, arguments, actor, claimed, roles, trigger_name, cause, label, priority, status, attempts, "
    "most_attempts, run_after, worker, heartbeat_at, result, error, created_at, started_at, ended_at"
)
_DUE = "status = 'queued' AND run_after <= {clock}"
_LOST = (
    "SELECT jobs.id, jobs.worker, jobs.attempts, jobs.most_attempts FROM jobs "
    "JOIN leases ON leases.name = 'job:' || jobs.id WHERE jobs.status = 'running' AND leases.expires_at <= {clock}"
)


def lease_name(job: str) -> str:
    """Return the name of the lease that holds a job."""
    return f"job:{job}"


def add_job(
    tx: WriteTx,
    *,
    operation: str,
    arguments: dict[str, Any],
    actor: Actor,
    cause: str,
    trigger: str = "",
    once: str | None = None,
    label: str = "",
    priority: int = 0,
    most_attempts: int = 3,
    delay_us: int = 0,
    error: str = "",
) -> str | None:
    """Record a job and return its id; None when ``once`` was used before. With ``error`` it has failed already."""
    identifier = tx.new_id()
    if once is not None and tx.value("SELECT id FROM jobs WHERE once = ?", (once,)) is not None:
        return None
    tx.insert(
        "jobs",
        id=identifier,
        operation=operation,
        arguments=encode(arguments),
        actor=actor.name,
        claimed=int(actor.claimed),
        roles=",".join(actor.roles),
        trigger_name=trigger,
        cause=cause,
        once=once,
        label=label,
        priority=priority,
        status="failed" if error else "queued",
        attempts=0,
        most_attempts=most_attempts,
        run_after=tx.database_now() + delay_us,
        worker="",
        heartbeat_at=None,
        result=None,
        error=error,
        created_at=tx.now,
        started_at=None,
        ended_at=tx.now if error else None,
    )
    tx.edge(lease_name(identifier), "cause", cause)
    if error:
        tx.announce("job", f"job:{identifier}")
    return identifier


def read_job(tx: Tx, identifier: str) -> Job:
    """Return a job; ``identifier`` is its id or ``job:<id>``.

    Raises:
        NotFoundError: there is none.
    """
    bare = identifier.removeprefix("job:").upper()
    row = tx.one(f"SELECT {_COLUMNS} FROM jobs WHERE id = ?", (bare,))
    if row is None:
        raise NotFoundError(f"there is no job '{identifier}'. 'hw job list' shows those there are.", job=identifier)
    return _job(row)


def page_of_jobs(tx: Tx, *, status: str | None, before: str | None, limit: int) -> list[Job]:
    """Return jobs, newest first, at most ``limit``; ``before`` is the last id of the page before."""
    given = [("status = ?", status), ("id < ?", before)]
    conditions = [condition for condition, value in given if value is not None]
    where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
    values = [value for _, value in given if value is not None]
    return [
        _job(row) for row in tx.all(f"SELECT {_COLUMNS} FROM jobs {where} ORDER BY id DESC LIMIT ?", [*values, limit])
    ]


def actor_of(tx: Tx, identifier: str) -> Actor:
    """Return who a job runs as."""
    row = tx.one("SELECT actor, claimed, roles FROM jobs WHERE id = ?", (identifier,))
    assert row is not None  # asked of a job just leased
    return Actor(name=row.actor, claimed=bool(row.claimed), roles=tuple(filter(None, row.roles.split(","))))


def anything_to_do(tx: Tx, labels: Sequence[str]) -> bool:
    """Tell whether a worker with these labels has a reason to open a write transaction."""
    due = f"SELECT 1 AS found FROM jobs WHERE {_DUE.format(clock=tx.clock_sql)} AND {_labelled(labels)} LIMIT 1"
    if tx.value(due, labels) is not None:
        return True
    return tx.value(f"{_LOST.format(clock=tx.clock_sql)} LIMIT 1") is not None


def take_job(tx: WriteTx, worker: str, labels: Sequence[str], *, ttl_s: float) -> tuple[Job, Lease] | None:
    """Give the next job to a worker: the highest priority, then the oldest. None when none is due."""
    _give_back_lost(tx)
    row = tx.one(
        f"SELECT id FROM jobs WHERE {_DUE.format(clock=tx.clock_sql)} AND {_labelled(labels)} "
        "ORDER BY priority DESC, id LIMIT 1",
        labels,
    )
    lease = None if row is None else take_lease(tx, lease_name(row.id), worker, ttl_s=ttl_s)
    if row is None or lease is None:
        return None
    tx.execute(
        "UPDATE jobs SET status = 'running', worker = ?, attempts = attempts + 1, heartbeat_at = ?, started_at = ?, "
        "error = '' WHERE id = ?",
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


def retry(tx: WriteTx, lease: Lease, *, delay_us: int, error: str) -> None:
    """Put a job back into the queue to be tried again; raises as ``finish``."""
    tx.fence(lease.name, lease.token)
    tx.execute(
        "UPDATE jobs SET status = 'queued', run_after = ?, error = ? WHERE id = ?",
        (tx.database_now() + delay_us, error, lease.name.removeprefix("job:")),
    )
    _release(tx, lease.name)


def cancel(tx: WriteTx, identifier: str, error: str) -> Job:
    """End a job that has not ended; what a worker still does of it cannot be recorded any more.

    Raises:
        ConflictError: it has ended.
    """
    job = read_job(tx, identifier)
    if job.status not in ("queued", "running"):
        raise ConflictError(f"job {job.id} has ended already: {job.status}.", job=job.id, status=job.status)
    _end(tx, lease_name(job.id), "cancelled", None, error)
    tx.announce("job", job.ref)
    return read_job(tx, job.id)


def _end(tx: WriteTx, lease: str, status: str, result: bytes | None, error: str) -> str:
    identifier = lease.removeprefix("job:")
    tx.execute(
        "UPDATE jobs SET status = ?, result = ?, error = ?, ended_at = ? WHERE id = ?",
        (status, result, error, tx.now, identifier),
    )
    # A job that ended is never leased again, so its numbers can go: without the row no fence lets anybody pass.
    tx.execute("DELETE FROM leases WHERE name = ?", (lease,))
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


def _job(row: Row) -> Job:
    return Job(
        id=row.id,
        operation=row.operation,
        arguments=decode(row.arguments),
        actor=row.actor,
        trigger=row.trigger_name,
        cause=row.cause,
        label=row.label,
        priority=row.priority,
        status=row.status,
        attempts=row.attempts,
        most_attempts=row.most_attempts,
        run_after=row.run_after,
        worker=row.worker,
        heartbeat_at=row.heartbeat_at,
        result=None if row.result is None else decode(row.result),
        error=row.error,
        created_at=row.created_at,
        started_at=row.started_at,
        ended_at=row.ended_at,
    )

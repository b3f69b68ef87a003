"""The jobs in the ledger: making and reading them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from headwater.canonical import decode, encode
from headwater.errors import NotFoundError
from headwater.project import Actor

from .values import FLOW_OPERATION, Job

if TYPE_CHECKING:
    from headwater.ledger import Row, Tx, WriteTx

_COLUMNS = (
    "id, operation, subject, arguments, actor, claimed, roles, trigger_name, cause, label, priority, status, attempts, "
    "most_attempts, run_after, worker, heartbeat_at, result, error, created_at, started_at, ended_at"
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
    waiting: bool = False,
    run_after: int = 0,
) -> str | None:
    """Record a job and return its id; None when ``once`` was used before. With ``error`` it has failed already.

    ``waiting``: it waits to be woken, at the latest at ``run_after``, the database's time.
    """
    identifier = tx.new_id()
    if once is not None and tx.value("SELECT id FROM jobs WHERE once = ?", (once,)) is not None:
        return None
    tx.insert(
        "jobs",
        id=identifier,
        operation=operation,
        subject=subject_of(operation, arguments),
        arguments=encode(arguments),
        actor=actor.name,
        claimed=int(actor.claimed),
        roles=",".join(actor.roles),
        trigger_name=trigger,
        cause=cause,
        once=once,
        label=label,
        priority=priority,
        status="failed" if error else "waiting" if waiting else "queued",
        attempts=0,
        most_attempts=most_attempts,
        run_after=run_after if waiting else tx.database_now() + delay_us,
        woken=0,
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


def subject_of(operation: str, arguments: dict[str, Any]) -> str:
    """Return what limits and pauses speak of: the ref of the flow that a job runs, else its operation."""
    return str(arguments.get("flow", operation)) if operation == FLOW_OPERATION else operation


def is_of(subject: str, name: str) -> bool:
    """Tell whether a subject is what somebody calls by a name: the flow ``flows:train`` is also called ``train``."""
    return subject == name or subject.endswith(f":{name}")


def has_open(tx: Tx, trigger: str) -> bool:
    """Tell whether a job of a trigger is not over yet."""
    sql = "SELECT 1 AS found FROM jobs WHERE trigger_name = ? AND status IN ('queued', 'running', 'waiting') LIMIT 1"
    return tx.value(sql, (trigger,)) is not None


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


def page_of_jobs(
    tx: Tx, *, status: str | None, before: str | None, limit: int, trigger: str | None = None
) -> list[Job]:
    """Return jobs, newest first, at most ``limit``; ``before`` is the last id of the page before."""
    given = [("status = ?", status), ("trigger_name = ?", trigger), ("id < ?", before)]
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


def _job(row: Row) -> Job:
    return Job(
        id=row.id,
        operation=row.operation,
        subject=row.subject,
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

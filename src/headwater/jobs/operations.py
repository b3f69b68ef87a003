"""What people do with jobs and triggers."""

from __future__ import annotations

from typing import Any

import msgspec

from headwater.errors import InvalidInputError, NotFoundError
from headwater.operation import get_operation, operation
from headwater.project import Project
from headwater.project.permissions import require

from . import leasing, queue
from .filling import filled, holes
from .limits import list_pauses
from .triggers import declared_triggers, find_trigger, trigger_states
from .values import Job, Pause, Status, Trigger
from .worker import typed_arguments

_MOST = 1000


@operation("jobs.submit", needs="jobs:write")
def submit(
    project: Project,
    operation: str,
    arguments: dict[str, Any] | None = None,
    *,
    priority: int = 0,
    attempts: int = 3,
    delay_s: float = 0.0,
    label: str = "",
) -> Job:
    """Queue an operation to be run by a worker, as whoever asks; returns the job that waits.

    ``priority``: higher goes first. ``attempts``: how often it is tried before it counts as failed. ``label``: only
    workers with that label take it.

    Raises:
        NotFoundError: there is no such operation.
        InvalidInputError: the arguments do not fit it.
        DeniedError: whoever asks may not run it.
    """
    wanted = get_operation(operation)
    given = arguments or {}
    require(project.actor, wanted.needs, wanted.name)
    typed_arguments(wanted.name, wanted.signature().parameters, given)
    if attempts < 1 or delay_s < 0:
        raise InvalidInputError("a job has at least 1 attempt and a delay of 0 seconds or more.")
    with project.ledger.write() as tx:
        identifier = queue.add_job(
            tx,
            operation=wanted.name,
            arguments=given,
            actor=project.actor,
            cause=f"person:{project.actor.name}",
            label=label,
            priority=priority,
            most_attempts=attempts,
            delay_us=round(delay_s * 1_000_000),
        )
        assert identifier is not None  # only a job with a 'once' may be there already
        return queue.read_job(tx, identifier)


@operation("jobs.list", needs="jobs:read")
def list_jobs(
    project: Project,
    status: Status | None = None,
    *,
    limit: int = 100,
    before: str | None = None,
    trigger: str | None = None,
) -> list[Job]:
    """Return jobs, newest first, at most ``limit`` (1 to 1000); ``before``: the last id of the page before."""
    with project.ledger.read() as tx:
        most = max(1, min(limit, _MOST))
        return queue.page_of_jobs(tx, status=status, before=before, limit=most, trigger=trigger)


@operation("jobs.counts", needs="jobs:read")
def count_jobs(project: Project) -> dict[str, int]:
    """Return how many jobs there are by status."""
    with project.ledger.read() as tx:
        return {row.status: row.jobs for row in tx.all("SELECT status, count(*) AS jobs FROM jobs GROUP BY status")}


@operation("jobs.get", needs="jobs:read")
def get_job(project: Project, job: str) -> Job:
    """Return a job by its id or ``job:<id>``.

    Raises:
        NotFoundError: there is none.
    """
    with project.ledger.read() as tx:
        return queue.read_job(tx, job)


@operation("jobs.cancel", needs="jobs:write")
def cancel_job(project: Project, job: str) -> Job:
    """End a job that waits or runs, and return it; the run of a flow ends with it, its steps within seconds.

    What its worker still does of it is not recorded.

    Raises:
        NotFoundError: there is none.
        ConflictError: it has ended.
    """
    with project.ledger.write() as tx:
        return leasing.cancel(tx, job, f"cancelled by {project.actor.name}")


@operation("jobs.retry", needs="jobs:write")
def retry_job(project: Project, job: str) -> Job:
    """Queue a job again that failed or was cancelled, with all its attempts anew and as whom it belonged to.

    Raises:
        NotFoundError: there is none.
        ConflictError: it has not ended, or it is done.
        DeniedError: whoever asks may not run its operation.
    """
    with project.ledger.read() as tx:
        wanted = get_operation(queue.read_job(tx, job).operation)
    require(project.actor, wanted.needs, wanted.name)
    with project.ledger.write() as tx:
        return leasing.retry(tx, job)


@operation("jobs.pause", needs="jobs:write")
def pause_jobs(project: Project, flow: str = "", operation: str = "", *, reason: str = "") -> list[Pause]:
    """Begin no more jobs: none at all, or none of a flow or an operation; returns all that is paused.

    What runs goes on, and what is made meanwhile waits in the queue.
    """
    kind, name = _paused_thing(flow, operation)
    with project.ledger.write() as tx:
        tx.execute(
            "INSERT INTO job_pauses (kind, name, paused_by, paused_at, reason) VALUES (?, ?, ?, ?, ?) "
            "ON CONFLICT (kind, name) DO NOTHING",
            (kind, name, project.actor.name, tx.now, reason),
        )
        return list_pauses(tx)


@operation("jobs.resume", needs="jobs:write")
def resume_jobs(project: Project, flow: str = "", operation: str = "") -> list[Pause]:
    """Let what was paused by the same words go on; returns what is still paused.

    Raises:
        NotFoundError: it is not paused.
    """
    kind, name = _paused_thing(flow, operation)
    with project.ledger.write() as tx:
        if tx.execute("DELETE FROM job_pauses WHERE kind = ? AND name = ?", (kind, name)) != 1:
            known = ", ".join(f"{pause.kind} {pause.name}".strip() for pause in list_pauses(tx)) or "nothing"
            raise NotFoundError(f"{f'{kind} {name}'.strip()} is not paused. Paused: {known}.", name=name)
        return list_pauses(tx)


@operation("jobs.pauses", needs="jobs:read")
def get_pauses(project: Project) -> list[Pause]:
    """Return what is paused beside single triggers: everything, flows, operations."""
    with project.ledger.read() as tx:
        return list_pauses(tx)


@operation("triggers.pause", needs="jobs:write")
def pause_trigger(project: Project, name: str, *, paused: bool = True) -> Trigger:
    """Stop a trigger, or let it go on; what happens while it is paused makes no job.

    Raises:
        NotFoundError: headwater.toml declares no such trigger.
    """
    trigger = find_trigger(project, name)
    with project.ledger.write() as tx:
        tx.execute(
            "INSERT INTO trigger_states (name, paused, paused_by, scheduled_at) VALUES (?, ?, ?, NULL) "
            "ON CONFLICT (name) DO UPDATE SET paused = excluded.paused, paused_by = excluded.paused_by",
            (name, int(paused), project.actor.name if paused else ""),
        )
        return trigger_states(tx, [trigger], project.clock())[0]


@operation("triggers.list", needs="jobs:read")
def list_triggers(project: Project) -> list[Trigger]:
    """Return the triggers of headwater.toml in their order, with whether they are paused and when they are due.

    Raises:
        InvalidInputError: one of them cannot be read.
    """
    triggers = declared_triggers(project.settings)
    with project.ledger.read() as tx:
        return trigger_states(tx, triggers, project.clock())


@operation("triggers.fire", needs="jobs:write")
def fire_trigger(project: Project, name: str, parameters: dict[str, Any] | None = None) -> Job:
    """Make a trigger's job now, as whoever asks (not as the trigger), and return it.

    ``parameters`` fill the ``{attribute}`` of its arguments, those named like an argument replace it, and for a flow
    the others are given to it as they are.

    Raises:
        NotFoundError: headwater.toml declares no such trigger.
        InvalidInputError: an ``{attribute}`` is left without a value.
    """
    trigger = find_trigger(project, name)
    given = parameters or {}
    require(project.actor, get_operation(trigger.operation).needs, trigger.operation)
    merged = {key: given.get(key, value) for key, value in trigger.arguments.items()}
    if trigger.flow:
        asked = holes(trigger.arguments)
        merged |= {key: value for key, value in given.items() if key not in asked}
    arguments = filled(msgspec.structs.replace(trigger, arguments=merged), given)
    with project.ledger.write() as tx:
        identifier = queue.add_job(
            tx,
            operation=trigger.operation,
            arguments=arguments,
            actor=project.actor,
            cause=f"person:{project.actor.name}",
            trigger=trigger.name,
            label=trigger.label,
            priority=trigger.priority,
            most_attempts=trigger.attempts,
        )
        assert identifier is not None  # only a job with a 'once' may be there already
        return queue.read_job(tx, identifier)


def _paused_thing(flow: str, operation: str) -> tuple[str, str]:
    if flow and operation:
        raise InvalidInputError("pause a flow or an operation, one at a time.")
    if operation:
        return "operation", get_operation(operation).name
    return ("flow", flow) if flow else ("all", "")

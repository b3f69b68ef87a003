"""What people do with jobs and triggers."""

from __future__ import annotations

from typing import Any

import msgspec

from headwater.errors import InvalidInputError
from headwater.operation import get_operation, operation
from headwater.project import Project
from headwater.project.permissions import require

from . import queue
from .triggers import declared_triggers, filled, find_trigger, trigger_states
from .values import Job, Status, Trigger
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
    project: Project, status: Status | None = None, *, limit: int = 100, before: str | None = None
) -> list[Job]:
    """Return jobs, newest first, at most ``limit`` (1 to 1000); ``before``: the last id of the page before."""
    with project.ledger.read() as tx:
        return queue.page_of_jobs(tx, status=status, before=before, limit=max(1, min(limit, _MOST)))


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
    """End a job that waits or runs, and return it. What its worker still does of it is not recorded.

    Raises:
        NotFoundError: there is none.
        ConflictError: it has ended.
    """
    with project.ledger.write() as tx:
        return queue.cancel(tx, job, f"cancelled by {project.actor.name}")


@operation("jobs.pause_trigger", needs="jobs:write")
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

    ``parameters`` fill the ``{attribute}`` of its arguments, and those named like an argument replace it.

    Raises:
        NotFoundError: headwater.toml declares no such trigger.
        InvalidInputError: an ``{attribute}`` is left without a value.
    """
    trigger = find_trigger(project, name)
    given = parameters or {}
    merged = {key: given.get(key, value) for key, value in trigger.arguments.items()}
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

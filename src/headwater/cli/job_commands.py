"""``hw job`` and ``hw worker``; the triggers are in trigger_commands.py."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from .context import Context, pass_context, table, when

if TYPE_CHECKING:
    from headwater.jobs import Pause, Scheduler, Worker

_IDLE_S = 0.5


def values_of(pairs: tuple[str, ...]) -> dict[str, Any]:
    """Return NAME=VALUE words as values: JSON where it is JSON, else text.

    Raises:
        InvalidInputError: a word has no ``=``.
    """
    import msgspec

    from headwater.errors import InvalidInputError

    found: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals:
            raise InvalidInputError(f"'{pair}' is not NAME=VALUE.")
        try:
            found[name] = msgspec.json.decode(text.encode())
        except msgspec.DecodeError:
            found[name] = text
    return found


@click.group()
def job() -> None:
    """Operations that wait for a worker."""


@job.command("list")
@click.option("--status", type=click.Choice(["queued", "running", "waiting", "done", "failed", "cancelled"]))
@click.option("--trigger", help="Only the jobs of this trigger.")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 1000))
@click.option("--before", metavar="JOB", help="The last job of the page before.")
@pass_context
def list_command(context: Context, status: Any, trigger: str | None, limit: int, before: str | None) -> None:
    """Show jobs, newest first, and what is paused."""
    from headwater.jobs import get_pauses, list_jobs

    with context.open() as project:
        found = list_jobs(project, status, limit=limit, before=before, trigger=trigger)
        pauses = get_pauses(project)
    rows = [(j.id, j.subject, j.status, j.cause, j.attempts, when(j.created_at), j.error[:60]) for j in found]

    def render() -> str:
        said = [f"paused: {told(pause)}" for pause in pauses]
        return "\n".join([*said, table(("job", "runs", "status", "cause", "tries", "made", "error"), rows)])

    context.show(found, render)


@job.command("show")
@click.argument("identifier", metavar="JOB")
@pass_context
def show(context: Context, identifier: str) -> None:
    """Show one job."""
    from headwater.jobs import get_job

    with context.open() as project:
        found = get_job(project, identifier)
    facts = [
        ("job", found.id),
        ("operation", found.operation),
        ("arguments", found.arguments),
        ("status", found.status),
        ("as", found.actor),
        ("cause", found.cause),
        ("trigger", found.trigger),
        ("label", found.label),
        ("priority", found.priority or ""),
        ("attempts", f"{found.attempts} of {found.most_attempts}"),
        ("worker", found.worker),
        ("made", when(found.created_at)),
        ("began", when(found.started_at)),
        ("ended", when(found.ended_at)),
        ("result", "" if found.result is None else found.result),
        ("error", found.error),
    ]
    context.show(found, lambda: "\n".join(f"{name:<10} {value}" for name, value in facts if value not in ("", None)))


@job.command("submit")
@click.argument("operation")
@click.argument("arguments", nargs=-1)
@click.option("--priority", default=0, show_default=True)
@click.option("--label", default="", help="Only workers with this label take it.")
@pass_context
def submit_command(context: Context, operation: str, arguments: tuple[str, ...], priority: int, label: str) -> None:
    """Queue OPERATION with NAME=VALUE arguments."""
    from headwater.api.operations import load_operations
    from headwater.jobs import submit

    load_operations()
    with context.open() as project:
        made = submit(project, operation, values_of(arguments), priority=priority, label=label)
    context.show(made, lambda: f"job {made.id} waits")


@job.command("cancel")
@click.argument("identifier", metavar="JOB")
@pass_context
def cancel(context: Context, identifier: str) -> None:
    """End a job that waits or runs; the run of a flow ends with it."""
    from headwater.api.operations import load_operations
    from headwater.jobs import cancel_job

    load_operations()
    with context.open() as project:
        found = cancel_job(project, identifier)
    context.show(found, lambda: f"job {found.id}: {found.status}")


@job.command("retry")
@click.argument("identifier", metavar="JOB")
@pass_context
def retry_command(context: Context, identifier: str) -> None:
    """Queue a job again that failed or was cancelled; what its steps had done is remembered."""
    from headwater.api.operations import load_operations
    from headwater.jobs import retry_job

    load_operations()
    with context.open() as project:
        found = retry_job(project, identifier)
    context.show(found, lambda: f"job {found.id} waits")


@job.command("pause")
@click.option("--flow", default="", help="Only the jobs of this flow.")
@click.option("--operation", default="", help="Only the jobs of this operation.")
@click.option("--reason", default="", help="Why; shown in the list.")
@pass_context
def pause(context: Context, flow: str, operation: str, reason: str) -> None:
    """Begin no more jobs: none at all, or none of a flow or an operation. What runs goes on; the rest waits."""
    from headwater.api.operations import load_operations
    from headwater.jobs import pause_jobs

    load_operations()
    with context.open() as project:
        found = pause_jobs(project, flow, operation, reason=reason)
    context.show(found, lambda: "\n".join(f"paused: {told(each)}" for each in found))


@job.command("resume")
@click.option("--flow", default="", help="The jobs of this flow.")
@click.option("--operation", default="", help="The jobs of this operation.")
@pass_context
def resume(context: Context, flow: str, operation: str) -> None:
    """Let what was paused by the same words go on."""
    from headwater.api.operations import load_operations
    from headwater.jobs import resume_jobs

    load_operations()
    with context.open() as project:
        found = resume_jobs(project, flow, operation)
    context.show(found, lambda: "\n".join(f"still paused: {told(each)}" for each in found) or "nothing is paused")


def told(pause: Pause) -> str:
    """Return a pause as people read it."""
    what = "all jobs" if pause.kind == "all" else f"{pause.kind} {pause.name}"
    return f"{what}, by {pause.paused_by}{f': {pause.reason}' if pause.reason else ''}"


@click.command()
@click.option("--once", is_flag=True, help="Run what waits now, then end.")
@click.option("--no-scheduler", is_flag=True, help="Only run jobs; another process makes them.")
@click.option("--label", "labels", multiple=True, help="What this worker is fit for (gpu); repeat for more.")
@pass_context
def worker(context: Context, once: bool, no_scheduler: bool, labels: tuple[str, ...]) -> None:
    """Run jobs that wait, until stopped. As many workers as wanted, on any machine that reaches the stores.

    A database that is away for a while, or restarted, is waited for.
    """
    from headwater.api.operations import load_operations
    from headwater.errors import InvalidInputError
    from headwater.jobs import Scheduler, Worker
    from headwater.project import LocalProject

    load_operations()
    with context.open() as project:
        if not isinstance(project, LocalProject):
            raise InvalidInputError("a worker opens the stores itself: give --project FOLDER.")
        scheduler = None if no_scheduler else Scheduler(project)
        ran = _work(scheduler, Worker(project, labels=labels), once=once)
        if scheduler is not None:
            scheduler.resign()
    context.show({"jobs": ran}, lambda: f"{ran} jobs run")


def _work(scheduler: Scheduler | None, runner: Worker, *, once: bool) -> int:
    """Run jobs one after the other, and return how many: until none waits (``once``), or until SIGTERM or Ctrl-C."""
    import signal
    import threading
    import time

    from headwater.errors import UnavailableError

    def stop(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, stop)  # the job in hand is given back, so that another worker takes it at once
    ran = 0
    try:
        while True:
            try:
                if scheduler is not None:
                    scheduler.tick()
                if runner.run_once():
                    ran += 1
                    continue
            except UnavailableError as error:
                click.echo(f"{error.message} It is tried again.", err=True)
            else:
                if once:
                    break
            time.sleep(_IDLE_S)
    except KeyboardInterrupt:
        click.echo("stopped.", err=True)
    return ran

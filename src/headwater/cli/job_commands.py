"""``hw job`` and ``hw worker``."""

from __future__ import annotations

from typing import Any

import click

from .context import Context, pass_context, table, when


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
    """Operations that wait for a worker, and the triggers that make them."""


@job.command("list")
@click.option("--status", type=click.Choice(["queued", "running", "done", "failed", "cancelled"]))
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 1000))
@pass_context
def list_command(context: Context, status: Any, limit: int) -> None:
    """Show jobs, newest first."""
    from headwater.jobs import list_jobs

    with context.open() as project:
        found = list_jobs(project, status, limit=limit)
    context.show(
        found,
        lambda: table(
            ("job", "operation", "status", "cause", "tries", "made", "error"),
            [(j.id, j.operation, j.status, j.cause, j.attempts, when(j.created_at), j.error[:60]) for j in found],
        ),
    )


@job.command("show")
@click.argument("identifier", metavar="JOB")
@pass_context
def show(context: Context, identifier: str) -> None:
    """Show one job."""
    from headwater.jobs import get_job

    with context.open() as project:
        found = get_job(project, identifier)
    context.show(found, lambda: f"{found.operation} {found.arguments}: {found.status} {found.error}".rstrip())


@job.command("submit")
@click.argument("operation")
@click.argument("arguments", nargs=-1)
@click.option("--priority", default=0, show_default=True)
@pass_context
def submit_command(context: Context, operation: str, arguments: tuple[str, ...], priority: int) -> None:
    """Queue OPERATION with NAME=VALUE arguments."""
    from headwater.api.operations import load_operations
    from headwater.jobs import submit

    load_operations()
    with context.open() as project:
        made = submit(project, operation, values_of(arguments), priority=priority)
    context.show(made, lambda: f"job {made.id} waits")


@job.command("cancel")
@click.argument("identifier", metavar="JOB")
@pass_context
def cancel(context: Context, identifier: str) -> None:
    """End a job that waits or runs."""
    from headwater.jobs import cancel_job

    with context.open() as project:
        found = cancel_job(project, identifier)
    context.show(found, lambda: f"job {found.id}: {found.status}")


@job.command("triggers")
@pass_context
def triggers(context: Context) -> None:
    """Show the triggers that headwater.toml declares."""
    from headwater.jobs import list_triggers

    with context.open() as project:
        found = list_triggers(project)
    context.show(
        found,
        lambda: table(
            ("trigger", "on", "operation", "paused"),
            [(t.name, t.on, t.operation, "yes" if t.paused else "") for t in found],
        ),
    )


@job.command("fire")
@click.argument("trigger")
@click.argument("arguments", nargs=-1)
@pass_context
def fire(context: Context, trigger: str, arguments: tuple[str, ...]) -> None:
    """Make the job of TRIGGER now, with NAME=VALUE arguments."""
    from headwater.api.operations import load_operations
    from headwater.jobs import fire_trigger

    load_operations()
    with context.open() as project:
        made = fire_trigger(project, trigger, values_of(arguments))
    context.show(made, lambda: f"job {made.id} waits")


@job.command("pause")
@click.argument("trigger")
@click.option("--off", is_flag=True, help="Let it go on.")
@pass_context
def pause(context: Context, trigger: str, off: bool) -> None:
    """Stop TRIGGER for a while."""
    from headwater.jobs import pause_trigger

    with context.open() as project:
        found = pause_trigger(project, trigger, paused=not off)
    context.show(found, lambda: f"{found.name} is {'paused' if found.paused else 'going on'}")


@click.command()
@click.option("--once", is_flag=True, help="Run what waits now, then end.")
@click.option("--no-scheduler", is_flag=True, help="Only run jobs; another process makes them.")
@pass_context
def worker(context: Context, once: bool, no_scheduler: bool) -> None:
    """Run jobs that wait, until stopped. As many workers as wanted, on any machine that reaches the stores."""
    import time

    from headwater.api.operations import load_operations
    from headwater.errors import InvalidInputError
    from headwater.jobs import Scheduler, Worker
    from headwater.project import LocalProject

    load_operations()
    with context.open() as project:
        if not isinstance(project, LocalProject):
            raise InvalidInputError("a worker opens the stores itself: give --project FOLDER.")
        scheduler, runner = Scheduler(project), Worker(project)
        ran = 0
        while True:
            if not no_scheduler:
                scheduler.tick()
            if runner.run_once():
                ran += 1
                continue
            if once:
                break
            time.sleep(0.5)
    context.show({"jobs": ran}, lambda: f"{ran} jobs run")

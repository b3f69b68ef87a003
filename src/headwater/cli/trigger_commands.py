"""``hw trigger``: what turns facts, times, webhooks and people into jobs."""

from __future__ import annotations

import click

from .context import Context, pass_context, table, when
from .job_commands import values_of


@click.group()
def trigger() -> None:
    """What makes jobs: schedules, facts, webhooks, people; declared in headwater.toml."""


@trigger.command("list")
@pass_context
def list_command(context: Context) -> None:
    """Show the triggers that headwater.toml declares, and when they are due."""
    from headwater.api.operations import load_operations
    from headwater.jobs import list_triggers

    load_operations()
    with context.open() as project:
        found = list_triggers(project)
    headers = ("trigger", "on", "runs", "next", "paused by")
    rows = [
        (
            each.name,
            f"{each.on} {each.cron or each.every}{f' {each.timezone}' if each.cron else ''}".rstrip(),
            each.flow or each.operation,
            when(each.next_at),
            (each.paused_by or "yes") if each.paused else "",
        )
        for each in found
    ]
    context.show(found, lambda: table(headers, rows))


@trigger.command("fire")
@click.argument("name", metavar="TRIGGER")
@click.argument("arguments", nargs=-1)
@pass_context
def fire(context: Context, name: str, arguments: tuple[str, ...]) -> None:
    """Make the job of TRIGGER now, as you, with NAME=VALUE arguments."""
    from headwater.api.operations import load_operations
    from headwater.jobs import fire_trigger

    load_operations()
    with context.open() as project:
        made = fire_trigger(project, name, values_of(arguments))
    context.show(made, lambda: f"job {made.id} waits")


@trigger.command("pause")
@click.argument("name", metavar="TRIGGER")
@pass_context
def pause(context: Context, name: str) -> None:
    """Stop TRIGGER: what happens meanwhile makes no job, then or later."""
    _pause(context, name, True)


@trigger.command("resume")
@click.argument("name", metavar="TRIGGER")
@pass_context
def resume(context: Context, name: str) -> None:
    """Let TRIGGER go on."""
    _pause(context, name, False)


def _pause(context: Context, name: str, paused: bool) -> None:
    from headwater.api.operations import load_operations
    from headwater.jobs import pause_trigger

    load_operations()
    with context.open() as project:
        found = pause_trigger(project, name, paused=paused)
    context.show(found, lambda: f"{found.name} is {'paused' if found.paused else 'going on'}")

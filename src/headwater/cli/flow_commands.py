"""``hw run`` and ``hw flow``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from .context import Context, pass_context, table

if TYPE_CHECKING:
    from headwater.flow import Outcome
    from headwater.flow.tasks import TaskReport
    from headwater.project import Project
    from headwater.track import Run

_COLOURS = {"ran": "cyan", "remembered": "green", "failed": "red", "killed": "red", "skipped": "yellow"}


@click.command()
@click.argument("flow")
@click.argument("arguments", nargs=-1, metavar="[NAME=VALUE]...")
@click.option("--explain", "only_explain", is_flag=True, help="Say what would run and why, and run nothing.")
@click.option("--workers", type=click.IntRange(1), help="Steps at once; default: one per CPU.")
@click.option("--strict", is_flag=True, help="A file or socket that no step declared is an error, not a warning.")
@click.option("--forget", is_flag=True, help="Run every step again.")
@pass_context
def run(
    context: Context,
    flow: str,
    arguments: tuple[str, ...],
    only_explain: bool,
    workers: int | None,
    strict: bool,
    forget: bool,
) -> int:
    """Run FLOW (a name, or module:name) with NAME=VALUE arguments. Exit code 1 when a step fails."""
    from .job_commands import values_of

    given = values_of(arguments)
    with context.open() as project:
        if only_explain:
            return _explain(context, project, flow, given)
        if project.root is None:
            from headwater.flow import run_flow

            ended = run_flow(project, flow, given, workers=workers, strict=strict, forget=forget)
            context.show(ended, lambda: f"run {ended.id}: {ended.status} {ended.error}".rstrip())
            return _code(ended)
        from headwater.flow import execute_flow

        live = None if context.as_json else _show_task
        outcome = execute_flow(project, flow, given, workers=workers, strict=strict, forget=forget, on_task=live)
    context.show(outcome, lambda: _summary(outcome))
    return _code(outcome.run)


@click.group()
def flow() -> None:
    """Flows: functions that call steps."""


@flow.command("list")
@pass_context
def list_command(context: Context) -> None:
    """Show the flows of the project."""
    from headwater.flow import list_flows

    with context.open() as project:
        found = list_flows(project)
    context.show(
        found, lambda: table(("flow", "where", "does"), [(f.name, f"{f.path}:{f.line}", f.description) for f in found])
    )


@flow.command("show")
@click.argument("name", metavar="FLOW")
@pass_context
def show(context: Context, name: str) -> None:
    """Show one flow: its parameters and steps."""
    from headwater.flow import show_flow

    with context.open() as project:
        found = show_flow(project, name)
    context.show(
        found,
        lambda: (
            f"{found.ref} ({found.path}:{found.line}): {found.description}\n"
            f"parameters: {', '.join(p.name for p in found.parameters) or 'none'}\nsteps: {', '.join(found.steps)}"
        ),
    )


@flow.command("tasks")
@click.argument("run_id", metavar="RUN")
@pass_context
def tasks(context: Context, run_id: str) -> None:
    """Show the steps of a run: which ran, which were remembered, and why."""
    from headwater.flow import get_tasks

    with context.open() as project:
        found = get_tasks(project, run_id)
    context.show(
        found,
        lambda: table(
            ("step", "outcome", "seconds", "why"), [(t.step, t.outcome, f"{t.seconds:.3f}", t.why) for t in found]
        ),
    )


def _explain(context: Context, project: Project, flow: str, given: dict[str, object]) -> int:
    from headwater.flow import explain

    found = explain(project, flow, given)

    def render() -> str:
        text = table(("step", "outcome", "why"), [(t.step, t.outcome, t.why) for t in found.tasks])
        if found.stopped_at:
            text += f"\nwhat follows depends on the value of {found.stopped_at}, which is not known yet"
        return text

    context.show(found, render)
    return 0


def _show_task(task: TaskReport) -> None:
    mark = click.style(f"{task.outcome:10}", fg=_COLOURS.get(task.outcome))
    click.echo(f"{mark} {task.step:24} {task.seconds:7.3f} s  {task.why}", err=not sys.stdout.isatty())
    for warning in task.warnings:
        click.echo(click.style(f"           warning: {warning}", fg="yellow"), err=True)


def _summary(outcome: Outcome) -> str:
    run = outcome.run
    lines = [f"run {run.id}: {run.status}, {outcome.executed} steps executed, {outcome.remembered} remembered"]
    if run.error:
        lines += [click.style(run.error, fg="red"), run.traceback.rstrip()]
    elif outcome.returned is not None:
        lines.append(f"returned {str(outcome.returned)[:500]}")
    return "\n".join(line for line in lines if line)


def _code(run: Run) -> int:
    return 0 if run.status == "done" else 1

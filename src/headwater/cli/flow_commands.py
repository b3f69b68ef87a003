"""``hw run`` and ``hw flow``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

import click

from .context import Context, pass_context, table
from .lazy import WordyCommand

if TYPE_CHECKING:
    from headwater.flow import Outcome
    from headwater.project import Project
    from headwater.track import Run


class _Run(WordyCommand):
    words: ClassVar[Mapping[str, str]] = {
        "cancel": "log_commands:cancel_command",
        "explain": "explain_commands:explain_command",
    }


@click.command(cls=_Run)
@click.argument("flow", required=False)
@click.argument("arguments", nargs=-1, metavar="[NAME=VALUE]...")
@click.option("--from", "earlier", metavar="RUN", help="Run the code, files and arguments of RUN, as they were.")
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="An argument, like NAME=VALUE by itself.")
@click.option("--explain", "only_explain", is_flag=True, help="Say what would run and why, and run nothing.")
@click.option("--workers", type=click.IntRange(1), help="Steps at once; default: one per CPU.")
@click.option(
    "--on",
    metavar="EXECUTOR",
    help="What runs the steps: processes (default: a child per step), warm (processes that stay), threads, "
    "dask (a cluster on this machine) or dask://HOST:PORT.",
)
@click.option("--strict", is_flag=True, help="A file or socket that no step declared is an error, not a warning.")
@click.option("--forget", is_flag=True, help="Run every step again.")
@pass_context
def run(
    context: Context,
    flow: str | None,
    arguments: tuple[str, ...],
    earlier: str | None,
    settings: tuple[str, ...],
    only_explain: bool,
    workers: int | None,
    on: str | None,
    strict: bool,
    forget: bool,
) -> int:
    """Run FLOW (a name, module:name, or a TOML file) with NAME=VALUE arguments. Exit code 1 when a step fails.

    With --from RUN there is no FLOW: that run's is run again, from its own code; NAME=VALUE change arguments.

    Ctrl-C cancels the run, and so does 'hw run cancel RUN' from elsewhere. 'hw run explain RUN STEP' says why a step
    of a run ran, or did not have to.
    """
    from .job_commands import values_of

    if earlier is not None:
        given = values_of((*([flow] if flow else []), *arguments, *settings))
        from .again_commands import run_from

        with context.open() as project:
            return run_from(context, project, earlier, given, workers=workers, strict=strict, forget=forget, on=on)
    if flow is None:
        raise click.UsageError("name a FLOW ('hw flow list' shows them), or a run with --from.")
    given = values_of((*arguments, *settings))
    with context.open() as project:
        if only_explain:
            return _explain(context, project, flow, given)
        if project.root is None:
            from headwater.flow import run_flow

            ended = run_flow(project, flow, given, workers=workers, strict=strict, forget=forget, on=on)
            context.show(ended, lambda: f"run {ended.id}: {ended.status} {ended.error}".rstrip())
            return _code(ended)
        from headwater.flow import execute_flow

        from .run_display import watching

        with watching(quiet=context.as_json) as spectator:
            outcome = execute_flow(
                project, flow, given, workers=workers, strict=strict, forget=forget, spectator=spectator, on=on
            )
    context.show(outcome, lambda: summary_of(outcome))
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
@click.argument("arguments", nargs=-1, metavar="[NAME=VALUE]...")
@click.option("--svg", "svg_file", type=click.Path(dir_okay=False), help="Write the picture to this file.")
@click.option(
    "--steps", "every_step", is_flag=True, help="Each step in a box of its own, stages and inner flows aside."
)
@pass_context
def show(context: Context, name: str, arguments: tuple[str, ...], svg_file: str | None, every_step: bool) -> None:
    """Show one flow (a name, module:name, or a file): what it takes, and a picture of what it does."""
    from headwater.flow import draw_flow, show_flow
    from headwater.flow.drawing import as_svg, as_text

    from .job_commands import values_of

    with context.open() as project:
        found = show_flow(project, name)
        picture = draw_flow(project, name, values_of(arguments), every_step=every_step)
    if svg_file is not None:
        from pathlib import Path

        Path(svg_file).write_text(as_svg(picture, styled=True), encoding="utf-8")
    takes = ", ".join(f"{p.name}={p.default}" if p.default else p.name for p in found.parameters) or "nothing"
    context.show(
        {"flow": found, "picture": picture},
        lambda: (
            f"{found.ref} ({found.path}:{found.line}): {found.description}\ntakes {takes}; drawn from "
            f"{picture.drawn_from}\n\n{as_text(picture)}" + (f"\n\nwritten to {svg_file}" if svg_file else "")
        ),
    )


@flow.command("check")
@click.argument("file", metavar="FILE")
@pass_context
def check(context: Context, file: str) -> None:
    """Check the file of a flow: its form, and that what it names is there. Exit code 2 tells where it is wrong."""
    from headwater.flow import check_flow_file

    with context.open() as project:
        told = check_flow_file(project, file)
    context.show({"file": file, "warnings": told}, lambda: "\n".join([*told, f"{file} is a flow that can be run"]))


@flow.command("schema")
@pass_context
def schema_command(context: Context) -> None:
    """Print the JSON schema of a flow's file, for editors that complete and check."""
    import msgspec

    from headwater.flow.described import schema

    click.echo(msgspec.json.format(msgspec.json.encode(schema()), indent=2).decode())


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


def summary_of(outcome: Outcome) -> str:
    """Return how a run went, in a few lines."""
    run = outcome.run
    lines = [f"run {run.id}: {run.status}, {outcome.executed} steps executed, {outcome.remembered} remembered"]
    lines += [click.style(f"warning: {each}", fg="yellow") for each in outcome.warnings]
    if run.error:
        lines += [click.style(run.error, fg="red"), run.traceback.rstrip()]
    elif outcome.returned is not None:
        lines.append(f"returned {str(outcome.returned)[:500]}")
    return "\n".join(line for line in lines if line)


def _code(run: Run) -> int:
    return 0 if run.status == "done" else 1

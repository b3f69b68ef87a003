"""``hw run explain RUN STEP``: why a step ran, or did not have to, and what its key was made of."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from .context import Context, pass_context

if TYPE_CHECKING:
    from headwater.flow.explaining import TaskExplanation

_SHOWN = 12


@click.command("explain")
@click.argument("run")
@click.argument("step")
@click.option("--all", "everything", is_flag=True, help="Show every statement and library of the key.")
@pass_context
def explain_command(context: Context, run: str, step: str, everything: bool) -> None:
    """Say why STEP of RUN ran, or did not have to, and what its result depends on.

    Before running, 'hw run FLOW --explain' says what would run.
    """
    from headwater.flow.explaining import explain_task

    with context.open() as project:
        found = explain_task(project, run, step)
    context.show(found, lambda: "\n\n".join(_text(each, None if everything else _SHOWN) for each in found))


def _text(task: TaskExplanation, most: int | None) -> str:
    told = task.why if task.why.startswith(task.outcome) else f"{task.outcome}: {task.why}"
    lines = [f"{click.style(task.step, bold=True)} {told}"]
    lines += [click.style(f"  warning: {each}", fg="yellow") for each in task.warnings]
    if not task.key:
        return "\n".join(lines)
    parts = (
        ("arguments", [f"{name} = {value}" for name, value in task.arguments.items()]),
        ("seed", [str(task.seed)] if task.seed is not None else []),
        ("environment", list(task.environment)),
        ("files", list(task.files)),
        ("read while it ran", list(task.read)),
        ("libraries", [f"{name} {version}" for name, version in task.libraries.items()]),
        ("platform", [task.platform]),
        ("code", list(task.code)),
    )
    for title, values in parts:
        if values:
            lines.append(f"  {title}:")
            lines += [f"    {each}" for each in values[:most]]
            if most is not None and len(values) > most:
                lines.append(f"    and {len(values) - most} more (--all shows them)")
    return "\n".join(lines)

"""``hw tune``: searching for parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from .context import Context, pass_context, table

if TYPE_CHECKING:
    from headwater.flow.tuning import Search

_SHOWN = 20


@click.command()
@click.argument("flow")
@click.argument("space", nargs=-1, required=True, metavar="NAME=VALUES...")
@click.option("--for", "objective", required=True, metavar="METRIC", help="What a step logs, or the flow returns.")
@click.option("--maximize", is_flag=True, help="The greatest value is the best; without it the least.")
@click.option("--trials", default=20, show_default=True, type=click.IntRange(1), help="A grid ends when it is through.")
@click.option("--sampler", type=click.Choice(("grid", "random", "tpe")), default="tpe", show_default=True)
@click.option("--pruner", type=click.Choice(("none", "median", "halving")), default="none", show_default=True,
              help="Stop trials whose metric is behind that of others at the same step.")  # fmt: skip
@click.option("--at-once", default=1, show_default=True, type=click.IntRange(1), help="Trials at once.")
@click.option("--seed", default=0, show_default=True, help="The same seed tries the same values.")
@click.option("--set", "fixed", multiple=True, metavar="NAME=VALUE", help="A parameter that stays (repeatable).")
@click.option("--go-on", metavar="SEARCH", help="Go on from an earlier search; --trials counts its trials too.")
@pass_context
def tune(context: Context, /, flow: str, space: tuple[str, ...], fixed: tuple[str, ...], **options: Any) -> None:
    """Run FLOW with one set of parameters after the other, each a run.

    VALUES are 2..10 (whole numbers), 0.1..0.9, 1e-4..1e-1:log, 2..10:step=2, or a|b|c.
    """
    from headwater.flow.tuning import tune_flow

    from .job_commands import values_of
    from .space_commands import working

    values = {name: text for name, _, text in (pair.partition("=") for pair in space)}
    with context.open() as project, working("searching"):
        found = tune_flow(project, flow, values, arguments=values_of(fixed), **options)
    context.show(found, lambda: _search_text(found))


@click.command("trials")
@click.argument("search", metavar="SEARCH")
@pass_context
def trials_command(context: Context, search: str) -> None:
    """Show the trials of a search, the best first."""
    from headwater.flow.tuning import list_trials

    with context.open() as project:
        found = list_trials(project, search)
    context.show(found, lambda: _search_text(found))


def _search_text(found: Search) -> str:
    sign = -1 if found.maximize else 1
    ranked = sorted(found.trials, key=lambda t: (t.value is None, sign * (t.value or 0.0), t.number))
    names = list(found.space)
    rows = [
        (t.number, t.status, "" if t.value is None else f"{t.value:.6g}", *(t.params.get(n) for n in names), t.run)
        for t in ranked[:_SHOWN]
    ]
    text = table(("trial", "status", found.objective, *names, "run"), rows, right=(0, 2))
    more = len(ranked) - len(rows)
    return f"search {found.run} of {found.flow}: {len(ranked)} trials\n{text}" + (f"\n{more} more" if more else "")

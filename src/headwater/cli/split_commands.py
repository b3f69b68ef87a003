"""``hw data split`` and ``hw data leakage``: parts to train and test on, and whether they keep apart."""

from __future__ import annotations

import click

from .context import Context, pass_context, table
from .evidence_text import evidence_text
from .progress import busy


@click.command("split")
@click.argument("name")
@click.argument("data")
@click.option("--by", type=click.Choice(["random", "group", "time"]), default="random", show_default=True)
@click.option("--column", default="", help="The group, or the time.")
@click.option("--share", "shares", multiple=True, metavar="PART=SHARE", help="Such as train=0.8 (repeatable).")
@click.option("--cut", "cuts", multiple=True, help="By time: when the next part begins (repeatable).")
@click.option("--salt", default="", help="Another text gives another split by hash.")
@click.option("--branch", default="main", show_default=True)
@pass_context
def split_command(
    context: Context,
    name: str,
    data: str,
    by: str,
    column: str,
    shares: tuple[str, ...],
    cuts: tuple[str, ...],
    salt: str,
    branch: str,
) -> int:
    """Split a dataset into train, validation and test as the dataset NAME, and check the parts for leakage.

    A row keeps its side when the data grow and are split again.
    """
    from headwater.evaluate import make_split

    wanted = _shares(shares) if shares else None
    with context.open() as project, busy("splitting"):
        made = make_split(project, name, data, by=by, column=column, shares=wanted, cuts=cuts, salt=salt, branch=branch)

    def render() -> str:
        where = made.ref if made.published else f"{made.ref} (in quarantine: its checks failed)"
        parts = table(("part", "rows"), [(part, f"{rows:,}") for part, rows in made.parts.items()], right=(1,))
        return f"{where}\n{parts}\n{evidence_text(made.leakage)}"

    context.show(made, render)
    return 0 if made.published and made.leakage.body["passed"] else 1


@click.command("leakage")
@click.argument("ref")
@click.option("--column", "columns", multiple=True, help="Compare these columns (repeatable; default: all).")
@click.option("--group", default="", help="A column whose values must not be in two parts.")
@click.option("--time", default="", help="A column by which each part must come after those before it.")
@pass_context
def leakage_command(context: Context, ref: str, columns: tuple[str, ...], group: str, time: str) -> int:
    """Look for leakage between the parts of a split: equal rows, near-duplicates, groups, time."""
    from headwater.evaluate import check_leakage

    with context.open() as project, busy("comparing"):
        evidence = check_leakage(project, ref, columns=columns, group=group, time=time)
    context.show(evidence, lambda: evidence_text(evidence))
    return 0 if evidence.body["passed"] else 1


def _shares(given: tuple[str, ...]) -> dict[str, float]:
    try:
        return {name: float(share) for name, _, share in (each.partition("=") for each in given)}
    except ValueError as error:
        raise click.UsageError("a share is written PART=NUMBER, such as --share train=0.8.") from error

"""``hw data search``, ``columns``, ``describe``, ``usage``: which data there is, what it says, and who uses it."""

from __future__ import annotations

import click

from .context import Context, pass_context, size, table, when
from .refs import DATASET, REF


@click.command("search")
@click.argument("words", nargs=-1, required=True)
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 1000))
@pass_context
def search_command(context: Context, words: tuple[str, ...], limit: int) -> None:
    """Find datasets by names, descriptions, columns, types, tags and sources; each of WORDS must stand somewhere."""
    from headwater.lake import search

    with context.open() as project:
        answer = search(project, " ".join(words), limit)

    def render() -> str:
        lines = []
        for found in answer.found:
            lines.append(
                click.style(found.dataset, bold=True) + (f"  {found.description}" if found.description else "")
            )
            lines += [
                f"  {match.place}: {' '.join(part for part in (match.name, match.text) if part)}"
                for match in found.matches[:5]
                if match.place not in ("name", "description")
            ]
        if not lines:
            lines = ["nothing found. 'hw data list' shows every dataset."]
        if answer.unread:
            lines.append(f"({answer.unread} branches have columns that were not looked up yet: search again)")
        return "\n".join(lines)

    context.show(answer, render)


@click.command("columns")
@click.argument("ref", type=REF)
@pass_context
def columns_command(context: Context, ref: str) -> None:
    """Show the columns of a version's tables: names, types and what is said of them."""
    from headwater.lake import list_columns

    with context.open() as project:
        found = list_columns(project, ref)
    context.show(
        found, lambda: table(("column", "type", "description"), [(c.name, c.type, c.description) for c in found])
    )


@click.command("describe")
@click.argument("dataset", type=DATASET)
@click.argument("text", required=False)
@click.option("--column", help="Of this column instead of the dataset.")
@pass_context
def describe_command(context: Context, dataset: str, text: str | None, column: str | None) -> None:
    """Show what DATASET is, or say it; with --column, what one of its columns is."""
    from headwater.lake import describe_column, describe_dataset, list_columns, set_description

    with context.open() as project:
        if column is not None:
            if text is None:
                known = {each.name: each for each in list_columns(project, dataset)}
                if column not in known:
                    raise click.UsageError(f"{dataset} has no column '{column}'. It has {', '.join(known)}.")
                of_column = known[column]
            else:
                of_column = describe_column(project, dataset, column, text)
            said = of_column.description or "(no description)"
            context.show(of_column, lambda: f"{of_column.name} {of_column.type}: {said}")
            return
        found = set_description(project, dataset, text) if text else describe_dataset(project, dataset)
    context.show(found, lambda: f"{found.name}: {found.description or '(no description)'}; {found.versions} versions")


@click.command("usage")
@click.argument("dataset", type=DATASET)
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 1000), help="How many of each to list.")
@pass_context
def usage_command(context: Context, dataset: str, limit: int) -> None:
    """Show who read which version of DATASET, what came of it, and how much space each version adds."""
    from headwater.lake import describe_usage

    with context.open() as project:
        found = describe_usage(project, dataset, limit)

    def render() -> str:
        versions = [
            (
                f"v{each.version.number}",
                when(each.version.created_at),
                size(each.version.bytes),
                "gone" if each.added_bytes is None else size(each.added_bytes),
                each.reads,
                each.uses,
            )
            for each in found.versions
        ]
        readers = [(r.actor, r.way, r.times, r.versions, when(r.first_at), when(r.last_at)) for r in found.readers]
        uses = [(u.ref, u.role, f"v{u.number}", when(u.at)) for u in found.used_by]
        return "\n".join(
            (
                table(("version", "when", "size", "adds", "reads", "uses"), versions, right=(2, 3, 4, 5)),
                "",
                f"read by people: {found.reads} times (a person, a way and a version count once in a process and hour)",
                table(("who", "how", "times", "versions", "first", "last"), readers, right=(2, 3)),
                "",
                f"used by runs, models, versions and verdicts: {found.uses}",
                table(("what", "role", "version", "when"), uses),
            )
        )

    context.show(found, render)

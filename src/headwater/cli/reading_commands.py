"""``hw data read``, ``diff`` and ``log``, and ``hw completion``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from .context import Context, pass_context, printable, size, table, when
from .refs import DATASET, REF

if TYPE_CHECKING:
    from headwater.lake import Diff, RowDiff, TableComparison

_BLOCK = 4 << 20


@click.command("read")
@click.argument("ref", type=REF)
@click.option("--columns", help="Comma-separated.")
@click.option("--where", help="An SQL condition.")
@click.option("--sql", help="A whole query; the tables are the view 'data'.")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(0), help="Rows to show; 0 is all.")
@click.option("--under", "prefix", default="", help="Rows only of tables whose paths begin so.")
@click.option("--path", help="Write the bytes of this file to standard output instead.")
@click.option("--bytes", "span", metavar="A:B", help="Only bytes A up to B of --path; either may be left out.")
@pass_context
def read_command(
    context: Context,
    ref: str,
    columns: str | None,
    where: str | None,
    sql: str | None,
    limit: int,
    prefix: str,
    path: str | None,
    span: str | None,
) -> None:
    """Show rows of a version's tables, or write the bytes of one of its files."""
    if path is not None:
        if columns or where or sql or prefix:
            raise click.UsageError(
                "--path gives bytes as they are; --columns, --where, --sql and --under are for rows."
            )
        _write_bytes(context, ref, path, *_span(span))
        return
    if span is not None:
        raise click.UsageError("--bytes needs --path: the file of which they are.")
    from headwater.lake import note_read, resolve, scan

    with context.open() as project:
        found = scan(project, ref, columns=columns.split(",") if columns else None, where=where, sql=sql, prefix=prefix)
        note_read(project, resolve(project, ref), "command")
        names = list(found.columns)
        rows = (found.sql(f"SELECT * FROM data LIMIT {limit}") if limit else found).fetchall()
    context.show([dict(zip(names, row, strict=True)) for row in rows], lambda: table(names, rows))


def _span(text: str | None) -> tuple[int, int | None]:
    """Return the first byte and the one behind the last."""
    if text is None:
        return 0, None
    first, colon, last = text.partition(":")
    try:
        start, end = int(first or 0), int(last) if last else None
    except ValueError:
        start, end = -1, None
    if not colon or start < 0 or (end is not None and end < start):
        raise click.UsageError(f"--bytes {text} is no range: write A:B with 0 <= A <= B, as in 0:100, :100 or 4096:")
    return start, end


def _write_bytes(context: Context, ref: str, path: str, start: int, end: int | None) -> None:
    from headwater.lake import get_entry, note_read, read_bytes, resolve

    with context.open() as project:
        version = resolve(project, ref)
        entry = get_entry(project, version.id, path)
        note_read(project, version, "command")
        stop = entry.size if end is None else min(end, entry.size)
        if context.as_json:
            import base64

            data = read_bytes(project, version.id, path, min(start, stop), stop)
            context.show({"path": path, "start": start, "size": entry.size, "base64": base64.b64encode(data).decode()})
            return
        for at in range(start, stop, _BLOCK):
            sys.stdout.buffer.write(project.objects.get(entry.digest, at, min(at + _BLOCK, stop)))
        sys.stdout.buffer.flush()


@click.command("log")
@click.argument("dataset", type=DATASET)
@click.option("--branch", help="Only what this branch descends from.")
@click.option("--author", help="Only what this person made.")
@click.option("--since", help="Only versions made at or after this date or time (UTC).")
@click.option("--until", help="Only versions made before it.")
@click.option("--path", help="Only versions that changed this file.")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 10_000))
@pass_context
def log_command(
    context: Context,
    dataset: str,
    branch: str | None,
    author: str | None,
    since: str | None,
    until: str | None,
    path: str | None,
    limit: int,
) -> None:
    """Show the versions of DATASET, newest first."""
    from headwater.lake import find_versions

    with context.open() as project:
        versions = find_versions(
            project, dataset, branch, author=author, since=since, until=until, path=path, limit=limit
        )
    context.show(
        versions,
        lambda: table(
            ("version", "when", "author", "rows", "files", "size", "message", "source"),
            [
                (f"v{v.number}", when(v.created_at), v.author, v.rows, v.files, size(v.bytes), v.message, v.source[:60])
                for v in versions
            ],
            right=(3, 4, 5),
        ),
    )


@click.command("diff")
@click.argument("a", type=REF)
@click.argument("b", type=REF)
@click.option(
    "--limit", default=100, show_default=True, type=click.IntRange(0, 10_000), help="How many to list of each kind."
)
@click.option("--statistics", is_flag=True, help="Also what each column holds: nulls, range, mean, distinct values.")
@click.option("--key", help="Also the rows, matched by these columns (comma-separated).")
@click.option("--under", "prefix", default="", help="Statistics and rows only of tables whose paths begin so.")
@pass_context
def diff_command(context: Context, a: str, b: str, limit: int, statistics: bool, key: str | None, prefix: str) -> None:
    """Show what differs from version A to version B: paths, columns, rows."""
    from headwater import lake

    with context.open() as project:
        found = lake.diff(project, a, b, limit)
        columns = lake.compare_columns(project, a, b, prefix) if statistics else None
        rows = lake.compare_rows(project, a, b, key.split(","), prefix, limit) if key else None

    def render() -> str:
        parts = [_paths(found)]
        parts += [_statistics(columns)] if columns else []
        parts += [_rows(rows)] if rows else []
        return "\n\n".join(parts)

    if columns is None and rows is None:
        context.show(found, render)
    else:
        context.show({"diff": found, "statistics": columns, "rows": rows}, render)


def _paths(found: Diff) -> str:
    lines = [
        f"{found.a.ref} → {found.b.ref}: {found.added_count} added, {found.removed_count} removed, "
        f"{found.changed_count} changed"
    ]
    if found.rows_a is not None or found.rows_b is not None:
        lines.append(f"rows: {found.rows_a} → {found.rows_b}")
    lines += [f"column {c.column}: {c.before or '–'} → {c.after or '–'}" for c in found.columns]
    lines += [click.style(f"+ {printable(e.path)}", fg="green") for e in found.added]
    lines += [click.style(f"- {printable(e.path)}", fg="red") for e in found.removed]
    lines += [click.style(f"~ {printable(c.path)}", fg="yellow") for c in found.changed]
    return "\n".join(lines)


def _statistics(found: TableComparison) -> str:
    rows = []
    for each in found.columns:
        for side, profile in (("before", each.before), ("after", each.after)):
            if profile is None:
                rows.append((each.column if side == "before" else "", side, "–", "", "", "", "", ""))
                continue
            mean = "" if profile.mean is None else f"{profile.mean:.6g}"
            rows.append(
                (
                    each.column if side == "before" else "",
                    side,
                    profile.type,
                    str(profile.nulls),
                    f"~{profile.distinct}",
                    _short(profile.smallest),
                    _short(profile.largest),
                    mean,
                )
            )
    heads = ("column", "", "type", "nulls", "distinct", "smallest", "largest", "mean")
    return table(heads, rows, right=(3, 4, 7))


def _short(text: str | None) -> str:
    return "" if text is None else text if len(text) <= 24 else text[:23] + "…"


def _rows(found: RowDiff) -> str:
    lines = [
        f"rows by {', '.join(found.key)}: {found.added_count} added, {found.removed_count} removed, "
        f"{found.changed_count} changed"
    ]
    lines += [f"  {count} changed in {column}" for column, count in found.columns.items()]
    lines += [click.style(f"+ {_named(row)}", fg="green") for row in found.added]
    lines += [click.style(f"- {_named(row)}", fg="red") for row in found.removed]
    for change in found.changed:
        cells = ", ".join(f"{cell.column} {_value(cell.before)} → {_value(cell.after)}" for cell in change.cells)
        lines.append(click.style(f"~ {_named(change.key)}: {cells}", fg="yellow"))
    return "\n".join(lines)


def _named(row: dict[str, Any]) -> str:
    return ", ".join(f"{name}={_value(value)}" for name, value in row.items())


def _value(value: Any) -> str:
    return "null" if value is None else str(value)


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion_command(shell: str) -> None:
    """Print the script that lets SHELL complete commands, datasets and refs: eval "$(hw completion bash)"."""
    from click.shell_completion import get_completion_class

    from .root import cli

    kind = get_completion_class(shell)
    assert kind is not None
    script = kind(cli, {}, "hw", "_HW_COMPLETE").source()
    # To bash an '@' ends a word unless it is told otherwise, and refs have one.
    click.echo(f'COMP_WORDBREAKS="${{COMP_WORDBREAKS//@}}"\n{script}' if shell == "bash" else script)

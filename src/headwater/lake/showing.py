"""How a table shows itself: its columns, first rows, version and where it came from, as text and as HTML."""

from __future__ import annotations

from datetime import UTC, datetime
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .table import Table
    from .values import Version

TEXT_ROWS = 5
HTML_ROWS = 10
COLUMNS = 20
_CELL = 40


def as_text(table: Table) -> str:
    """Return a table's columns, lineage and first rows as lines."""
    shown = ", ".join(f"{name} {kind}" for name, kind in list(table.types.items())[:COLUMNS])
    more = f", … {len(table.columns) - COLUMNS} more" if len(table.columns) > COLUMNS else ""
    of = f"{table.scanned.version.ref}: " if table.scanned else ""
    lines = [f"Table({of}{len(table):,} rows: {shown}{more})"]
    if table.scanned:
        lines += [f"  {line}" for line in lineage(table.scanned.version)]
    names, rows = _first(table, TEXT_ROWS)
    cells = [names, *([_cell(value) for value in row] for row in rows)]
    widths = [max(len(row[place]) for row in cells) for place in range(len(names))]
    lines += ["  " + "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in cells]
    return "\n".join(lines)


def as_html(table: Table) -> str:
    """Return a table's columns, lineage and first rows as one HTML element, everything escaped."""
    names, rows = _first(table, HTML_ROWS)
    version = table.scanned.version if table.scanned else None
    title = f"<strong>{escape(version.ref)}</strong> · " if version else ""
    about = "<br>".join(escape(line) for line in lineage(version)) if version else ""
    head = "".join(f"<th>{escape(name)}<br><small>{escape(table.types[name])}</small></th>" for name in names)
    body = "".join("<tr>" + "".join(f"<td>{escape(_cell(value))}</td>" for value in row) + "</tr>" for row in rows)
    return (
        f"<div><p>{title}{len(table):,} rows, {len(table.columns):,} columns"
        f"{f'<br><small>{about}</small>' if about else ''}</p>"
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def lineage(version: Version) -> list[str]:
    """Return what is known of where a version came from, a line each."""
    at = datetime.fromtimestamp(version.created_at / 1e6, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    lines = [f"by {version.author}, {at}: {version.message or '(no message)'}"]
    if version.source:
        lines.append(f"source: {version.source}")
    if version.produced_by:
        lines.append(f"produced by {version.produced_by}")
    if version.inputs:
        lines.append("made from " + ", ".join(f"version:{used}" for used in version.inputs[:5]))
    return lines


def _first(table: Table, count: int) -> tuple[list[str], list[tuple[Any, ...]]]:
    from .table import quote

    names = table.columns[:COLUMNS]
    chosen = ", ".join(quote(name) for name in names)
    return names, table.sql(f"SELECT {chosen} FROM data LIMIT {count}").fetchall()


def _cell(value: Any) -> str:
    text = "–" if value is None else " ".join(str(value).split())
    return text if len(text) <= _CELL else text[: _CELL - 1] + "…"

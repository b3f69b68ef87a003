"""How datasets and what a search found show themselves in a terminal and in a notebook."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from headwater.lake import Column, Dataset, Found

_HEADS = ("dataset", "versions", "main", "rows", "files", "description")


def catalogue_text(datasets: Sequence[Dataset]) -> str:
    """Return datasets as aligned lines."""
    return _aligned(_HEADS, [_row(each) for each in datasets])


def catalogue_html(datasets: Sequence[Dataset]) -> str:
    """Return datasets as an HTML table."""
    return _table(_HEADS, [_row(each) for each in datasets])


def found_text(found: Sequence[Found]) -> str:
    """Return what a search found as aligned lines."""
    return _aligned(("dataset", "found in", "description"), [_found_row(each) for each in found])


def found_html(found: Sequence[Found]) -> str:
    """Return what a search found as an HTML table."""
    return _table(("dataset", "found in", "description"), [_found_row(each) for each in found])


def dataset_text(about: Dataset, columns: Sequence[Column]) -> str:
    """Return what is known of a dataset, and its columns, as lines."""
    rows = [(c.name, c.type, c.description) for c in columns]
    return "\n".join([_title(about), about.description or "(no description)", _names(about), _columns(rows)])


def dataset_html(about: Dataset, columns: Sequence[Column]) -> str:
    """Return what is known of a dataset, and its columns, as one HTML element."""
    rows = [(c.name, c.type, c.description) for c in columns]
    said = "<br>".join(escape(text) for text in (about.description or "(no description)", _names(about)))
    return f"<div><p><strong>{escape(_title(about))}</strong><br>{said}</p>{_table(('column', 'type', ''), rows)}</div>"


def _title(about: Dataset) -> str:
    head = f"main is v{about.head.number}" if about.head else "main is not published yet"
    return f"{about.name}: {about.versions:,} versions, {head}"


def _names(about: Dataset) -> str:
    names = [f"{b.name} = v{b.number}" for b in about.branches] + [f"{t.name} = v{t.number}" for t in about.tags]
    return "branches and tags: " + (", ".join(names) or "none")


def _columns(rows: list[tuple[str, str, str]]) -> str:
    return _aligned(("column", "type", "description"), rows) if rows else "(no tables)"


def _row(about: Dataset) -> tuple[str, ...]:
    head = about.head
    return (
        about.name,
        f"{about.versions:,}",
        f"v{head.number}" if head else "–",
        f"{head.rows:,}" if head and head.rows is not None else "",
        f"{head.files:,}" if head else "",
        about.description[:80],
    )


def _found_row(found: Found) -> tuple[str, ...]:
    places = dict.fromkeys(f"{m.place} {m.name}".strip() for m in found.matches)
    return found.dataset, ", ".join(list(places)[:4]), found.description[:80]


def _aligned(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [tuple(heads), *(tuple(row) for row in rows)]
    widths = [max(len(line[place]) for line in lines) for place in range(len(heads))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in heads)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"

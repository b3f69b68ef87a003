"""What every command gets: the project, opened when first used, and one way to show an answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from headwater.lake import Version
    from headwater.project import Project


class Context:
    """The options that stand before the command."""

    def __init__(self, place: str | None, actor: str | None, as_json: bool) -> None:
        self.place = place
        self.actor = actor
        self.as_json = as_json

    @contextmanager
    def open(self) -> Iterator[Project]:
        """Open the project for one command, and close it."""
        from headwater.events.schema import LATER
        from headwater.project import open_project

        if _every_room not in LATER:
            LATER.append(_every_room)
        project = open_project(self.place, actor=self.actor)
        try:
            yield project
        finally:
            project.close()

    def show(self, value: Any, render: Callable[[], str | None] | None = None) -> None:
        """Print an answer: as JSON when asked for, else what ``render`` returns or prints."""
        if self.as_json:
            import msgspec

            click.echo(msgspec.json.format(msgspec.json.encode(value, enc_hook=str), indent=2).decode())
            return
        text = render() if render is not None else str(value)
        if text:
            click.echo(text)


def _every_room() -> None:
    """Import what declares streams of events; a command asks for it where it meets a stream that it does not know."""
    from headwater.api.operations import load_operations

    load_operations()


def table(headers: Sequence[str], rows: Sequence[Sequence[Any]], *, right: Sequence[int] = ()) -> str:
    """Return rows as aligned text; the columns numbered in ``right`` are aligned to the right."""
    cells = [[("" if cell is None else printable(str(cell))) for cell in row] for row in rows]
    if not cells:
        return "(none)"
    widths = [max(len(header), *(len(row[i]) for row in cells)) for i, header in enumerate(headers)]

    def line(row: Sequence[str]) -> str:
        parts = [
            cell.rjust(w) if i in right else cell.ljust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        ]
        return "  ".join(parts).rstrip()

    head = click.style(line(headers), bold=True)
    return "\n".join([head, *(line(row) for row in cells)])


def printable(text: str) -> str:
    """Return a text of somebody's as a terminal may show it: without what would move the cursor or end the line."""
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def when(at_us: int | None) -> str:
    """Return a time as people read it: UTC, to the second."""
    if at_us is None:
        return ""
    from datetime import UTC, datetime

    return datetime.fromtimestamp(at_us / 1e6, UTC).strftime("%Y-%m-%d %H:%M:%S")


def size(number: int) -> str:
    """Return a number of bytes as people read it."""
    value = float(number)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024 or unit == "GiB":
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return ""


def counted(number: int, what: str) -> str:
    """Return a number with what it counts, which gets an "s" where it is not one."""
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


def contents(version: Version) -> str:
    """Return how much a version holds, as people read it."""
    counts = f"{counted(version.files, 'file')}, {size(version.bytes)}"
    return counts if version.rows is None else f"{counts}, {version.rows:,} rows"


pass_context = click.make_pass_decorator(Context)

"""Markdown that shows other people's texts as text: no table is broken, no HTML made, nobody notified."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

_SPECIAL = re.compile(r"([\\`*_\[\]<>|~#])")
_MENTION = re.compile(r"(?<![A-Za-z0-9_])@(?=[A-Za-z0-9])")


def plain(text: object) -> str:
    """Return a text as Markdown that shows exactly it, on one line; ``@name`` in it notifies nobody."""
    one_line = " ".join(str(text).split())
    return _MENTION.sub("@<!-- -->", _SPECIAL.sub(r"\\\1", one_line))


def code(text: object) -> str:
    """Return a text as a code span, also within a table."""
    one_line = " ".join(str(text).split()).replace("|", "\\|")
    ticks = "`" * (1 + max((len(run) for run in re.findall(r"`+", one_line)), default=0))
    space = " " if "`" in one_line else ""
    return f"{ticks}{space}{one_line}{space}{ticks}" if one_line else ""


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[int] = ()) -> Iterator[str]:
    """Yield the lines of a table and an empty one; cells are Markdown. Columns in ``right`` are set to the right."""
    yield f"| {' | '.join(columns)} |"
    yield "|" + "|".join(" ---: " if place in right else " --- " for place in range(len(columns))) + "|"
    for row in rows:
        yield f"| {' | '.join(row)} |"
    yield ""

"""Markdown for cards: tables, links, numbers and times."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote


class Link:
    """Makes links to the pages of a server; without an ``address``, text alone."""

    def __init__(self, address: str | None) -> None:
        self._address = None if address is None else address.rstrip("/")

    def to(self, text: str, path: str) -> str:
        """Return the text as a link to a page."""
        if self._address is None:
            return text
        return f"[{text.replace('[', '(').replace(']', ')')}](<{self._address}{quote(path, safe='/?=&@:')}>)"

    def evidence(self, identifier: str) -> str:
        """Return the words that name a piece of evidence."""
        return f"evidence {self.to(identifier, f'/trace?ref=evidence:{identifier}')}"


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield a Markdown table's lines, and an empty one; nothing where there are no rows."""
    if not rows:
        return
    yield f"| {' | '.join(columns)} |"
    yield f"|{' --- |' * len(columns)}"
    for row in rows:
        yield f"| {' | '.join(_cell(value) for value in row)} |"
    yield ""


def interval(found: Any) -> tuple[str, str]:
    """Return a measured value and its interval as text, from ``{value, low, high}``."""
    if not isinstance(found, Mapping):
        return number(found), ""
    low, high = found.get("low"), found.get("high")
    return number(found.get("value")), f"{number(low)} to {number(high)}" if low is not None else ""


def number(value: Any, digits: int = 4) -> str:
    """Return a number to some significant digits; other values as text, nothing as a dash."""
    if value is None:
        return "–"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:.{digits}g}"


def moment(at: int) -> str:
    """Return UTC microseconds as a time to the minute."""
    return datetime.fromtimestamp(at / 1e6, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _cell(value: str) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ")

"""Which stretch of predictions a window covers, and where the next one begins."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec

from headwater.errors import InvalidInputError

if TYPE_CHECKING:
    from headwater.project import Project

    from .values import Monitor

DAY_US = 86_400_000_000
_UNITS = {"m": 60_000_000, "h": 3_600_000_000, "d": DAY_US}
_DURATION = re.compile(r"([1-9]\d{0,4})\s*([mhd])")
_ROWS = re.compile(r"([1-9]\d{0,8})\s*rows")
# 1970-01-01 was a Thursday: stretches of days are counted from Monday, 1969-12-29.
_MONDAY_US = -3 * DAY_US


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch of predictions in the order of (occurred_at, id).

    From ``start_at``, behind the prediction ``start_after`` if one is named; up to and without ``end_at``, or up to
    and with the prediction ``end_with`` at it.
    """

    start_at: int
    end_at: int
    start_after: str = ""
    end_with: str = ""

    def where(self) -> tuple[str, list[object]]:
        """Return the SQL condition of the predictions inside, with its parameters."""
        sql, params = "occurred_at >= ?", [self.start_at]
        values: list[object] = list(params)
        if self.start_after:
            sql, values = "(occurred_at > ? OR (occurred_at = ? AND prediction > ?))", [
                self.start_at, self.start_at, self.start_after,
            ]  # fmt: skip
        if self.end_with:
            sql += " AND (occurred_at < ? OR (occurred_at = ? AND prediction <= ?))"
            values += [self.end_at, self.end_at, self.end_with]
        else:
            sql += " AND occurred_at < ?"
            values.append(self.end_at)
        return sql, values

    @property
    def limits(self) -> tuple[int, int]:
        """The range of ``occurred_at`` that holds all of it, end excluded."""
        return self.start_at, self.end_at + (1 if self.end_with else 0)


def duration_us(text: str) -> int:
    """Return ``15m``, ``6h`` or ``14d`` in microseconds; ``0d`` is 0.

    Raises:
        InvalidInputError: it is none of these.
    """
    if text in ("0", "0d", "0h", "0m", ""):
        return 0
    found = _DURATION.fullmatch(text.strip())
    if not found:
        raise InvalidInputError(f"'{text}' is not a length of time: write 15m, 6h or 14d.", text=text)
    return int(found[1]) * _UNITS[found[2]]


def rows_of(window: str) -> int | None:
    """Return N of a window ``N rows``, None for windows of time."""
    found = _ROWS.fullmatch(window.strip())
    return int(found[1]) if found else None


def check_window(window: str) -> None:
    """Return when a window can be understood.

    Raises:
        InvalidInputError: it is neither ``month``, a length of time, nor a number of rows.
    """
    if window == "month" or rows_of(window) is not None:
        return
    if not duration_us(window):
        raise InvalidInputError(f"a window of '{window}' has no length: write month, 7d, 6h or 500 rows.")


def time_span(window: str, at: int) -> Span:
    """Return the window of time that holds a moment: calendar months, or stretches counted from a Monday, UTC."""
    if window == "month":
        day = datetime.fromtimestamp(at / 1e6, UTC)
        following = (day.year + day.month // 12, day.month % 12 + 1)
        start = datetime(day.year, day.month, 1, tzinfo=UTC)
        end = datetime(*following, 1, tzinfo=UTC)
        return Span(start_at=int(start.timestamp()) * 1_000_000, end_at=int(end.timestamp()) * 1_000_000)
    length = duration_us(window)
    start_at = at - (at - _MONDAY_US) % length
    return Span(start_at=start_at, end_at=start_at + length)


def next_span(project: Project, monitor: Monitor, after: Span | None, upto: int) -> Span | None:
    """Return the next window that has requests and is complete at ``upto``; None when there is none yet."""
    count = rows_of(monitor.window)
    if count is not None:
        return _next_rows(project, monitor, after, upto, count)
    first = _first_at(project, monitor, after.end_at if after else None)
    if first is None:
        return None
    span = time_span(monitor.window, first)
    return span if span.end_at <= upto else None


def _first_at(project: Project, monitor: Monitor, start: int | None) -> int | None:
    # A time in which every request was refused has no predictions, and must be seen all the more.
    found = project.events.query(
        "SELECT min(occurred_at) FROM (SELECT occurred_at, model, channel FROM predictions "
        "UNION ALL SELECT occurred_at, model, channel FROM refusals) WHERE model = ? AND channel = ?",
        [monitor.model, monitor.channel],
        streams=["predictions", "refusals"],
        start=start,
    ).fetchall()[0][0]
    return None if found is None else int(found)


def _next_rows(project: Project, monitor: Monitor, after: Span | None, upto: int, count: int) -> Span | None:
    begin = Span(start_at=after.end_at, start_after=after.end_with, end_at=upto) if after else None
    condition, values = begin.where() if begin else ("occurred_at < ?", [upto])
    rows = project.events.query(
        "SELECT min(occurred_at), max((occurred_at, prediction)), count(*) FROM (SELECT occurred_at, prediction "
        f"FROM predictions WHERE model = ? AND channel = ? AND {condition} ORDER BY occurred_at, prediction LIMIT ?)",
        [monitor.model, monitor.channel, *values, count],
        streams=["predictions"],
        start=begin.start_at if begin else None,
        end=upto,
    ).fetchall()
    first, last, found = rows[0]
    if found < count:
        return None
    return Span(
        start_at=after.end_at if after else int(first),
        start_after=after.end_with if after else "",
        end_at=int(last[0]),
        end_with=str(last[1]),
    )

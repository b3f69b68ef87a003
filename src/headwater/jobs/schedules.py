"""When a schedule is due: five fields of cron, read in the trigger's own time zone, or every so often."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo
from typing import TYPE_CHECKING, NamedTuple

from headwater.errors import InvalidInputError

if TYPE_CHECKING:
    from cronsim import CronSim

    from .values import CatchUp

_SECOND_US = 1_000_000
ON_TIME_US = 60 * _SECOND_US
"""A time that passed longer ago than this was missed, for a schedule that makes up for none."""
_EVERY = re.compile(r"(\d+)(s|m|h|d)")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


class Schedule(NamedTuple):
    """Times: ``cron`` in ``timezone``, or ``every`` so often (counted from 1970-01-01 00:00 UTC)."""

    cron: str
    every: str
    timezone: str

    def next_due(self, *, after: int) -> int:
        """Return the first time after ``after`` that it is due; times are UTC microseconds.

        Where clocks are put forward or back, Debian's cron is followed: a fixed time runs once on each day.

        Raises:
            InvalidInputError: the expression or the zone is not one, or it is never due.
        """
        if self.every:
            period = period_us(self.every)
            return (after // period + 1) * period
        start = datetime.fromtimestamp(after // _SECOND_US, UTC)
        try:
            return _microseconds(next(_steps(self.cron, self.timezone, start, reverse=False)))
        except StopIteration:
            raise InvalidInputError(f"the schedule '{self.cron}' is never due.", cron=self.cron) from None

    def last_due(self, *, after: int, until: int, most: int) -> list[int]:
        """Return the last times that it was due in (after, until], at most ``most``, in order; raises as above."""
        if self.next_due(after=after) > until:
            return []
        if self.every:
            period = period_us(self.every)
            last, first = until // period, after // period + 1
            return [number * period for number in range(max(first, last - most + 1), last + 1)]
        # Stepping back from the second after ``until`` finds the last ones without walking through all that were
        # missed.
        start = datetime.fromtimestamp(until // _SECOND_US, UTC) + timedelta(seconds=1)
        found: list[int] = []
        for moment in _steps(self.cron, self.timezone, start, reverse=True):
            at = _microseconds(moment)
            if at <= after or len(found) == most:
                break
            found.append(at)
        return found[::-1]

    def counting(self, catch_up: CatchUp, *, after: int, until: int, most: int) -> list[int]:
        """Return the times in (after, until] that count, in order: which of the missed ones is up to ``catch_up``."""
        if catch_up == "all":
            return self.last_due(after=after, until=until, most=most)
        last = self.last_due(after=after, until=until, most=1)
        if catch_up == "none" and last and last[0] < until - ON_TIME_US:
            return []
        return last

    def date_of(self, at: int) -> str:
        """Return the day of a time in the schedule's zone, ``2026-03-01``."""
        return datetime.fromtimestamp(at // _SECOND_US, _zone(self.timezone)).date().isoformat()


def period_us(every: str) -> int:
    """Return the length of ``10s``, ``5m``, ``2h`` or ``1d`` in microseconds.

    Raises:
        InvalidInputError: it is written otherwise, or shorter than a second.
    """
    found = _EVERY.fullmatch(every)
    if not found or not int(found[1]):
        raise InvalidInputError(f"'{every}' is no length of time: write 10s, 5m, 2h or 1d.", every=every)
    return int(found[1]) * _UNITS[found[2]] * _SECOND_US


def _steps(cron: str, timezone: str, start: datetime, *, reverse: bool) -> CronSim:
    from cronsim import CronSim, CronSimError

    if len(cron.split()) != 5:
        raise InvalidInputError(
            f"the schedule '{cron}' needs five fields: minute, hour, day of month, month, day of week. "
            "'30 6 * * 1-5' is half past six on working days.",
            cron=cron,
        )
    try:
        return CronSim(cron, start.astimezone(_zone(timezone)), reverse=reverse)
    except CronSimError as error:
        raise InvalidInputError(f"the schedule '{cron}' cannot be read: {error}.", cron=cron) from error


def _zone(name: str) -> tzinfo:
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise InvalidInputError(
            f"there is no time zone '{name}'. Zones are called like 'Europe/Berlin'; a system without its own list of "
            "them needs 'pip install tzdata'.",
            timezone=name,
        ) from error


def _microseconds(moment: datetime) -> int:
    return round(moment.timestamp()) * _SECOND_US

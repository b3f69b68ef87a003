"""When a schedule is due: five fields of cron, read in the trigger's own time zone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from typing import TYPE_CHECKING

from headwater.errors import InvalidInputError

if TYPE_CHECKING:
    from cronsim import CronSim

_SECOND_US = 1_000_000


def due(cron: str, timezone: str, *, after: int, until: int) -> int | None:
    """Return the last time that a schedule was due in (after, until], or None; times are UTC microseconds.

    Only the last counts: a scheduler that was away makes up for what it missed once, not many times. Where clocks
    are put forward or back, Debian's cron is followed: a fixed time runs once on each day.

    Raises:
        InvalidInputError: the expression or the zone is not one.
    """
    if next_due(cron, timezone, after=after) > until:
        return None
    # Stepping back from the second after ``until`` finds the last one without walking through all that were missed.
    start = datetime.fromtimestamp(until // _SECOND_US, UTC) + timedelta(seconds=1)
    return _microseconds(next(_steps(cron, timezone, start, reverse=True)))


def next_due(cron: str, timezone: str, *, after: int) -> int:
    """Return the first time after ``after`` that a schedule is due, UTC microseconds; raises as ``due``."""
    start = datetime.fromtimestamp(after // _SECOND_US, UTC)
    try:
        return _microseconds(next(_steps(cron, timezone, start, reverse=False)))
    except StopIteration:
        raise InvalidInputError(f"the schedule '{cron}' is never due.", cron=cron) from None


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

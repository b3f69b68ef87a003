"""How much one process takes on: who is turned away, for how long, and until when an answer is of use."""

from __future__ import annotations

import math
import operator
import time
from collections import Counter
from typing import TYPE_CHECKING

from headwater.errors import InvalidInputError, UnavailableError

if TYPE_CHECKING:
    from .settings import ServeSettings

DEADLINE_HEADER = b"x-headwater-deadline-ms"

EARLIEST_US, LATEST_US = -62_135_596_800_000_000, 253_402_300_799_999_999
"""The moments that a date can say, year 1 to 9999, in UTC microseconds since 1970."""

_MOST_DIGITS = 15


class BusyError(UnavailableError):
    """The server has begun as many requests as it takes on: send it again after ``retry_after_s`` seconds."""

    kind = "busy"


class TooManyRequestsError(BusyError):
    """One caller has too many requests under way: wait for some of them."""

    kind = "too_many_requests"
    http_status = 429


class DeadlineError(UnavailableError):
    """The answer would have come too late, so it was not computed or is not given."""

    kind = "deadline"
    http_status = 504


class SlowRequestError(InvalidInputError):
    """The body of a request did not arrive in time."""

    kind = "slow_request"
    http_status = 408


class Gate:
    """Counts the requests of one event loop that are under way, and turns away those that are too many."""

    def __init__(self, settings: ServeSettings) -> None:
        self._settings = settings
        self.under_way = 0
        self.turned_away = 0
        self._callers: Counter[str] = Counter()
        self._usual_s = 0.01

    def enter(self, caller: str) -> float:
        """Begin a request; returns when it began, which ``leave`` wants.

        Raises:
            BusyError: the process has begun as many requests as it takes on.
            TooManyRequestsError: this caller has.
        """
        if self.under_way >= self._settings.most_under_way:
            self.turned_away += 1
            raise BusyError(
                f"{self.under_way} requests are under way, as many as this server takes on. "
                f"Send it again in {self._retry_s()} s, or start more workers ('hw serve --workers N').",
                retry_after_s=self._retry_s(),
            )
        most = self._settings.most_per_caller
        if most:
            if self._callers[caller] >= most:
                self.turned_away += 1
                raise TooManyRequestsError(
                    f"{caller or 'you'} has {most} requests under way, as many as one caller may have here. "
                    "Wait for some of them, then send it again.",
                    retry_after_s=1,
                )
            self._callers[caller] += 1
        self.under_way += 1
        return time.perf_counter()

    def leave(self, caller: str, began_s: float) -> None:
        """End a request."""
        self.under_way -= 1
        self._usual_s += (time.perf_counter() - began_s - self._usual_s) / 32
        if self._settings.most_per_caller:
            self._callers[caller] -= 1
            if not self._callers[caller]:
                del self._callers[caller]

    def _retry_s(self) -> int:
        return max(1, math.ceil(self._usual_s))


def deadline_of(headers: list[tuple[bytes, bytes]], most_s: float) -> float:
    """Return until when (``time.monotonic``) a request is to be answered: what its head asks for, at most the limit.

    Raises:
        InvalidInputError: the header is not a positive number of milliseconds.
    """
    for name, value in headers:
        if name == DEADLINE_HEADER:
            if not value.isdigit() or len(value) > _MOST_DIGITS or not int(value):
                raise InvalidInputError(
                    f"the header {DEADLINE_HEADER.decode()} is {value.decode('latin-1')[:40]!r}: give the milliseconds "
                    "that the answer is waited for, as a whole number above 0."
                )
            return time.monotonic() + min(int(value) / 1000, most_s)
    return time.monotonic() + most_s


def checked_moment(occurred_at: int) -> int:
    """Return a time of UTC microseconds, if it is one that can be kept.

    One beyond 64 bits would fail the write of every request that shares it.

    Raises:
        InvalidInputError: it is no whole number, or is before the year 1 or after 9999.
    """
    try:
        occurred_at = operator.index(occurred_at)
    except TypeError as error:
        raise InvalidInputError(
            f"occurred_at is {str(occurred_at)[:40]}, no whole number: give microseconds since 1970, rounded as you "
            "want them, as in round(time.time() * 1e6)."
        ) from error
    if not EARLIEST_US <= occurred_at <= LATEST_US:
        told = f"{occurred_at}" if occurred_at.bit_length() < 128 else f"a number of {occurred_at.bit_length():,} bits"
        raise InvalidInputError(
            f"occurred_at is {told}, no time of the years 1 to 9999: give microseconds since 1970, as in "
            "1772366400000000."
        )
    return occurred_at


def too_late() -> DeadlineError:
    """Return the error of a request whose time is over."""
    return DeadlineError(
        "the answer was not ready when the request's time was over; nothing of it is kept. Ask for fewer rows at once, "
        f"allow more time ({DEADLINE_HEADER.decode()}, [serve] deadline_s), or start more workers."
    )

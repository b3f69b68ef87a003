"""Numbers held against a limit, as gates are written: ``auc>0.6``, ``at_least = 0.6``."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from typing import Any

import msgspec

_WRITTEN = re.compile(r"(.+?)\s*(>=|<=|>|<)\s*([-+]?[.\d]+(?:[eE][-+]?\d+)?)")
_SIGNS: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}
ENDS = ("value", "low", "high")
LEAST_RESAMPLES = 200
"""An interval of fewer bootstrap samples opens no gate: of a few samples its ends are where chance put them."""


class Limit(msgspec.Struct, frozen=True, kw_only=True):
    """A sign and a number. A NaN keeps no limit: comparing it is False."""

    sign: str
    number: float

    def holds(self, value: float) -> bool:
        """Tell whether a value keeps the limit."""
        return _SIGNS[self.sign](value, self.number)

    def __str__(self) -> str:
        return f"{self.sign} {self.number:g}"


def limit_of(at_least: float | None, at_most: float | None) -> Limit:
    """Return the limit of a table.

    Raises:
        TypeError: it has neither end, or both.
    """
    if (at_least is None) == (at_most is None):
        raise TypeError("one of at_least and at_most")
    if at_least is not None:
        return Limit(sign=">=", number=float(at_least))
    return Limit(sign="<=", number=float(at_most or 0.0))


def written_limit(text: str) -> tuple[str, Limit] | None:
    """Return the name and the limit that ``NAME>NUMBER`` writes; None where it does not."""
    found = _WRITTEN.fullmatch(text.strip())
    if found is None:
        return None
    name, sign, number = found.groups()
    try:
        return name, Limit(sign=sign, number=float(number))
    except ValueError:
        return None


def written_end(name: str) -> tuple[str, str]:
    """Return a name without the end of its interval, and which: ``auc.low`` is ``auc`` and ``low``."""
    stem, _, end = name.rpartition(".")
    return (stem, end) if stem and end in ENDS else (name, "value")


def check_end(of: str) -> None:
    """Raise TypeError when ``of`` is no end of an interval."""
    if of not in ENDS:
        raise TypeError(f"of is {', '.join(ENDS)}")


def shown(name: str, of: str) -> str:
    """Return a metric's name with the end of the interval that is meant."""
    return name if of == "value" else f"{name}.{of}"


def too_few(body: dict[str, Any], of: str = "low") -> str:
    """Return why an end of evidence's intervals counts for nothing, in a sentence; '' where it does.

    Evidence that does not say how many samples it was made of comes from elsewhere, and is taken at its word.
    """
    resamples = body.get("resamples")
    if of == "value" or resamples is None or resamples >= LEAST_RESAMPLES:
        return ""
    return f"its intervals are made of {resamples:,} samples, and a gate reads those of at least {LEAST_RESAMPLES}"


def number_at(interval: Any, of: str) -> float:
    """Return an end of ``{value, low, high}``; NaN where it is missing or null."""
    found = interval.get(of) if isinstance(interval, dict) else interval
    return float("nan") if found is None else float(found)

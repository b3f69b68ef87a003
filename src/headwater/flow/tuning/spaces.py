"""The space that a search over parameters looks through: one dimension for each parameter.

A dimension is written as text or as JSON: ``"2..10"`` (whole numbers), ``"0.1..0.9"`` (numbers), ``"1e-4..1e-1:log"``,
``"2..10:step=2"``, ``["gini", "entropy"]`` (one of these). Texts with ``|`` are choices too: ``"gini|entropy"``.
"""

from __future__ import annotations

import itertools
import math
import random
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from headwater.errors import InvalidInputError

_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_RANGE = re.compile(rf"({_NUMBER})\.\.({_NUMBER})(?::(log)|:step=({_NUMBER}))?")


class Dimension(msgspec.Struct, frozen=True, kw_only=True):
    """The values of one parameter: ``choices``, or numbers from ``low`` to ``high``, both included."""

    choices: tuple[Any, ...] = ()
    low: float = 0.0
    high: float = 0.0
    step: float | None = None
    log: bool = False
    whole: bool = False

    def draw(self, chance: random.Random) -> Any:
        """Return a value at random: evenly, on a logarithmic scale where asked for."""
        if self.choices:
            return self.choices[chance.randrange(len(self.choices))]
        if self.log:
            value = math.exp(chance.uniform(math.log(self.low), math.log(self.high)))
            return max(int(self.low), min(int(self.high), round(value))) if self.whole else value
        if self.step is not None:
            values = self.values()
            return values[chance.randrange(len(values))]
        return chance.randint(int(self.low), int(self.high)) if self.whole else chance.uniform(self.low, self.high)

    def values(self) -> tuple[Any, ...]:
        """Return every value, for a grid.

        Raises:
            InvalidInputError: there are endlessly many.
        """
        if self.choices:
            return self.choices
        step = self.step or (1.0 if self.whole and not self.log else None)
        if step is None:
            raise InvalidInputError(
                f"{self.low:g}..{self.high:g} has endlessly many values, so it is no part of a grid. List some: "
                "'0.1|0.2|0.5', or give a step: '0.1..0.9:step=0.2'."
            )
        count = int((self.high - self.low) / step + 1e-9) + 1
        found = (self.low + number * step for number in range(count))
        return tuple(round(value) for value in found) if self.whole else tuple(round(value, 12) for value in found)


def read_space(given: Mapping[str, Any]) -> dict[str, Dimension]:
    """Return the dimensions of a space as it is written.

    Raises:
        InvalidInputError: it is empty, or a dimension cannot be read; the message says how to write one.
    """
    if not given:
        raise InvalidInputError("a search needs at least one parameter to try values of, such as depth=2..10.")
    return {name: _dimension(name, value) for name, value in given.items()}


def grid(space: Mapping[str, Dimension]) -> list[dict[str, Any]]:
    """Return every combination of values, the last parameter changing quickest."""
    names = list(space)
    return [dict(zip(names, values, strict=True)) for values in itertools.product(*(space[n].values() for n in names))]


def _dimension(name: str, value: Any) -> Dimension:
    if isinstance(value, list | tuple):
        if not value:
            raise InvalidInputError(f"'{name}' has an empty list of values to try.", parameter=name)
        return Dimension(choices=tuple(value))
    if not isinstance(value, str):
        return Dimension(choices=(value,))
    found = _RANGE.fullmatch(value.strip())
    if found is None:
        if ".." in value:
            raise InvalidInputError(
                f"'{name}={value}' is no range: write 2..10, 0.1..0.9, 1e-4..1e-1:log or 2..10:step=2.", parameter=name
            )
        return Dimension(choices=tuple(_plain(each) for each in value.split("|")))
    low, high, log, step = found.groups()
    dimension = Dimension(
        low=float(low),
        high=float(high),
        log=log is not None,
        step=None if step is None else float(step),
        whole=all(_is_whole(each) for each in (low, high, step or "1")),
    )
    _require_sound(name, value, dimension)
    return dimension


def _require_sound(name: str, text: str, dimension: Dimension) -> None:
    problem = ""
    if dimension.low > dimension.high:
        problem = "its end is before its beginning"
    elif dimension.log and dimension.low <= 0:
        problem = "a logarithmic range begins above 0"
    elif dimension.step is not None and dimension.step <= 0:
        problem = "its step is not above 0"
    if problem:
        raise InvalidInputError(f"'{name}={text}' cannot be searched: {problem}.", parameter=name)


def _is_whole(text: str) -> bool:
    return re.fullmatch(r"[+-]?\d+", text) is not None


def _plain(text: str) -> Any:
    try:
        return msgspec.json.decode(text.strip().encode())
    except msgspec.DecodeError:
        return text.strip()

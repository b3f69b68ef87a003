"""The rounds: in each, every contender does the same work, one after the other, in an order that turns.

The machine's noise is slow: what is compared is therefore measured close together, and nobody always goes first.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .summary import Line, Taken, lines_of
from .values import Comparison, Contender, MeasureError, Quantity, Sample

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Result:
    """One quantity of one comparison, ready to be shown."""

    comparison: str
    quantity: Quantity
    lines: list[Line]


@dataclass(slots=True)
class _Kept:
    samples: dict[str, list[Sample]] = field(default_factory=dict)
    failed: str = ""


def run_comparison(comparison: Comparison, rounds: int, place: Path, say: Say = lambda text: None) -> list[Result]:
    """Measure one comparison and return a result per quantity. A contender that fails once is out, and says why."""
    kept = {each.name: _Kept(failed=each.missing) for each in comparison.contenders}
    counted = 1 if comparison.once else rounds * comparison.times
    for number in range(-1 if comparison.warm else 0, counted):
        for contender in turned(comparison.contenders, number):
            one = kept[contender.name]
            if one.failed:
                continue
            try:
                samples = _go(contender, place)
            except MeasureError as error:
                one.failed, one.samples = str(error), {}
                say(f"{comparison.name}: {contender.name}: {error}")
                continue
            if number >= 0:
                for name, sample in samples.items():
                    one.samples.setdefault(name, []).append(sample)
        say(f"{comparison.name}: " + (f"round {number + 1} of {counted}" if number >= 0 else "warmed up"))
    return [_result(comparison, quantity, kept) for quantity in comparison.quantities]


def turned(contenders: Sequence[Contender], number: int) -> list[Contender]:
    """Return the contenders beginning with another one in each round."""
    start = number % len(contenders)
    return [*contenders[start:], *contenders[:start]]


def _go(contender: Contender, place: Path) -> dict[str, Sample]:
    folder = Path(tempfile.mkdtemp(prefix="round-", dir=place))
    # Whatever earlier work left to be written must not be waited for in this one.
    os.sync()
    try:
        return contender.go(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _result(comparison: Comparison, quantity: Quantity, kept: dict[str, _Kept]) -> Result:
    taken = []
    for each in comparison.contenders:
        one = kept[each.name]
        samples = tuple(one.samples.get(quantity.name, ()))
        if samples or one.failed:  # a contender may have only some of the quantities
            taken.append(Taken(each.name, each.role, samples, one.failed))
    return Result(comparison.name, quantity, lines_of(quantity, taken))

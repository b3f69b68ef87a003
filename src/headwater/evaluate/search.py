"""Searching for inputs on which two forms of a model disagree most.

An exported model computes in 32 bits, so it cannot tell numbers apart that round to the same 32-bit float; everywhere
else it should agree. Three kinds of probe: odd values put in one column at a time (missing, unseen text, huge, tiny),
combinations of columns from different rows, and jumps: places where the original's answer changes along a column,
found by bisection down to two adjacent 64-bit floats. Data often lies exactly on such a place, since trees split at
values they saw.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from headwater.model import Field
from headwater.model.columns import take

from .metrics import Array

Columns = dict[str, Array]
Ask = Callable[[Mapping[str, Array]], dict[str, Array]]
"""A model: typed input columns to output columns."""

UNSEEN = "\u2603 unseen"
_F32 = np.finfo(np.float32)
EDGES = (0.0, -0.0, float(_F32.tiny), float(_F32.smallest_subnormal), float(_F32.eps), 16777217.0, -16777217.0)
HUGE = (1e30, -1e30)
ODD_WHOLE = (0, -1, 1, 2**24 + 1, 2**31, -(2**31), 2**53 + 1)


def probes(
    fields: Sequence[Field], base: Columns, ask: Ask, *, seed: int, pairs: int = 24
) -> Iterator[tuple[str, Columns]]:
    """Yield batches of input columns, each with its kind: ``odd values``, ``combinations``, ``jumps``, ``unresolved``.

    ``base`` holds real rows to start from; ``ask`` is the original. ``unresolved`` rows lie within the rounding of a
    jump, where a model in 32 bits cannot but differ on one side: they are to be shown, not judged.
    """
    random = np.random.default_rng(seed)
    few = take(base, random.permutation(_rows(base))[: 2 * pairs])
    for field in fields:
        yield "odd values", _odd_values(field, few)
    yield "combinations", {name: random.permutation(values) for name, values in base.items()}
    found = _Jumps(fields, base, random, pairs)
    if found.rows:
        found.bisect(ask)
        yield "jumps", found.resolved()
        yield "unresolved", found.unresolved()


def _odd_values(field: Field, few: Columns) -> Columns:
    """Return the few rows once per odd value of one field that its contract type admits."""
    odd = _odd_of(field, few[field.name])
    if not len(odd):
        return take(few, slice(0, 0))
    rows = _rows(few)
    columns = {name: np.tile(values, len(odd)) for name, values in few.items()}
    columns[field.name] = np.repeat(odd, rows)
    return columns


def _odd_of(field: Field, seen: Array) -> Array:
    if field.allowed is not None:
        return np.array(field.allowed, seen.dtype)
    if field.type == "bool":
        return np.array([True, False])
    if field.type == "str":
        texts: list[Any] = [UNSEEN, "", " ", "0", *([None] if field.nullable else [])]
        column = np.empty(len(texts), object)
        column[:] = texts
        return column
    whole = field.type == "int"
    numbers = np.array(ODD_WHOLE if whole else (*EDGES, *HUGE, *([np.nan] if field.nullable else [])))
    low = -np.inf if field.minimum is None else field.minimum
    high = np.inf if field.maximum is None else field.maximum
    bounds = [each for each in (field.minimum, field.maximum) if each is not None]
    kept = np.append(numbers[~((numbers < low) | (numbers > high))], bounds)
    return kept.astype(np.int64 if whole and seen.dtype.kind in "iu" else np.float64)


class _Jumps:
    """Pairs of rows that differ in one number, narrowed until the answer changes between neighbours.

    All columns are narrowed together, so that the original is asked once per halving. ``low`` and ``high`` are the
    numbers as integers in the same order: whole numbers as they are, floats by their 64 bits.
    """

    def __init__(self, fields: Sequence[Field], base: Columns, random: np.random.Generator, pairs: int) -> None:
        self.parts: list[tuple[Field, slice]] = []
        lows, highs, picks = [], [], []
        start = 0
        for field in fields:
            ends = _ends(field, base[field.name], random, pairs)
            if ends is None:
                continue
            lows.append(_ordered(ends[0], field.type == "int"))
            highs.append(_ordered(ends[1], field.type == "int"))
            picks.append(random.integers(0, _rows(base), len(ends[0])))
            self.parts.append((field, slice(start, start + len(ends[0]))))
            start += len(ends[0])
        self.rows = start
        if start:
            self.low, self.high = np.concatenate(lows), np.concatenate(highs)
            self.columns = take(base, np.concatenate(picks))

    def bisect(self, ask: Ask) -> None:
        """Halve every pair until its two sides are neighbours; the answer at ``low`` stays that of the lower end."""
        first = _first_float(ask(self._at(self.low)))
        for _ in range(65):
            middle = self.low // 2 + self.high // 2 + (self.low % 2 + self.high % 2) // 2
            same = _first_float(ask(self._at(middle))) == first
            self.low, self.high = np.where(same, middle, self.low), np.where(same, self.high, middle)
            if (self.high - self.low <= 1).all():
                return

    def resolved(self) -> Columns:
        """Return rows at each jump that a 32-bit model can tell apart: the jump itself and two roundings away."""
        near = self._at(self.low)
        return _joined([near, self._beside(-1.0), self._beside(1.0)])

    def unresolved(self) -> Columns:
        """Return the rows just behind each jump."""
        return self._at(self.high)

    def _beside(self, sign: float) -> Columns:
        columns = self._at(self.low if sign < 0 else self.high)
        for field, part in self.parts:
            values = columns[field.name]
            if field.type == "int":
                values[part] += int(sign)
            else:
                values[part] += sign * 2 * np.maximum(np.abs(values[part]) * float(_F32.eps), float(_F32.tiny))
        return columns

    def _at(self, places: Array) -> Columns:
        columns = dict(self.columns)
        for field, part in self.parts:
            values = columns[field.name].copy()
            values[part] = _unordered(places[part], field.type == "int")
            columns[field.name] = values
        return columns


def _joined(several: Sequence[Columns]) -> Columns:
    return {name: np.concatenate([each[name] for each in several]) for name in several[0]}


def _ends(field: Field, values: Array, random: np.random.Generator, pairs: int) -> tuple[Array, Array] | None:
    """Return pairs of different seen numbers, the lower ones and the higher ones; None where there are none."""
    if field.type not in ("float", "int"):
        return None
    known = np.unique(values[np.isfinite(values)])
    if len(known) < 2:
        return None
    chosen = np.sort(random.integers(0, len(known), (2, pairs)), axis=0)
    a, b = known[chosen[0]], known[chosen[1]]
    differ = a != b
    return (a[differ], b[differ]) if differ.any() else None


def _ordered(values: Array, whole: bool) -> Array:
    """Return numbers as integers in the same order: whole ones as they are, floats by bits, neighbours one apart."""
    if whole:
        return values.astype(np.int64)
    bits = np.ascontiguousarray(values, np.float64).view(np.int64)
    return np.where(bits < 0, -(bits & np.int64(2**63 - 1)), bits)


def _unordered(places: Array, whole: bool) -> Array:
    if whole:
        return places
    bits = np.where(places < 0, -places | np.int64(-(2**63)), places)
    return np.ascontiguousarray(bits, np.int64).view(np.float64)


def _first_float(answers: Mapping[str, Array]) -> Array:
    for values in answers.values():
        if values.dtype.kind == "f":
            return values
    return next(iter(answers.values()))


def _rows(columns: Mapping[str, Array]) -> int:
    return len(next(iter(columns.values())))

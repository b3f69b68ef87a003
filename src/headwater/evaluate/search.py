"""Searching for inputs on which two forms of a model disagree most.

An exported model computes in 32 bits, so it cannot tell numbers apart that round to the same 32-bit float; everywhere
else it should agree. Four kinds of probe: odd values put in one column at a time (missing, unseen text, huge, tiny),
combinations of columns from different rows, jumps: places where the original's answer changes along a column, found by
bisection down to two adjacent 64-bit floats (data often lies exactly on such a place, since trees split at values they
saw), and climbing: the worst inputs found so far, changed again and again where that makes them worse.
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

Differ = Callable[[Columns], Array | None]
"""How far two models are apart on each row, shape (rows,); None where one of them refused."""

UNSEEN = "\u2603 unseen"
_F32 = np.finfo(np.float32)
EDGES = (0.0, -0.0, float(_F32.tiny), float(_F32.smallest_subnormal), float(_F32.eps), 16777217.0, -16777217.0)
HUGE = (1e30, -1e30)
ENDS = (float("inf"), -float("inf"), float("nan"), float(_F32.max), -float(_F32.max))
ROUNDS = 16
"""How often climbing changes each of its inputs."""
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


def outside(fields: Sequence[Field], base: Columns, *, seed: int, rows: int = 4) -> Columns:
    """Return a few rows with infinities, NaN and the largest 32-bit floats, one number input at a time.

    A contract lets no infinity in, and NaN and such numbers hardly ever: they are to be shown, not judged.
    """
    few = take(base, np.random.default_rng(seed).permutation(_rows(base))[:rows])
    ends = np.array(ENDS)
    several = [_with(field, few, ends) for field in fields if field.type == "float"]
    return _joined(several) if several else take(few, slice(0, 0))


def climb(fields: Sequence[Field], start: Columns, base: Columns, differ: Differ, *, seed: int) -> None:
    """Change rows again and again, keeping what makes two models differ more; ``differ`` takes note of every step.

    Each row has one of its inputs changed at a time: to another row's value, part of the way there, or by some percent.
    """
    random = np.random.default_rng(seed)
    current = {field.name: start[field.name].copy() for field in fields}
    best = differ(current)
    for _ in range(ROUNDS):
        if best is None:
            return
        changed = _changed(fields, current, base, random)
        found = differ(changed)
        if found is None:
            return
        worse = found > best
        best = np.where(worse, found, best)
        for name, values in changed.items():
            current[name][worse] = values[worse]


def _changed(fields: Sequence[Field], rows: Columns, base: Columns, random: np.random.Generator) -> Columns:
    count = _rows(rows)
    which = random.integers(0, len(fields), count)
    found = {}
    for place, field in enumerate(fields):
        values = rows[field.name].copy()
        chosen = which == place
        if chosen.any():
            other = base[field.name][random.integers(0, _rows(base), int(chosen.sum()))]
            values[chosen] = _moved(field, values[chosen], other, random)
        found[field.name] = values
    return found


def _moved(field: Field, values: Array, other: Array, random: np.random.Generator) -> Array:
    """Return each value moved in one of the ways; what is no number becomes another row's."""
    if field.type != "float" or field.allowed is not None:
        return other
    way = random.integers(0, 3, len(values))
    with np.errstate(invalid="ignore", over="ignore"):
        between = values + random.random(len(values)) * (other - values)
        percent = values * (1 + random.normal(0, 0.3, len(values)))
    moved = np.select([way == 0, way == 1], [other, between], percent)
    low = -np.inf if field.minimum is None else field.minimum
    high = np.inf if field.maximum is None else field.maximum
    good = np.isnan(moved) | ((moved >= low) & (moved <= high) & (np.abs(moved) <= float(_F32.max)))
    return np.where(good, moved, other)


def beside(fields: Sequence[Field], rows: Columns, sign: float) -> Columns:
    """Return rows with every number two 32-bit roundings lower (-1) or higher (1)."""
    found = dict(rows)
    for field in fields:
        values = rows[field.name]
        if field.type == "float" and field.allowed is None:
            found[field.name] = _two_roundings(values, sign)
    return found


def _two_roundings(values: Array, sign: float) -> Array:
    return values + sign * 2 * np.maximum(np.abs(values) * float(_F32.eps), float(_F32.tiny))


def _with(field: Field, few: Columns, values: Array) -> Columns:
    rows = _rows(few)
    columns = {name: np.concatenate([each] * len(values)) for name, each in few.items()}
    columns[field.name] = np.repeat(values, rows)
    return columns


def _odd_values(field: Field, few: Columns) -> Columns:
    """Return the few rows once per odd value of one field that its contract type admits."""
    odd = _odd_of(field, few[field.name])
    if not len(odd):
        return take(few, slice(0, 0))
    return _with(field, few, odd)


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
    if field.type not in ("float", "int"):
        return np.array([])  # images, lists and the like are probed by their real rows alone
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
                values[part] = _two_roundings(values[part], sign)
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

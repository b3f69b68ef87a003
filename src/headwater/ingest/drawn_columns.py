"""Drawing a block of a column's values: seeded by table, column and block, so that any block can be made anew alone."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from hashlib import blake2b
from math import gcd
from typing import TYPE_CHECKING, Any

from ..errors import InvalidInputError
from .theory import Column, Draw, TableTheory, Theory

if TYPE_CHECKING:
    import numpy

    Array = numpy.ndarray[Any, Any]

Evaluate = Callable[[str, str], "Array"]
"""Gives the values of a formula over the columns so far; the second text is the column that errors name."""
_CLASSES = {"#": "0123456789", "?": "abcdefghijklmnopqrstuvwxyz", "@": "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}
_LARGEST_UNIQUE = 2**62


def generator(seed: int, *names: object) -> numpy.random.Generator:
    """Return a random generator of its own for these names: no block's numbers depend on another's."""
    import numpy

    text = "\x01".join(map(str, (seed, *names)))
    key = int.from_bytes(blake2b(text.encode(), digest_size=16).digest(), "big")
    return numpy.random.Generator(numpy.random.Philox(key=key))


def draw_numbers(draw: Draw, rows: int, random: numpy.random.Generator, evaluate: Evaluate, where: str) -> Array:
    """Return ``rows`` numbers of a distribution; parameters that are formulas give one value per row.

    Raises:
        InvalidInputError: a formula cannot be answered, or gives what the distribution does not take.
    """
    import numpy

    values: dict[str, Any] = {
        name: numpy.asarray(evaluate(value, where), dtype="float64") if isinstance(value, str) else value
        for name, value in draw.values.items()
    }
    try:
        return _draw(draw.kind, values, rows, random)
    except (ValueError, OverflowError) as error:
        raise InvalidInputError(
            f"{where}: {draw.kind} cannot be drawn: {error}. Look at its parameters; a formula must not be null.",
            column=where,
        ) from error


def _draw(kind: str, v: dict[str, Any], rows: int, random: numpy.random.Generator) -> Array:
    import numpy

    made: Array
    match kind:
        case "constant":
            made = numpy.full(rows, v["value"])
        case "normal":
            made = v["mean"] + v["sd"] * random.standard_normal(rows)
        case "lognormal":
            made = numpy.exp(v["mean"] + v["sigma"] * random.standard_normal(rows))
        case "exponential":
            made = v["mean"] * random.standard_exponential(rows)
        case "gamma":
            made = random.gamma(v["shape"], v["scale"], rows)
        case "beta":
            made = random.beta(v["a"], v["b"], rows)
        case "poisson":
            made = random.poisson(v["mean"], rows)
        case "binomial":
            made = random.binomial(numpy.asarray(v["n"]).astype("int64"), v["p"], rows)
        case "uniform":
            made = v["low"] + (v["high"] - v["low"]) * random.random(rows)
        case "integers":
            low, high = (numpy.floor(numpy.asarray(v[name])) for name in ("low", "high"))
            made = numpy.floor(low + (high - low + 1) * random.random(rows)).astype("int64")
        case _:
            made = random.random(rows) < v["p"]
    return made


def draw_other(
    column: Column, theory: Theory, rows: int, start: int, random: numpy.random.Generator, seed: int
) -> Array:
    """Return values of a column that is no distribution of numbers, no formula and not its parent's.

    ``start`` is the number of the block's first row.
    """
    import numpy

    match column.kind:
        case "sequence":
            return keys_of(column, numpy.arange(start, start + rows), theory.tables[column.table], seed)
        case "pattern" if column.unique:
            return keys_of(column, numpy.arange(start, start + rows), theory.tables[column.table], seed)
        case "pattern":
            return _spell(column.value, lambda count: random.integers(0, count, rows), rows)
        case "choice":
            values, shares = column.value
            bounds = numpy.cumsum(shares)
            places = numpy.minimum(numpy.searchsorted(bounds, random.random(rows), side="right"), len(values) - 1)
            return _of_one_type(values)[places]
        case "date" | "time":
            return _times(column, rows, random)
        case "ref":
            name, _, target = column.value.partition(".")
            table = theory.tables[name]
            share = random.random(rows)
            # Skew s takes the power 1 + s of an even share: the first rows of the table are named more often.
            places = numpy.minimum((share ** (1 + column.skew) * table.rows).astype("int64"), table.rows - 1)
            referred = table.column(target)
            assert referred is not None  # checked when the theory was read
            return keys_of(referred, places, table, seed)
        case _:
            return _of_one_type((column.value,))[numpy.zeros(rows, dtype="int64")]


def keys_of(column: Column, places: Array, table: TableTheory, seed: int) -> Array:
    """Return the values of a key column (a sequence, or a unique pattern) in the rows of these numbers."""
    import numpy

    if column.kind == "sequence":
        start, step = column.value
        return numpy.asarray(start + step * places, dtype="int64")
    members = 1
    for letter in column.value:
        members *= len(_CLASSES.get(letter, " "))
    if members < table.rows or members > _LARGEST_UNIQUE:
        raise InvalidInputError(
            f"{column.where}: the pattern '{column.value}' has {members:,} members; unique needs at least the table's "
            f"{table.rows:,} rows, and at most {_LARGEST_UNIQUE:,}.",
            column=column.where,
        )
    number = _scattered(places, members, seed, column.where)

    def next_class(count: int) -> Array:
        nonlocal number
        number, digit = number // count, number % count
        return digit

    return _spell(column.value, next_class, len(places))


def _scattered(places: Array, members: int, seed: int, where: str) -> Array:
    """Return a number below ``members`` for each place, none for two places: ``a * place + b`` modulo ``members``."""
    import numpy

    text = f"{seed}\x01{where}".encode()
    a = int.from_bytes(blake2b(text + b"a", digest_size=8).digest(), "big") % members or 1
    b = int.from_bytes(blake2b(text + b"b", digest_size=8).digest(), "big") % members
    while gcd(a, members) != 1:
        a += 1
    if members < 2**31:
        return (places * (a % members) + b) % members
    return numpy.array([(int(place) * a + b) % members for place in places], dtype="int64")


def _spell(pattern: str, take: Callable[[int], Array], rows: int) -> Array:
    import numpy

    letters = numpy.empty((rows, len(pattern)), dtype="U1")
    for place, letter in enumerate(pattern):
        members = _CLASSES.get(letter)
        letters[:, place] = letter if members is None else numpy.array(list(members))[take(len(members))]
    joined: Array = letters.view(f"U{len(pattern)}").reshape(rows)
    return joined.astype(object)


def _of_one_type(values: tuple[Any, ...]) -> Array:
    import numpy

    kinds = {type(value) for value in values}
    if kinds <= {int}:
        return numpy.array(values, dtype="int64")
    if kinds <= {int, float}:
        return numpy.array(values, dtype="float64")
    if kinds <= {bool}:
        return numpy.array(values, dtype=bool)
    return numpy.array([str(value) for value in values], dtype=object)


def _times(column: Column, rows: int, random: numpy.random.Generator) -> Array:
    import numpy

    low, high = column.value
    unit = datetime.timedelta(days=1) if column.kind == "date" else datetime.timedelta(seconds=1)
    steps = (high - low) // unit + 1
    name = "D" if column.kind == "date" else "s"
    first = numpy.array([low], dtype=f"datetime64[{name}]")
    made: Array = first + random.integers(0, steps, rows).astype(f"timedelta64[{name}]")
    return made

"""Which part of a split a row belongs to: by a hash of its content or group, or by its time.

A hash keeps every row on its side for good: data that grow, and are split again, move no row from test to train, and
equal rows and rows of one group are never on two sides. Cuts in time are kept from one version of a split to the next.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from headwater.errors import InvalidInputError
from headwater.lake.table import Table, quote

RECIPE = "split.json"
_PRECISION = 2**32


class Recipe(msgspec.Struct, frozen=True, kw_only=True):
    """How a split is made; kept beside its parts as ``split.json``.

    ``by`` is random, group or time; ``column`` the group or time. ``shares`` maps each part to its share, in the order
    of time. ``cuts`` are the times at which later parts begin, as text. ``salt`` enters the hash.
    """

    source: str
    by: str
    column: str = ""
    shares: dict[str, float]
    salt: str = ""
    cuts: tuple[str, ...] = ()


def checked_shares(shares: Mapping[str, float]) -> dict[str, float]:
    """Return the shares, which must be two or more, above 0 and add up to 1; names must be those of files.

    Raises:
        InvalidInputError: they do not.
    """
    named = all(name and name.replace("-", "").replace("_", "").isalnum() for name in shares)
    if len(shares) < 2 or not named or min(shares.values()) <= 0 or abs(sum(shares.values()) - 1) > 1e-6:
        said = ", ".join(f"{name}={share:g}" for name, share in shares.items())
        raise InvalidInputError(
            f"the parts {said or '(none)'} make no split: name at least two, with shares above 0 that add up to 1, "
            "such as train=0.7 validation=0.15 test=0.15."
        )
    return dict(shares)


def conditions(recipe: Recipe, columns: Sequence[str]) -> dict[str, str]:
    """Return the SQL condition of each part over a table of these columns."""
    if recipe.by == "time":
        return _between(recipe)
    key = [recipe.column] if recipe.by == "group" else list(columns)
    place = _place(recipe.salt, key)
    found, low = {}, 0.0
    for name, share in recipe.shares.items():
        high = low + share
        last = abs(high - 1) < 1e-6
        upper = "" if last else f" AND {place} < {round(high * _PRECISION)}"
        found[name] = f"{place} >= {round(low * _PRECISION)}{upper}"
        low = high
    return found


def time_cuts(table: Table, column: str, shares: Mapping[str, float]) -> tuple[str, ...]:
    """Return the times at which each part but the first begins, so that the shares hold as nearly as ties allow.

    Raises:
        InvalidInputError: the column holds no times, or too few different ones.
    """
    name = quote(column)
    if not table.types[column].upper().startswith(("TIMESTAMP", "DATE")):
        raise InvalidInputError(
            f"the column '{column}' holds {table.types[column]}, not times: a split by time needs a date or timestamp."
        )
    bounds, total = [], 0.0
    for share in list(shares.values())[:-1]:
        total += share
        bounds.append(f"quantile_disc({name}, {total:.9f})::VARCHAR")
    found = table.sql(f"SELECT {', '.join(f'{each} AS c{k}' for k, each in enumerate(bounds))} FROM data").fetchall()
    cuts = tuple(str(each) for each in found[0])
    if len(set(cuts)) < len(cuts):
        raise InvalidInputError(f"'{column}' has too few different times for {len(shares)} parts: give fewer parts.")
    return cuts


def _between(recipe: Recipe) -> dict[str, str]:
    name = quote(recipe.column)
    bounds = [None, *recipe.cuts, None]
    found = {}
    for part, low, high in zip(recipe.shares, bounds, bounds[1:], strict=False):
        several = [f"{name} >= {_text(low)}"] if low is not None else []
        several += [f"{name} < {_text(high)}"] if high is not None else []
        found[part] = " AND ".join(several)
    return found


def _place(salt: str, columns: Sequence[str]) -> str:
    """Return SQL for a whole number below 2**32 that the values of these columns alone decide.

    The first 32 bits of an MD5 of their text, which is the same on each machine and in each version of DuckDB.
    """
    values = ", ".join(f"coalesce({quote(name)}::VARCHAR, chr(0))" for name in columns)
    return f"('0x' || substr(md5(concat_ws(chr(31), {_text(salt)}, {values})), 1, 8))::UBIGINT"


def _text(value: Any) -> str:
    return "'" + str(value).replace("'", "''") + "'"

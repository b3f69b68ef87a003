"""Declared slices of rows: ``carrier`` (each value), ``carrier=YX``, ``hour>=17``."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from headwater.errors import InvalidInputError

from .data import as_text
from .metrics import Array

_RULE = re.compile(r"\s*(.+?)\s*(>=|<=|!=|=|>|<)\s*(.+?)\s*")
_COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
    "=": operator.eq,
    "!=": operator.ne,
}
MOST_VALUES = 30


def find_slices(declared: list[str] | tuple[str, ...], columns: Mapping[str, Array]) -> Iterator[tuple[str, Array]]:
    """Yield each slice's name with a mask of its rows, shape (rows,).

    A bare column gives one slice per value, the most frequent first, at most 30.

    Raises:
        InvalidInputError: a slice names a column that is not there.
    """
    for text in declared:
        rule = _RULE.fullmatch(text)
        if rule and rule.group(1) in columns:
            yield text.strip(), _matches(columns[rule.group(1)], rule.group(2), rule.group(3))
        elif text in columns:
            yield from _values(text, columns[text])
        else:
            raise InvalidInputError(
                f"the slice '{text}' names no column of the data, which has {', '.join(list(columns)[:30])}. "
                "Write a column, or column=value, column>=number.",
                slice=text,
            )


def _matches(values: Array, sign: str, wanted: str) -> Array:
    if values.dtype.kind in "fiu":
        try:
            return np.asarray(_COMPARE[sign](values, float(wanted)))
        except ValueError as error:
            raise InvalidInputError(f"'{wanted}' is not a number, but the column holds numbers.") from error
    return np.asarray(_COMPARE[sign](as_text(values), wanted), bool)


def _values(column: str, values: Array) -> Iterator[tuple[str, Array]]:
    shown = as_text(values)
    names, counts = np.unique(shown, return_counts=True)
    for name in names[np.lexsort((names, -counts))][:MOST_VALUES]:
        yield f"{column}={name}", shown == name

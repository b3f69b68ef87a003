"""Columns of any plain type as one matrix of numbers, for the small models that are fitted here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from .data import as_text
from .metrics import Array

_MOST_VALUES = 50


class Encoder:
    """Numbers stay, NaN where missing; text becomes one column per frequent value, or with ``ordinal`` its place."""

    def __init__(self, columns: Mapping[str, Array], *, ordinal: bool = False) -> None:
        self.ordinal = ordinal
        self.values: dict[str, list[str] | None] = {}
        for name, each in columns.items():
            self.values[name] = None if each.dtype.kind in "fiub" else _frequent(as_text(each))

    def __call__(self, columns: Mapping[str, Array]) -> Array:
        """Return the matrix of columns, shape (rows, columns of the matrix); unseen text is none of the values."""
        return np.column_stack([part for name, known in self.values.items() for part in self._of(columns[name], known)])

    def _of(self, values: Array, known: Sequence[str] | None) -> list[Array]:
        if known is None:
            return [values.astype(np.float64)]
        shown = as_text(values)
        several = [(shown == text).astype(np.float64) for text in known]
        return [sum((k + 1) * each for k, each in enumerate(several))] if self.ordinal else several


def encoded(columns: Mapping[str, Array]) -> Array:
    """Return columns as a matrix in which the values of text are numbered."""
    return Encoder(columns, ordinal=True)(columns)


def _frequent(shown: Array) -> list[str]:
    texts, counts = np.unique(shown, return_counts=True)
    return [str(each) for each in texts[np.lexsort((texts, -counts))][:_MOST_VALUES]]

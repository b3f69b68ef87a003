"""From raw outputs of a model to the outputs its contract names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from headwater.errors import InvalidInputError

from ..contract import Contract, Field

Array = np.ndarray[Any, Any]
_SOURCE = re.compile(r"(.+)\[(\d+)\]")


class NamedOutputs:
    """The way from raw outputs to the contract's, worked out once when a model is opened."""

    def __init__(self, contract: Contract) -> None:
        self._plan = [(field, *_source(field)) for field in contract.outputs]

    @property
    def sources(self) -> set[str]:
        """The raw outputs that the contract takes anything from; others need not be computed."""
        return {source for _, source, _ in self._plan}

    def __call__(self, raw: Mapping[str, Array]) -> dict[str, Array]:
        """Return each output of the contract as an array of shape (rows,), in the contract's order; a list (rows, n).

        Floats keep the width the engine computed in.

        Raises:
            InvalidInputError: the model has no raw output of a field's source, or not that column of it.
        """
        return {field.name: _select(field, source, column, raw) for field, source, column in self._plan}


def _source(field: Field) -> tuple[str, int | None]:
    source = field.source or field.name
    indexed = _SOURCE.fullmatch(source)
    return (indexed.group(1), int(indexed.group(2))) if indexed else (source, None)


def _select(field: Field, source: str, column: int | None, raw: Mapping[str, Array]) -> Array:
    values = raw.get(source)
    if values is None:
        raise InvalidInputError(
            f"the contract takes its output '{field.name}' from '{source}', but the model gives {', '.join(raw)}.",
            output=field.name,
        )
    if field.type == "list" and column is None:
        return values
    width = values.size // len(values) if len(values) else 1
    if (column is None and width > 1) or (column is not None and (values.ndim != 2 or column >= values.shape[1])):
        raise InvalidInputError(
            f"the contract takes its output '{field.name}' from '{field.source or field.name}', but '{source}' has "
            f"{width} for each row: name one as '{source}[0]' (the first), or make the output a list.",
            output=field.name,
        )
    values = values.reshape(len(values)) if column is None else values[:, column]
    if field.type == "bool":
        return values.astype(np.bool_)
    if field.type == "int":
        return values.astype(np.int64)
    return values if field.type == "float" else values.astype(object)

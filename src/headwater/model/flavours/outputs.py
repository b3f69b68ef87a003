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


def named_outputs(contract: Contract, raw: Mapping[str, Array]) -> dict[str, Array]:
    """Return each output of the contract as an array of shape (rows,), in the contract's order.

    Floats keep the width the engine computed in.

    Raises:
        InvalidInputError: the model has no raw output of the field's source.
    """
    return {field.name: _select(field, raw) for field in contract.outputs}


def _select(field: Field, raw: Mapping[str, Array]) -> Array:
    source = field.source or field.name
    indexed = _SOURCE.fullmatch(source)
    name = indexed.group(1) if indexed else source
    if name not in raw:
        raise InvalidInputError(
            f"the contract takes its output '{field.name}' from '{source}', but the model gives {', '.join(raw)}.",
            output=field.name,
        )
    values = raw[name]
    values = values[:, int(indexed.group(2))] if indexed else values.reshape(len(values))
    if field.type == "bool":
        return values.astype(np.bool_)
    if field.type == "int":
        return values.astype(np.int64)
    return values.astype(object) if field.type == "str" else values

"""What boosted trees of any library share: features in the order they were trained, and outputs by class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from headwater.errors import InvalidInputError, MissingExtraError

from ..contract import Contract
from .outputs import Array


def feature_names(names: Sequence[str] | None, count: int, contract: Contract) -> list[str]:
    """Return which input of the contract is each feature; by name, or by place where the trees know no names.

    Raises:
        InvalidInputError: the contract lacks a feature, or has another number of inputs.
    """
    inputs = [field.name for field in contract.inputs]
    if names is None:
        if count != len(inputs):
            raise InvalidInputError(f"the model takes {count} features without names, the contract has {len(inputs)}.")
        return inputs
    missing = [name for name in names if name not in inputs]
    if missing:
        raise InvalidInputError(
            f"the model was trained on {', '.join(missing[:10])}, which the contract lacks; it has "
            f"{', '.join(inputs[:30])}.",
            missing=missing,
        )
    return list(names)


def feature_matrix(names: Sequence[str], columns: Mapping[str, Array]) -> Array:
    """Return features side by side as float64, shape (rows, features), NaN where a value is missing."""
    return np.column_stack([columns[name].astype(np.float64) for name in names])


def feature_frame(names: Sequence[str], contract: Contract, columns: Mapping[str, Array]) -> Any:
    """Return features as a pandas frame in which texts are categories, as they were in training."""
    try:
        import pandas
    except ImportError as error:
        raise MissingExtraError("pandas", "pandas", "boosted trees with categories") from error
    texts = {field.name for field in contract.inputs if field.type == "str"}
    return pandas.DataFrame(
        {name: pandas.Categorical(columns[name]) if name in texts else columns[name] for name in names}, copy=False
    )


def has_text(names: Sequence[str], contract: Contract) -> bool:
    """Tell whether a feature is text, which only a frame can carry."""
    return any(contract.input(name).type == "str" for name in names)


def classified(given: Array, contract: Contract) -> dict[str, Array]:
    """Return ``label`` and ``probabilities`` (rows, classes) of class probabilities; one column means two classes.

    The classes are those the contract allows its label, in that order; numbers from 0 where it does not list them.
    """
    probabilities = given if given.ndim == 2 else np.column_stack([1 - given, given])
    # Two equal halves are the first class, as a threshold of "more than a half" has it.
    best = probabilities.argmax(axis=1)
    label = next((each for each in contract.outputs if (each.source or each.name) == "label"), None)
    if label is None or label.allowed is None:
        return {"label": best, "probabilities": probabilities}
    if len(label.allowed) != probabilities.shape[1]:
        raise InvalidInputError(
            f"the model knows {probabilities.shape[1]} classes, the contract lists {len(label.allowed)} for its output "
            f"'{label.name}'."
        )
    classes = np.empty(len(label.allowed), object)
    classes[:] = label.allowed
    return {"label": classes[best], "probabilities": probabilities}

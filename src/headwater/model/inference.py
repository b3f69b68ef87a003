"""Inferring a contract: the inputs from a frame, the outputs from an estimator; both are there to be edited."""

from __future__ import annotations

import math
from typing import Any

import msgspec

from headwater.errors import InvalidInputError

from .contract import Contract, Field, FieldType
from .media import UNKNOWN, media_type_of

_KINDS: dict[str, FieldType] = {"f": "float", "i": "int", "u": "int", "b": "bool", "U": "str"}


def infer_contract(frame: Any, estimator: Any = None, *, margin: float | None = None, categories: int = 0) -> Contract:
    """Return the contract that a frame of training inputs and an estimator suggest.

    Inputs have no bounds unless asked, since the world may leave what training saw and a monitor should see it do so:
    ``margin`` 0.5 bounds numbers to the observed range widened by half its width on either side; ``categories`` 20
    lists the allowed values of text columns that have at most 20. A column with missing values is nullable. Bytes are
    an ``image`` where all begin as one, else a ``file``; dicts are an ``object`` with the fields that they have, lists
    a ``list``, of a fixed length where all are equally long and hold numbers.

    Outputs are named ``label`` and ``probability`` (of the last class) for two classes, ``label`` and
    ``probability_CLASS`` for more, ``value`` for a regression; none without an estimator.

    Raises:
        InvalidInputError: a column holds what no contract type fits.
    """
    from .columns import as_columns

    inputs = tuple(_infer_field(name, values, margin, categories) for name, values in as_columns(frame).items())
    return Contract(inputs=inputs, outputs=outputs_of(estimator) if estimator is not None else ())


def outputs_of(estimator: Any) -> tuple[Field, ...]:
    """Return the outputs of a fitted scikit-learn estimator as contract fields."""
    classes = getattr(estimator, "classes_", None)
    if classes is None:
        return (Field(name="value", type="float", description="the predicted value"),)
    values = tuple(classes.tolist())
    kind: FieldType = "bool" if isinstance(values[0], bool) else "int" if isinstance(values[0], int) else "str"
    if kind == "str":
        values = tuple(str(each) for each in values)
    label = Field(name="label", type=kind, allowed=values, description="the likeliest class")
    if not hasattr(estimator, "predict_proba"):
        return (label,)
    if len(values) == 2:
        return (label, _probability("probability", 1, values[1]))
    return (label, *(_probability(f"probability_{each}", place, each) for place, each in enumerate(values)))


def _probability(name: str, place: int, value: Any) -> Field:
    return Field(
        name=name,
        type="float",
        minimum=0.0,
        maximum=1.0,
        source=f"probabilities[{place}]",
        description=f"probability that the label is {value!r}",
    )


def _infer_field(name: str, values: Any, margin: float | None, categories: int) -> Field:
    from .columns import is_missing

    if values.ndim == 2:  # a matrix: each row is a list
        item = _infer_field("item", values.reshape(-1), margin, 0)
        return Field(name=name, type="list", item=item, least=values.shape[1], most=values.shape[1])
    missing = is_missing(values)
    present = values[~missing]
    nullable = bool(missing.any())
    rich = _infer_rich(name, present.tolist(), margin, categories) if present.dtype.kind in "OS" else None
    if rich is not None:
        return msgspec.structs.replace(rich, nullable=nullable)
    kind = _kind_of(name, present)
    if kind in ("float", "int") and margin is not None and len(present):
        low, high = float(present.min()), float(present.max())
        slack = (high - low) * margin
        if math.isfinite(low - slack) and math.isfinite(high + slack):  # else no bound could be kept
            return Field(name=name, type=kind, minimum=low - slack, maximum=high + slack, nullable=nullable)
    if kind == "str" and categories:
        found = sorted(set(present.tolist()))
        if len(found) <= categories:
            return Field(name=name, type=kind, allowed=tuple(found), nullable=nullable)
    return Field(name=name, type=kind, nullable=nullable)


def _infer_rich(name: str, present: list[Any], margin: float | None, categories: int) -> Field | None:
    """Return the field of bytes, dicts or lists; None where the values are plain."""
    kinds = {type(each) for each in present}
    if kinds == {bytes}:
        media = sorted({media_type_of(each) for each in present})
        pictures = all(each.startswith("image/") for each in media)
        known = () if UNKNOWN in media else tuple(media)
        return Field(name=name, type="image" if pictures else "file", media_types=known)
    if kinds == {dict}:
        keys = list(dict.fromkeys(str(key) for each in present for key in each))
        inside = (_infer_inside(key, [each.get(key) for each in present], margin, categories) for key in keys)
        return Field(name=name, type="object", fields=tuple(inside))
    if kinds and all(issubclass(each, list | tuple) or hasattr(each, "tolist") for each in kinds):
        items = [item for each in present for item in (each.tolist() if hasattr(each, "tolist") else each)]
        lengths = {len(each) for each in present}
        item = _infer_inside("item", items, margin, categories) if items else None
        fixed = lengths.pop() if len(lengths) == 1 and item is not None and item.type in ("float", "int") else None
        return Field(name=name, type="list", item=item, least=fixed, most=fixed)
    return None


def _infer_inside(name: str, values: list[Any], margin: float | None, categories: int) -> Field:
    """Return the field of what lies inside others; JSON where its values are of several kinds."""
    import numpy as np

    column = np.empty(len(values), object)
    for place, each in enumerate(values):
        column[place] = each
    try:
        return _infer_field(name, column, margin, categories)
    except InvalidInputError:
        return Field(name=name, type="json", nullable=any(each is None for each in values))


def _kind_of(name: str, present: Any) -> FieldType:
    kind = _KINDS.get(present.dtype.kind)
    if kind is not None:
        return kind
    if present.dtype.kind == "O":
        types = {type(value) for value in present.tolist()}
        for wanted, answer in ((str, "str"), (bool, "bool"), (int, "int"), (float, "float")):
            if types and all(issubclass(each, wanted) for each in types):
                return answer  # type: ignore[return-value]  # the literals above are FieldTypes
        if types and all(issubclass(each, int | float) and each is not bool for each in types):
            return "float"
        if not types:
            return "str"
    raise InvalidInputError(
        f"the column '{name}' holds {present.dtype}, which no contract type fits: make it a number, true/false or text "
        "(a time as hours or days since something), or leave it out.",
        column=name,
    )

"""Rows and frames as typed columns, and back: what models compute on.

A float input is float64 with NaN where there is nothing, an int int64, a bool bool, a str an object array of str
with None where there is nothing. A nullable int or bool that lacks a value becomes float64 with NaN. An image or file
is an object array of bytes, which rows carry as base64 text. A list of n numbers is one array of shape (rows, n); other
lists, objects and JSON values are object arrays of what Python reads of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from headwater.duck import connect
from headwater.errors import InvalidInputError

from .contract import BYTES, NESTED, Field
from .media import from_base64, to_base64

Array = np.ndarray[Any, Any]


def columns_from_rows(fields: Sequence[Field], rows: Sequence[dict[str, Any]]) -> dict[str, Array]:
    """Return validated rows as one array per field, shape (rows,)."""
    return {field.name: _from_values(field, [row[field.name] for row in rows]) for field in fields}


def rows_from_columns(fields: Sequence[Field], columns: Mapping[str, Array]) -> list[dict[str, Any]]:
    """Return arrays as one dict per row, in the fields' order; floats keep every bit (float32 widens exactly)."""
    names = [field.name for field in fields]
    values = [_to_values(field, columns[field.name]) for field in fields]
    return [dict(zip(names, row, strict=True)) for row in zip(*values, strict=True)]


def as_columns(frame: Any) -> dict[str, Array]:
    """Return a frame as numpy columns: a dict, a pandas or polars frame, or anything with an Arrow C stream.

    Raises:
        InvalidInputError: it is none of these.
    """
    if isinstance(frame, Mapping):
        return {str(name): as_column(values) for name, values in frame.items()}
    if hasattr(frame, "iloc") and hasattr(frame, "columns"):
        return {str(name): frame[name].to_numpy() for name in frame.columns}
    if isinstance(frame, list) and (not frame or isinstance(frame[0], dict)):
        names = list(frame[0]) if frame else []
        return {name: as_column([row.get(name) for row in frame]) for name in names}
    if callable(getattr(frame, "to_numpy", None)) and isinstance(found := frame.to_numpy(), dict):
        return {str(name): _unmasked(values) for name, values in found.items()}  # a table of the lake
    if hasattr(frame, "__arrow_c_stream__"):
        return _from_arrow(frame)
    raise InvalidInputError(
        f"a {type(frame).__name__} is not a frame: give a pandas or polars frame, an Arrow table, a dict of columns "
        "or a list of dicts."
    )


def as_column(values: Any) -> Array:
    """Return values as one array, whose first axis is the rows; bytes, dicts and uneven lists stay objects."""
    if isinstance(values, list | tuple) and any(isinstance(each, bytes | dict | list | tuple) for each in values):
        return _objects(values)
    return np.asarray(values)


def input_columns(fields: Sequence[Field], frame: Any) -> dict[str, Array]:
    """Return a frame's columns in the contract's types; other columns are left out.

    Raises:
        InvalidInputError: a column is missing, or cannot be of the contract's type.
    """
    given = as_columns(frame)
    missing = [field.name for field in fields if field.name not in given]
    if missing:
        raise InvalidInputError(
            f"the frame lacks the inputs {', '.join(missing)}; it has {', '.join(list(given)[:30])}.", missing=missing
        )
    return {field.name: _typed(field, given[field.name]) for field in fields}


def take(columns: Mapping[str, Array], rows: Any) -> dict[str, Array]:
    """Return some rows of columns, by index or mask."""
    return {name: values[rows] for name, values in columns.items()}


def is_missing(values: Array) -> Array:
    """Return where values are missing: NaN, None or NaT; shape as given."""
    if values.dtype.kind == "f":
        return np.asarray(np.isnan(values))
    if values.dtype.kind in "mM":
        return np.asarray(np.isnat(values))
    if values.dtype.kind == "O":
        return np.fromiter((_is_nothing(value) for value in values), bool, len(values))
    return np.zeros(len(values), bool)


def _is_nothing(value: Any) -> bool:
    # pandas.NA does not say whether it differs from itself.
    return value is None or type(value).__name__ == "NAType" or bool(value != value)


def _objects(values: Sequence[Any]) -> Array:
    # Filled one by one: assigned at once, lists of equal length would become a second axis.
    column = np.empty(len(values), object)
    for place, each in enumerate(values):
        column[place] = each
    return column


def _to_values(field: Field, column: Array) -> list[Any]:
    if field.type in BYTES:
        return [to_base64(each) if isinstance(each, bytes) else each for each in column.tolist()]
    plain: list[Any] = column.tolist()
    return plain


def _from_values(field: Field, values: list[Any]) -> Array:
    if field.type == "str":
        return _objects(values)
    if field.type in BYTES or field.type in NESTED:
        return _rich(field, values)
    if field.type == "float":
        return np.array(values, np.float64)  # None becomes NaN
    plain = np.int64 if field.type == "int" else np.bool_
    return np.array(values, np.float64 if field.nullable and None in values else plain)


def _rich(field: Field, values: Sequence[Any]) -> Array:
    """Return bytes and nested values as a column."""
    if field.type in BYTES:
        return _objects([from_base64(each) if isinstance(each, str) else each for each in values])
    if field.width is not None and field.item is not None and not field.nullable:
        kind = {"float": np.float64, "int": np.int64}.get(field.item.type, np.bool_)
        return np.array([list(each) for each in values], kind).reshape(len(values), field.width)
    return _objects([each.tolist() if isinstance(each, np.ndarray) else each for each in values])


def _typed(field: Field, values: Array) -> Array:
    try:
        if field.type in BYTES or field.type in NESTED:
            return _rich(field, list(values))
        if field.type == "str":
            column = values.astype(object)
            missing = is_missing(column)
            if missing.any():
                column[missing] = None
            return column
        if field.type == "float":
            return values.astype(np.float64)
        if values.dtype.kind in "iub":
            return values.astype(np.int64 if field.type == "int" else np.bool_)
        return _with_missing(field, values)
    except (TypeError, ValueError) as error:
        raise InvalidInputError(
            f"the column '{field.name}' ({values.dtype}) cannot be read as {field.type}: {error}.", column=field.name
        ) from error


def _with_missing(field: Field, values: Array) -> Array:
    """Return whole numbers or booleans out of floats or objects; float64 with NaN where some are missing."""
    missing = is_missing(values)
    numbers = np.where(missing, 0, values).astype(np.float64)
    if (numbers != np.rint(numbers)).any():
        raise ValueError(f"{numbers[numbers != np.rint(numbers)][0]} is not whole")
    if missing.any():
        return np.where(missing, np.nan, numbers)
    # Objects are converted themselves: a whole number beyond 2**53 would lose digits as a float.
    return values.astype(np.int64 if field.type == "int" else np.bool_)


def _from_arrow(frame: Any) -> dict[str, Array]:
    with connect() as connection:
        found = connection.from_arrow(frame).fetchnumpy()
    return {name: _unmasked(values) for name, values in found.items()}


def _unmasked(values: Any) -> Array:
    """Return a masked array with NaN or None where it is masked."""
    if not isinstance(values, np.ma.MaskedArray):
        # DuckDB gives text enums as pandas categories where pandas is installed.
        return np.asarray(values)
    mask = np.ma.getmaskarray(values)
    if not mask.any():
        return np.asarray(values.data)
    if values.dtype.kind in "iu":
        return np.where(mask, np.nan, values.data.astype(np.float64))
    if values.dtype.kind == "f":
        return np.where(mask, np.nan, values.data)
    column = values.data.astype(object)
    column[mask] = None
    return column

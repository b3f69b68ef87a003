"""Holding rows against a contract: a fast yes in C, and a complete list of problems for a no."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Annotated, Any, Literal

import msgspec

from .contract import LARGEST_FLOAT, Contract, ContractError, Field, Problem

_SHOWN = 5
_INT64 = 2**63
_TYPES: dict[str, str] = {"float": "a number", "int": "a whole number", "bool": "true or false", "str": "text"}


def validate(contract: Contract, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows with exactly the contract's inputs; see ``Contract.validate``."""
    convert = _fast(contract)
    if convert is not None:
        try:
            good = convert(rows)
        except (msgspec.ValidationError, TypeError):
            good = None
        if good is not None:
            return good
    cleaned = [_plain_row(row) for row in rows]
    problems = find_problems(contract, cleaned)
    if problems:
        raise _refusal(problems, len(rows))
    return [{field.name: _normalise(field, row.get(field.name)) for field in contract.inputs} for row in cleaned]


def find_problems(contract: Contract, rows: Sequence[dict[str, Any]]) -> list[Problem]:
    """Return every problem of every row, in the order of rows, then fields, then names that are not in the contract."""
    known = {field.name for field in contract.inputs}
    names = ", ".join(known) if len(known) < 12 else f"one of its {len(known)} inputs"
    problems = []
    for number, given in enumerate(rows):
        row = _plain_row(given)
        if not isinstance(row, dict):
            what = f"the row is {_kind(row)}"
            problems.append(Problem(row=number, field="", what=what, expected="an object with a value per input"))
            continue
        for field in contract.inputs:
            found = _check(field, row)
            if found:
                problems.append(Problem(row=number, field=field.name, what=found, expected=expectation(field)))
        problems += [
            Problem(row=number, field=str(name), what="is not in the contract", expected=names)
            for name in row
            if name not in known
        ]
    return problems


def expectation(field: Field) -> str:
    """Return in words what a field accepts: ``a number from 0 to 24 (hours)``."""
    words = _TYPES[field.type]
    if field.allowed is not None:
        words = "one of " + ", ".join(repr(value) for value in field.allowed[:20])
        words += f" and {len(field.allowed) - 20} more" if len(field.allowed) > 20 else ""
    if field.minimum is not None and field.maximum is not None:
        words += f" from {_number(field.minimum)} to {_number(field.maximum)}"
    elif field.minimum is not None:
        words += f" of at least {_number(field.minimum)}"
    elif field.maximum is not None:
        words += f" of at most {_number(field.maximum)}"
    return words + (f" ({field.unit})" if field.unit else "") + (", or null" if field.nullable else "")


def _refusal(problems: list[Problem], rows: int) -> ContractError:
    lines = [
        f"row {each.row}: {f'{each.field!r} ' if each.field else ''}{each.what}, expected {each.expected}"
        for each in problems[:_SHOWN]
    ]
    more = f"; and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
    bad = len({each.row for each in problems})
    return ContractError(
        f"{bad} of {rows} rows do not keep the model's contract: {'; '.join(lines)}{more}. "
        "Correct the values and send them again.",
        problems=[msgspec.structs.asdict(each) for each in problems],
    )


def _check(field: Field, row: dict[str, Any]) -> str:
    """Return what is wrong with the field of a row, empty when nothing is."""
    if field.name not in row:
        return "" if field.nullable else "is missing"
    value = row[field.name]
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "" if field.nullable else ("is null" if value is None else "is not a number (NaN)")
    if not _right_type(field, value):
        return f"is {_kind(value)}"
    if field.allowed is not None and value not in field.allowed:
        return f"is {value!r}"
    if field.type in ("float", "int"):
        return _check_number(field, value)
    return ""


def _check_number(field: Field, value: float) -> str:
    limit = LARGEST_FLOAT if field.type == "float" else _INT64 - 1
    if math.isinf(value):
        return "is infinite"
    if abs(value) > limit:
        return f"is {value!r}, more than a model can hold"
    if (field.minimum is not None and value < field.minimum) or (field.maximum is not None and value > field.maximum):
        return f"is {_number(value)}"
    return ""


def _right_type(field: Field, value: Any) -> bool:
    if field.type == "bool":
        return isinstance(value, bool)
    if field.type == "str":
        return isinstance(value, str)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return field.type == "float" or isinstance(value, int) or value.is_integer()


def _normalise(field: Field, value: Any) -> Any:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if field.type == "float":
        return float(value)
    return int(value) if field.type == "int" else value


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f"the text {value[:40]!r}"
    if isinstance(value, int | float):
        return f"the number {value!r}"
    return {"list": "a list", "dict": "an object", "NoneType": "null"}.get(type(value).__name__, type(value).__name__)


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() and abs(value) < 1e15 else repr(value)


def _plain_row(row: Any) -> Any:
    """Return a row with numpy's scalars as Python's own."""
    if not isinstance(row, dict):
        return row
    return {name: value.item() if hasattr(value, "item") else value for name, value in row.items()}


Convert = Callable[[Sequence[dict[str, Any]]], list[dict[str, Any]]]


@lru_cache(maxsize=256)
def _fast(contract: Contract) -> Convert | None:
    """Return a function that converts good rows in C and raises on the first bad one; None where C cannot say."""
    types = [_msgspec_type(field) for field in contract.inputs]
    if not types or any(each is None for each in types):
        return None
    attributes = [f"f{number}" for number in range(len(types))]
    row = msgspec.defstruct(
        "Row",
        [
            (attribute, kind, None) if field.nullable else (attribute, kind)
            for attribute, kind, field in zip(attributes, types, contract.inputs, strict=True)
        ],
        rename=dict(zip(attributes, (field.name for field in contract.inputs), strict=True)),
        kw_only=True,
        forbid_unknown_fields=True,
        gc=False,
    )
    many = list[row]  # type: ignore[valid-type]  # a type made at run time
    floats = [field.name for field in contract.inputs if field.type == "float"]

    def convert(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        good: list[dict[str, Any]] = msgspec.to_builtins(msgspec.convert(list(rows), many))
        for each in good:
            for name in floats:
                value = each[name]
                if value != value:  # NaN passes every bound in C; the slow path says what it means
                    raise TypeError
        return good

    return convert


def _msgspec_type(field: Field) -> Any:
    """Return the annotation that holds values to a field; None where its allowed values are not plain text or ints."""
    kind: Any
    if field.allowed is not None:
        exact = str if field.type == "str" else int
        if (
            field.type not in ("str", "int")
            or not field.allowed
            or any(type(each) is not exact for each in field.allowed)
        ):
            return None
        kind = Literal[tuple(field.allowed)]
        if field.minimum is not None or field.maximum is not None:
            return None
    elif field.type == "float":
        low = -LARGEST_FLOAT if field.minimum is None else max(field.minimum, -LARGEST_FLOAT)
        high = LARGEST_FLOAT if field.maximum is None else min(field.maximum, LARGEST_FLOAT)
        kind = Annotated[float, msgspec.Meta(ge=low, le=high)]
    elif field.type == "int":
        low = -_INT64 if field.minimum is None else max(math.ceil(field.minimum), -_INT64)
        high = _INT64 - 1 if field.maximum is None else min(math.floor(field.maximum), _INT64 - 1)
        kind = Annotated[int, msgspec.Meta(ge=low, le=high)]
    else:
        kind = {"bool": bool, "str": str}[field.type]
    return kind | None if field.nullable else kind

"""Holding rows against a contract: a fast yes in C, and a complete list of problems for a no."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Annotated, Any, Literal

import msgspec

from .contract import LARGEST_FLOAT, Contract, ContractError, Field, Problem
from .value_checks import DEEPEST, kind_of, needs_a_look, normalised, problems_of, problems_of_fields

_SHOWN = 5
_INT64 = 2**63


def validate(contract: Contract, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows with exactly the contract's inputs; see ``Contract.validate``."""
    convert = _fast(contract)
    if convert is not None:
        try:
            good = convert(rows)
        except (msgspec.ValidationError, TypeError, RecursionError):
            good = None
        if good is not None:
            return good
    cleaned = [_plain(row) for row in rows]
    problems = find_problems(contract, cleaned)
    if problems:
        raise _refusal(problems, len(rows))
    return [{field.name: normalised(field, row.get(field.name)) for field in contract.inputs} for row in cleaned]


def find_problems(contract: Contract, rows: Sequence[dict[str, Any]]) -> list[Problem]:
    """Return every problem of every row, in the order of rows, then fields, then names that are not in the contract."""
    problems = []
    for number, given in enumerate(rows):
        row = _plain(given)
        if not isinstance(row, dict):
            what = f"the row is {kind_of(row)}"
            problems.append(Problem(row=number, field="", what=what, expected="an object with a value per input"))
            continue
        problems += [
            Problem(row=number, field=path, what=what, expected=expected)
            for path, what, expected in problems_of_fields(contract.inputs, row)
        ]
    return problems


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


def _plain(value: Any, levels: int = 2 * DEEPEST) -> Any:
    """Return a row with numpy's scalars and arrays as Python's own values; deeper than ``levels`` it stays as it is."""
    if levels and isinstance(value, dict):
        return {str(name): _plain(each, levels - 1) for name, each in value.items()}
    if levels and isinstance(value, list | tuple):
        return [_plain(each, levels - 1) for each in value]
    return value.tolist() if hasattr(value, "tolist") else value


Convert = Callable[[Sequence[dict[str, Any]]], list[dict[str, Any]]]


@lru_cache(maxsize=256)
def _fast(contract: Contract) -> Convert | None:
    """Return a function that converts good rows in C and raises on the first bad one; None where C cannot say."""
    row = row_type(contract)
    if row is None:
        return None
    many = list[row]  # type: ignore[valid-type]  # a type made at run time
    floats = [field.name for field in contract.inputs if field.type == "float"]
    looked_at = [field for field in contract.inputs if needs_a_look(field)]

    def convert(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        good: list[dict[str, Any]] = msgspec.to_builtins(msgspec.convert(list(rows), many))
        for each in good:
            for name in floats:
                value = each[name]
                if value != value:  # NaN passes every bound in C; the slow path says what it means
                    raise TypeError
            for field in looked_at:
                if next(problems_of(field, each[field.name], ""), None) is not None:
                    raise TypeError
        return good

    return convert


def row_type(contract: Contract) -> Any:
    """Return the msgspec struct that good rows convert to; None where C cannot say what is good."""
    return _struct(contract.inputs) if contract.inputs else None


def _struct(fields: Sequence[Field]) -> Any:
    """Return a struct type that holds values to some fields; None where C cannot say."""
    types = [_msgspec_type(field) for field in fields]
    if any(each is None for each in types):
        return None
    attributes = [f"f{number}" for number in range(len(types))]
    return msgspec.defstruct(
        "Row",
        [
            (attribute, kind, None) if field.nullable else (attribute, kind)
            for attribute, kind, field in zip(attributes, types, fields, strict=True)
        ],
        rename=dict(zip(attributes, (field.name for field in fields), strict=True)),
        kw_only=True,
        forbid_unknown_fields=True,
        gc=False,
    )


def _msgspec_type(field: Field) -> Any:
    """Return the annotation that holds values to a field; None where C cannot say."""
    kind = _listed_type(field) if field.allowed is not None else _bounded_type(field)
    return kind if kind is None or kind is Any else kind | None if field.nullable else kind


def _listed_type(field: Field) -> Any:
    """Return the annotation of a field with allowed values; None where they are not plain text or ints."""
    exact = str if field.type == "str" else int
    plain = field.type in ("str", "int") and all(type(each) is exact for each in field.allowed or ())
    if not plain or not field.allowed or field.minimum is not None or field.maximum is not None:
        return None
    return Literal[tuple(field.allowed)]


def _bounded_type(field: Field) -> Any:
    if field.type == "float":
        low = -LARGEST_FLOAT if field.minimum is None else max(field.minimum, -LARGEST_FLOAT)
        high = LARGEST_FLOAT if field.maximum is None else min(field.maximum, LARGEST_FLOAT)
        return Annotated[float, msgspec.Meta(ge=low, le=high)]
    if field.type == "int":
        low = -_INT64 if field.minimum is None else max(math.ceil(field.minimum), -_INT64)
        high = _INT64 - 1 if field.maximum is None else min(math.floor(field.maximum), _INT64 - 1)
        return Annotated[int, msgspec.Meta(ge=low, le=high)]
    if field.type == "str" and (field.least is not None or field.most is not None):
        return Annotated[str, msgspec.Meta(min_length=field.least or 0, max_length=field.most)]
    if field.type == "list":
        item = Any if field.item is None else _msgspec_type(field.item)
        return None if item is None else list[item]  # type: ignore[valid-type]  # a type made at run time
    if field.type == "object":
        return _struct(field.fields)
    return {"bool": bool, "json": Any}.get(field.type, str)

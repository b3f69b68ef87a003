"""A contract as a file that people edit: TOML with a table per field, or JSON; and what makes a contract sound."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from headwater.errors import InvalidInputError

from .contract import BYTES, Contract, Field

_DEEPEST = 16
_NUMBERS = ("minimum", "maximum")
_LENGTHS = ("least", "most")


def read_contract(text: str, what: str = "the contract") -> Contract:
    """Return the contract of TOML or JSON text, when it is sound; see ``check_contract``.

    Raises:
        InvalidInputError: it is neither, or says what no contract can.
    """
    import tomllib

    try:
        given = msgspec.json.decode(text) if text.lstrip().startswith("{") else tomllib.loads(text)
        found = msgspec.convert(given, Contract)
    except (tomllib.TOMLDecodeError, msgspec.MsgspecError) as error:
        raise InvalidInputError(
            f"{what} cannot be read: {error}. It has [[inputs]] and [[outputs]], each with name and type at least."
        ) from error
    unknown = list(_unknown(given))
    if unknown:
        raise InvalidInputError(
            f"{what} says '{unknown[0]}', which no field has; a field has {', '.join(Field.__struct_fields__)}."
        )
    check_contract(found)
    return found


def contract_as_toml(contract: Contract) -> str:
    """Return a contract as TOML that ``read_contract`` reads, each field a table; what is not said is left out."""
    blocks = []
    for side, fields in (("inputs", contract.inputs), ("outputs", contract.outputs)):
        for field in fields:
            lines = [f"{key} = {_toml(value)}" for key, value in _said(field).items()]
            blocks.append("\n".join([f"[[{side}]]", *lines]))
        if not fields:
            blocks.insert(0, f"{side} = []")
    return "\n\n".join(blocks) + "\n"


def edited(contract: Contract, edits: Mapping[str, Mapping[str, Any]]) -> Contract:
    """Return a contract with some attributes of some fields changed: ``{"temp": {"unit": "F", "minimum": -60}}``.

    Raises:
        InvalidInputError: there is no such field or attribute, or the outcome is not sound.
    """
    known = {field.name for field in (*contract.inputs, *contract.outputs)}
    for name, changes in edits.items():
        if name not in known:
            raise InvalidInputError(
                f"the contract has no field '{name}'; it has {', '.join(sorted(known))}.", name=name
            )
        strange = [key for key in changes if key not in Field.__struct_fields__]
        if strange:
            raise InvalidInputError(
                f"a field has no '{strange[0]}'; it has {', '.join(Field.__struct_fields__)}.", name=strange[0]
            )

    def one(field: Field) -> Field:
        changes = edits.get(field.name, {})
        try:
            return msgspec.convert({**msgspec.structs.asdict(field), **changes}, Field, from_attributes=True)
        except msgspec.ValidationError as error:
            raise InvalidInputError(f"'{field.name}' cannot be changed so: {error}.", name=field.name) from error

    found = Contract(inputs=tuple(map(one, contract.inputs)), outputs=tuple(map(one, contract.outputs)))
    check_contract(found)
    return found


def check_contract(contract: Contract) -> None:
    """Return when each field can be kept: names differ, bounds fit each other and the type.

    Raises:
        InvalidInputError: the first field that cannot be kept, and why.
    """
    for side, fields in (("input", contract.inputs), ("output", contract.outputs)):
        _check(side, fields, 0)


def _check(side: str, fields: Sequence[Field], depth: int) -> None:
    names = [field.name for field in fields]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InvalidInputError(f"two {side}s of the contract are called '{twice}'.", name=twice)
    for field in fields:
        wrong = next(_wrong(field, depth), "")
        if wrong:
            raise InvalidInputError(f"the {side} '{field.name}' of the contract {wrong}.", name=field.name)
        inside = (*field.fields, *((field.item,) if field.item is not None else ()))
        if inside:
            _check(f"{side} '{field.name}': inside, an {side}", inside, depth + 1)


def _wrong(field: Field, depth: int) -> Iterator[str]:
    if not field.name or len(field.name) > 200:
        yield "needs a name of 1 to 200 characters"
    if depth > _DEEPEST:
        yield f"lies more than {_DEEPEST} levels deep"
    if field.type not in ("float", "int") and any(getattr(field, each) is not None for each in _NUMBERS):
        yield f"is a {field.type}, which has no minimum or maximum"
    measured = field.type in ("str", "list", *BYTES)
    if not measured and any(getattr(field, each) is not None for each in _LENGTHS):
        yield f"is a {field.type}, which has no least or most"
    if any(not math.isfinite(bound) for each in _NUMBERS if (bound := getattr(field, each)) is not None):
        yield "has a minimum or maximum that is not finite: leave it out where there is none"
    for low, high in (_NUMBERS, _LENGTHS):
        a, b = getattr(field, low), getattr(field, high)
        if a is not None and b is not None and a > b:
            yield f"has a {low} of {a:g} above its {high} of {b:g}"
    if field.least is not None and field.least < 0:
        yield "has a negative length"
    if field.media_types and field.type not in BYTES:
        yield f"is a {field.type}, which has no media types"
    if field.fields and field.type != "object":
        yield f"is a {field.type}, which has no fields"
    if field.item is not None and field.type != "list":
        yield f"is a {field.type}, which has no items"
    if field.allowed is not None and not field.allowed:
        yield "allows no value at all"
    kind = {"str": str, "bool": bool, "int": int, "float": int | float}.get(field.type)
    if field.allowed is not None and (kind is None or not all(isinstance(each, kind) for each in field.allowed)):
        yield f"allows a value that is no {field.type}"
    if any(isinstance(each, float) and not math.isfinite(each) for each in field.allowed or ()):
        yield "allows a number that is not finite, which JSON cannot say"


def _unknown(given: Any) -> Iterator[str]:
    """Yield keys of contract text that no field has."""
    for side in given.values():
        for each in side if isinstance(side, list) else ():
            yield from _unknown_in(each)


def _unknown_in(field: Any) -> Iterator[str]:
    if not isinstance(field, dict):
        return
    yield from (key for key in field if key not in Field.__struct_fields__)
    yield from _unknown_in(field.get("item"))
    for each in field.get("fields") or ():
        yield from _unknown_in(each)


def _said(field: Field) -> dict[str, Any]:
    """Return what a field says beyond the defaults."""
    found = {}
    for name, default in zip(Field.__struct_fields__, _defaults(), strict=True):
        value = getattr(field, name)
        if value == default:
            continue
        if name == "item":
            value = _said(value)
        elif name == "fields":
            value = [_said(each) for each in value]
        found[name] = value
    return found


def _defaults() -> tuple[Any, ...]:
    return tuple(info.default for info in msgspec.structs.fields(Field))


def _toml(value: Any) -> str:
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(each)}" for key, each in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return repr(value)

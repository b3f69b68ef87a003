"""Holding one value against one field of a contract: what is wrong with it, and the value as models take it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from headwater.errors import InvalidInputError

from .contract import BYTES, LARGEST_FLOAT, NESTED, Field
from .media import from_base64, media_type_of

DEEPEST = 32
"""How many levels of lists and objects a ``json`` value may have."""

_INT64 = 2**63
_TYPES: dict[str, str] = {
    "float": "a number",
    "int": "a whole number",
    "bool": "true or false",
    "str": "text",
    "image": "an image in base64",
    "file": "a file in base64",
    "list": "a list",
    "object": "an object",
    "json": f"JSON of at most {DEEPEST} levels",
}
_UNITS = {"str": "characters", "image": "bytes", "file": "bytes", "list": "items"}
Found = tuple[str, str, str]
"""Where (a path), what was given, what is expected."""


def problems_of(field: Field, value: Any, path: str) -> Iterator[Found]:
    """Yield what is wrong with a value that is there, and with the values inside it."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        if not field.nullable:
            yield path, ("is null" if value is None else "is not a number (NaN)"), expectation(field)
        return
    what = _wrong(field, value)
    if what:
        yield path, what, expectation(field)
    elif field.type == "object":
        yield from problems_of_fields(field.fields, value, f"{path}.")
    elif field.type == "list" and field.item is not None:
        for place, each in enumerate(value):
            yield from problems_of(field.item, each, f"{path}[{place}]")


def problems_of_fields(fields: tuple[Field, ...], given: Mapping[Any, Any], before: str = "") -> Iterator[Found]:
    """Yield what is wrong with the values of some fields, in their order, then the names that are none of them."""
    known = dict.fromkeys(field.name for field in fields)  # in their order, the same in every process
    for field in fields:
        if field.name in given:
            yield from problems_of(field, given[field.name], before + field.name)
        elif not field.nullable:
            yield before + field.name, "is missing", expectation(field)
    names = ", ".join(known) if len(known) < 12 else f"one of its {len(known)} inputs"
    for name in given:
        if name not in known:
            yield f"{before}{name}", "is not in the contract", names


def expectation(field: Field) -> str:
    """Return in words what a field accepts: ``a number from 0 to 24 (hours)``."""
    words = _TYPES[field.type]
    if field.allowed is not None:
        words = "one of " + ", ".join(repr(value) for value in field.allowed[:20])
        words += f" and {len(field.allowed) - 20} more" if len(field.allowed) > 20 else ""
    if field.media_types:
        words += f" ({', '.join(field.media_types)})"
    if field.type in _UNITS:
        words += _range(field.least, field.most, f" {_UNITS[field.type]}", " of ")
    elif field.type in ("float", "int"):
        words += _range(field.minimum, field.maximum, "", " from ")
    if field.item is not None:
        words += f", each {expectation(field.item)}"
    if field.fields:
        words += f" with {', '.join(each.name for each in field.fields)}"
    return words + (f" ({field.unit})" if field.unit else "") + (", or null" if field.nullable else "")


def normalised(field: Field, value: Any) -> Any:
    """Return a good value as models take it: floats as floats, whole numbers as ints, nothing as None."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if field.type == "float":
        return float(value)
    if field.type == "int":
        return int(value)
    if field.type == "object":
        return {each.name: normalised(each, value.get(each.name)) for each in field.fields}
    if field.type == "list" and field.item is not None:
        return [normalised(field.item, each) for each in value]
    return value


def needs_a_look(field: Field) -> bool:
    """Tell whether a type alone cannot say that a value of the field is good: bytes, and what holds other values."""
    return field.type in BYTES or field.type in NESTED


def kind_of(value: Any) -> str:
    """Return in words what a value is: ``the text 'seven'``, ``a list``."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f"the text {value[:40]!r}"
    if isinstance(value, int | float):
        return f"the number {value!r}"
    return {"list": "a list", "dict": "an object", "NoneType": "null"}.get(type(value).__name__, type(value).__name__)


def _wrong(field: Field, value: Any) -> str:
    """Return what is wrong with the value itself, empty when nothing is."""
    if not _right_type(field, value):
        return f"is {kind_of(value)}"
    if field.allowed is not None and value not in field.allowed:
        return f"is {_short(value)}"
    if field.type in ("float", "int"):
        return _wrong_number(field, value)
    if field.type in BYTES:
        return _wrong_bytes(field, value)
    if field.type == "json":
        return _wrong_json(value, DEEPEST)
    if field.type in ("str", "list"):
        return _wrong_length(field, len(value))
    return ""


def _right_type(field: Field, value: Any) -> bool:
    if field.type == "json":
        return True
    if field.type in ("bool", "str", "list", "object", "image", "file"):
        return isinstance(value, {"bool": bool, "list": list, "object": dict}.get(field.type, str))
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return field.type == "float" or isinstance(value, int) or value.is_integer()


def _wrong_number(field: Field, value: float) -> str:
    limit = LARGEST_FLOAT if field.type == "float" else _INT64 - 1
    if math.isinf(value):
        return "is infinite"
    if abs(value) > limit:
        return f"is {value!r}, more than a model can hold"
    if (field.minimum is not None and value < field.minimum) or (field.maximum is not None and value > field.maximum):
        return f"is {_number(value)}"
    return ""


def _wrong_length(field: Field, length: int) -> str:
    low, high = field.least or 0, math.inf if field.most is None else field.most
    return "" if low <= length <= high else f"has {length:,} {_UNITS[field.type]}"


def _wrong_bytes(field: Field, value: str) -> str:
    # Four characters carry three bytes: what is too long is refused before it is decoded.
    if field.most is not None and len(value) > (field.most + 2) // 3 * 4:
        return f"has about {len(value) * 3 // 4:,} bytes"
    try:
        data = from_base64(value)
    except InvalidInputError:
        return f"is no base64: {value[:20]!r}"
    if wrong := _wrong_length(field, len(data)):
        return wrong
    media = media_type_of(data)
    good = media in field.media_types if field.media_types else field.type == "file" or media.startswith("image/")
    return "" if good else f"is {media}"


def _wrong_json(value: Any, levels: int) -> str:
    if isinstance(value, dict | list):
        if levels == 0:
            return f"has more than {DEEPEST} levels"
        inside = value.values() if isinstance(value, dict) else value
        return next((found for each in inside if (found := _wrong_json(each, levels - 1))), "")
    if isinstance(value, float) and not math.isfinite(value):
        return f"holds {value!r}"
    return "" if value is None or isinstance(value, str | int | float) else f"holds {kind_of(value)}"


def _range(low: float | None, high: float | None, unit: str, between: str) -> str:
    if low is not None and high is not None:
        if low == high and unit:
            return f"{between}{_number(low)}{unit}"
        return f"{between}{_number(low)} to {_number(high)}{unit}"
    if low is not None:
        return f" of at least {_number(low)}{unit}"
    return f" of at most {_number(high)}{unit}" if high is not None else ""


def _short(value: Any) -> str:
    return repr(value if not isinstance(value, str) or len(value) <= 60 else f"{value[:60]}…")


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() and abs(value) < 1e15 else repr(value)

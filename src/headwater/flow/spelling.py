"""Plain values in JSON, those that JSON lacks spelled as ``{"$kind": …}``, and the way back."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

SMALL_BYTES = 4096
"""Longer texts of bytes are leaves of their own."""


class Filling:
    """What the way back asks for: leaves by number, values nested by their parts, items of data."""

    __slots__ = ("item", "leaf", "nested")

    def __init__(
        self, leaf: Callable[[int], Any], nested: Callable[[list[Any]], Any], item: Callable[[list[Any]], Any]
    ) -> None:
        self.leaf = leaf
        self.nested = nested
        self.item = item


def spell_scalar(kind: type, value: Any) -> Any:
    """Return a text, a number, a truth or None as JSON has it, NotImplemented for any other type."""
    if value is None or kind is bool:
        return value
    if kind is str:
        return value if is_unicode(value) else {"$text": list(value.encode("utf-8", "surrogatepass"))}
    if kind is int:
        return value if -(2**63) <= value < 2**64 else {"$int": hex(value)}
    if kind is float:
        return value if value - value == 0 else {"$float": _exact(value)}
    return NotImplemented


def spell(kind: type, value: Any) -> Any:
    """Return the spelling of a plain value that JSON lacks, None for what is a leaf."""
    if kind is bytes and len(value) <= SMALL_BYTES:
        return {"$bytes": base64.b64encode(value).decode()}
    if kind is bytearray and len(value) <= SMALL_BYTES:
        return {"$bytearray": base64.b64encode(value).decode()}
    if kind is complex:
        return {"$complex": [_exact(value.real), _exact(value.imag)]}
    if kind is range:
        return {"$range": [value.start, value.stop, value.step]}
    if kind is slice and all(each is None or type(each) is int for each in (value.start, value.stop, value.step)):
        return {"$slice": [value.start, value.stop, value.step]}
    if kind.__module__ == "datetime" and kind.__name__ in ("datetime", "date", "time"):
        zone = getattr(value, "tzinfo", None)
        if zone is None or type(zone).__name__ == "timezone":
            return {f"${kind.__name__}": value.isoformat()}
    if kind.__module__ == "datetime" and kind.__name__ == "timedelta":
        return {"$timedelta": [value.days, value.seconds, value.microseconds]}
    if (kind.__module__, kind.__name__) in (("decimal", "Decimal"), ("uuid", "UUID")):
        return {f"${kind.__name__}": str(value)}
    if kind.__module__.startswith("pathlib") and kind.__name__ in ("PosixPath", "PurePosixPath"):
        return {f"${kind.__name__}": str(value)}
    return None


def filled(made: Any, filling: Filling) -> Any:
    """Return the value of a skeleton."""
    if isinstance(made, list):
        return [filled(each, filling) for each in made]
    if not isinstance(made, dict):
        return made
    if len(made) == 1:
        (key, value) = next(iter(made.items()))
        if key.startswith("$"):
            return _meant(key, value, filling)
    return {key: filled(value, filling) for key, value in made.items()}


def _meant(key: str, value: Any, filling: Filling) -> Any:
    if key == "$part":
        return filling.leaf(value)
    if key == "$value":
        return filling.nested(value)
    if key == "$item":
        return filling.item(value)
    if key == "$version":
        from .refs import DataRef

        return DataRef(f"{value[0]}@{value[1]}")
    if key in ("$tuple", "$set", "$frozenset"):
        return {"$tuple": tuple, "$set": set, "$frozenset": frozenset}[key](filled(each, filling) for each in value)
    if key == "$dict":
        return {filled(name, filling): filled(each, filling) for name, each in value}
    return _read_spelling(key, value)


def _read_spelling(key: str, value: Any) -> Any:
    plain: dict[str, Callable[[Any], Any]] = {
        "$int": lambda text: int(text, 16),
        "$float": _float,
        "$text": lambda given: bytes(given).decode("utf-8", "surrogatepass"),
        "$bytes": base64.b64decode,
        "$bytearray": lambda text: bytearray(base64.b64decode(text)),
        "$complex": lambda pair: complex(_float(pair[0]), _float(pair[1])),
        "$range": lambda given: range(*given),
        "$slice": lambda given: slice(*given),
    }
    if key in plain:
        return plain[key](value)
    import datetime
    import decimal
    import pathlib
    import uuid

    if key == "$timedelta":
        return datetime.timedelta(*value)
    classes: dict[str, Any] = {
        "$datetime": datetime.datetime.fromisoformat,
        "$date": datetime.date.fromisoformat,
        "$time": datetime.time.fromisoformat,
        "$Decimal": decimal.Decimal,
        "$UUID": uuid.UUID,
        "$PosixPath": pathlib.PosixPath,
        "$PurePosixPath": pathlib.PurePosixPath,
    }
    return classes[key](value)


def is_unicode(text: str) -> bool:
    """Tell whether a text can be written as UTF-8: lone surrogates cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _float(text: str) -> float:
    if text.startswith("nan:"):
        from headwater.canonical import float_from_bits

        return float_from_bits(int(text[4:]))
    return float.fromhex(text)


def _exact(value: float) -> str:
    return value.hex() if value == value else _nan(value)


def _nan(value: float) -> str:
    from headwater.canonical import float_bits

    return f"nan:{float_bits(value)}"

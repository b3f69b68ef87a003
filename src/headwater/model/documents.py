"""JSON that keeps every float: NaN and the infinities are written ``{"$float": "nan"}`` and read back as they were."""

from __future__ import annotations

import math
from typing import Any

import msgspec

_KEY = "$float"
_WRITTEN = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


def dump(value: Any) -> str:
    """Return a value of dicts, lists, text, numbers and msgspec structs as JSON text."""
    return msgspec.json.encode(plain(value)).decode()


def parse(text: str) -> Any:
    """Return the value that ``dump`` wrote, as dicts and lists."""
    return _revive(msgspec.json.decode(text))


def plain(value: Any) -> Any:
    """Return a value as JSON can carry it: structs as dicts, numpy scalars as numbers, odd floats marked."""
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else {_KEY: "nan" if math.isnan(value) else repr(float(value))}
    if value is None or isinstance(value, str | int | bool):
        return value
    if isinstance(value, dict):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(each) for each in value]
    if hasattr(value, "tolist"):  # a numpy scalar or array
        return plain(value.tolist())
    return msgspec.to_builtins(value, enc_hook=str)


def _revive(value: Any) -> Any:
    if isinstance(value, dict):
        if len(value) == 1 and _KEY in value:
            return _WRITTEN[value[_KEY]]
        return {key: _revive(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_revive(each) for each in value]
    return value

"""Parameters: any plain value under a dotted key, kept so that it comes back as given and can be ordered by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from headwater.canonical import float_bits, float_from_bits, orderable
from headwater.errors import InvalidInputError
from headwater.ledger.values import escape_text, unescape_text

COLUMNS = ("run", "key", "kind", "text", "number", "bits")
LONGEST_KEY = 250
LONGEST_VALUE = 100_000


def flatten(params: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the parameters under dotted keys: ``{"model": {"depth": 8}}`` gives ``model.depth``."""
    flat: dict[str, Any] = {}
    for key, value in params.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and value:
            flat.update(flatten(value, f"{name}."))
        else:
            flat[name] = value
    return flat


def rows(run: str, params: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """Return the rows of a run's parameters, in ``COLUMNS``.

    Raises:
        InvalidInputError: a key is empty or longer than ``LONGEST_KEY`` characters, or a value is too long.
    """
    return [(run, check_key(key), *_columns(key, value)) for key, value in flatten(params).items()]


def check_key(key: str) -> str:
    """Return a key that can be kept, or raise InvalidInputError."""
    if not key or len(key) > LONGEST_KEY or not key.isprintable():
        raise InvalidInputError(
            f"'{key[:80]}' cannot name a parameter, metric or tag: use 1 to {LONGEST_KEY} printable characters.",
            key=key,
        )
    return key


def value_of(kind: str, text: str, bits: int | None) -> Any:
    """Return the value that a row holds."""
    if kind == "float" and bits is not None:
        return float_from_bits(bits)
    if kind == "int":
        return int(text)
    if kind == "bool":
        return text == "true"
    return msgspec.json.decode(text) if kind == "json" else unescape_text(text)


def _columns(key: str, value: Any) -> tuple[str, str, float | None, int | None]:
    value = value.item() if hasattr(value, "item") and getattr(value, "shape", None) == () else value
    if isinstance(value, bool):
        return "bool", "true" if value else "false", float(value), None
    if isinstance(value, int):
        return "int", str(value), float(value) if abs(value) < 2**1000 else None, None
    if isinstance(value, float):
        return "float", repr(value), orderable(value), float_bits(value)
    kind, text = ("str", escape_text(value)) if isinstance(value, str) else ("json", _json(value))
    if len(text) > LONGEST_VALUE:
        raise InvalidInputError(
            f"parameter '{key}' is {len(text):,} characters long; {LONGEST_VALUE:,} is the most. "
            "Keep it as an artefact.",
            key=key,
        )
    return kind, text, None, None


def _json(value: Any) -> str:
    def plain(other: Any) -> Any:
        return repr(other)[:LONGEST_VALUE]

    return msgspec.json.encode(value, enc_hook=plain, order="sorted").decode()

"""Values of declarations as SQL spells them, and values of rows as JSON does."""

from __future__ import annotations

import base64
from datetime import date, datetime, time
from decimal import Decimal
from math import isfinite
from typing import Any

from ..errors import InvalidInputError
from ..lake.table import quote

MOST_PICTURE = 64 << 10
"""Bytes of the largest picture that a sample keeps; of a larger one its first bytes stand there."""
_PICTURES = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg", b"GIF8": "image/gif"}
_NUMBERS = frozenset(["TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "FLOAT", "DOUBLE", "DECIMAL"])

__all__ = ["as_json", "is_float", "is_number", "literal", "missing_sql", "picture", "quote"]


def literal(value: Any) -> str:
    """Return a number, text, truth, date or time as an SQL literal."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) or (isinstance(value, float) and isfinite(value)):
        return repr(value)
    if isinstance(value, float):
        return f"'{value}'::DOUBLE"
    if isinstance(value, datetime):
        return f"'{value.isoformat()}'::{'TIMESTAMPTZ' if value.tzinfo else 'TIMESTAMP'}"
    if isinstance(value, date):
        return f"'{value.isoformat()}'::DATE"
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    raise InvalidInputError(f"{value!r} cannot be a bound: give a number, text, date or time.")


def is_number(kind: str) -> bool:
    """Tell whether a DuckDB type counts or measures."""
    return kind.split("(")[0].removeprefix("U") in _NUMBERS


def is_float(kind: str) -> bool:
    """Tell whether a DuckDB type can hold NaN."""
    return kind in ("FLOAT", "DOUBLE")


def missing_sql(column: str, kind: str) -> str:
    """Return the condition that a column has no value: null, or NaN where the type has it."""
    name = quote(column)
    return f"({name} IS NULL OR isnan({name}))" if is_float(kind) else f"({name} IS NULL)"


def picture(data: bytes) -> str:
    """Return a PNG, JPEG or GIF as a data URI, "" for other bytes and for more than ``MOST_PICTURE``."""
    media = next((media for start, media in _PICTURES.items() if data.startswith(start)), "")
    if not media or len(data) > MOST_PICTURE:
        return ""
    return f"data:{media};base64,{base64.b64encode(data).decode()}"


def as_json(value: Any) -> Any:
    """Return a value of a row as JSON can hold it: NaN, dates, decimals and bytes as text, a picture as a data URI."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if isfinite(value) else str(value)
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, bytes | bytearray):
        return picture(bytes(value)) or value[:32].hex()
    if isinstance(value, dict):
        return {str(key): as_json(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [as_json(inner) for inner in value]
    return str(value)

"""A Kafka record as a row: where it stood, its key and headers, and its value as JSON, text, bytes or columns."""

from __future__ import annotations

import base64
import datetime as dt
import decimal
import re
import uuid
from typing import Annotated, Any, Literal, NamedTuple

import msgspec

from ..errors import InvalidInputError

_PLACE: dict[str, str | None] = {
    "kafka_topic": "VARCHAR",
    "kafka_partition": "INTEGER",
    "kafka_offset": "BIGINT",
    "kafka_timestamp": "TIMESTAMPTZ",
    "kafka_key": "VARCHAR",
    "kafka_headers": "JSON",
}
_VALUE_TYPES = {"json": "JSON", "text": "VARCHAR", "bytes": "BLOB"}
_TYPES: dict[str, Any] = {
    "BOOLEAN": bool,
    "INTEGER": Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31 - 1)],
    "BIGINT": Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)],
    "DOUBLE": float,
    "VARCHAR": str,
    "TIMESTAMP": Annotated[dt.datetime, msgspec.Meta(tz=False)],
    "TIMESTAMPTZ": Annotated[dt.datetime, msgspec.Meta(tz=True)],
    "DATE": dt.date,
    "UUID": uuid.UUID,
    "JSON": msgspec.Raw,
}
_DECIMAL = re.compile(r"DECIMAL\((\d+), ?(\d+)\)")


class Record(NamedTuple):
    """What a consumer got. ``timestamp_ms`` is below 0 where the record has none."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]]


class RowShape:
    """How records become rows of ``columns``. A record without a value (a deletion) has null there."""

    def __init__(self, value: Literal["json", "text", "bytes"], fields: dict[str, str], *, keep_bad: bool) -> None:
        self._value = value
        self._keep_bad = keep_bad
        self._fields = _struct(fields) if fields else None
        self._decimals = {
            number: (int(found[1]), int(found[2]))
            for number, kind in enumerate(fields.values())
            if (found := _DECIMAL.fullmatch(kind.upper()))
        }
        self._width = len(fields) or 1
        own = {name: kind.upper() for name, kind in fields.items()} if fields else {"value": _VALUE_TYPES[value]}
        taken = sorted(name for name in own if name in _PLACE or name in ("kafka_value", "kafka_error"))
        if taken:
            raise InvalidInputError(f"a column cannot be called '{taken[0]}': the source has one of that name.")
        bad: dict[str, str | None] = {"kafka_value": "BLOB", "kafka_error": "VARCHAR"} if keep_bad else {}
        self.columns: dict[str, str | None] = {**_PLACE, **own, **bad}

    def row(self, record: Record) -> list[Any]:
        """Return a record's row.

        Raises:
            InvalidInputError: its value cannot be read, and such values are not to be kept.
        """
        values, problem = self._values(record.value)
        if problem and not self._keep_bad:
            raise InvalidInputError(
                f"the record at offset {record.offset} of {record.topic}[{record.partition}] cannot be read: "
                f"{problem}. Nothing was taken in. Correct 'value' or 'columns', or write bad = \"keep\", which keeps "
                "such records.",
                topic=record.topic,
                partition=record.partition,
                offset=record.offset,
            )
        at = _instant(record.timestamp_ms)
        row = [record.topic, record.partition, record.offset, at, _text(record.key), _headers(record.headers), *values]
        if self._keep_bad:
            row += [record.value, problem] if problem else [None, None]
        return row

    def _values(self, value: bytes | None) -> tuple[list[Any], str]:
        """Return the values of the columns, and why they could not be read ("" where they could)."""
        nothing = [None] * self._width
        if value is None or self._value == "bytes":
            return ([value] if value is not None else nothing), ""
        try:
            if self._value == "text":
                return [value.decode()], ""
            if self._fields is None:
                msgspec.json.decode(value)
                return [value.decode()], ""
            found = list(msgspec.structs.astuple(msgspec.json.decode(value, type=self._fields)))
            for number, (precision, scale) in self._decimals.items():
                _require_fit(found[number], precision, scale)
            found = [_raw(each) if isinstance(each, msgspec.Raw) else each for each in found]
        except (msgspec.DecodeError, UnicodeDecodeError, ValueError) as error:
            return nothing, str(error)
        return found, ""


def _struct(fields: dict[str, str]) -> type[msgspec.Struct]:
    """Return the struct that reads an object's fields, strictly; missing ones are null, others are left out."""
    given: list[tuple[str, Any, Any]] = []
    for number, (name, kind) in enumerate(fields.items()):
        decimal_type = decimal.Decimal if _DECIMAL.fullmatch(kind.upper()) else None
        read = decimal_type or _TYPES.get(kind.upper())
        if read is None:
            raise InvalidInputError(
                f"the column '{name}' cannot be '{kind}': the types are {', '.join(_TYPES)} and "
                "DECIMAL(precision, scale)."
            )
        given.append(
            (f"c{number}", read if read is msgspec.Raw else read | None, msgspec.Raw() if read is msgspec.Raw else None)
        )
    names = {f"c{number}": name for number, name in enumerate(fields)}
    return msgspec.defstruct("Fields", given, rename=names)


def _raw(value: msgspec.Raw) -> str | None:
    text = bytes(value).decode()
    return None if text in ("", "null") else text


def _require_fit(value: decimal.Decimal | None, precision: int, scale: int) -> None:
    if value is None:
        return
    exponent = value.as_tuple().exponent
    if not isinstance(exponent, int) or -exponent > scale or value.adjusted() >= precision - scale:
        raise ValueError(f"{value} does not fit DECIMAL({precision}, {scale})")


def _instant(milliseconds: int) -> dt.datetime | None:
    if milliseconds < 0:
        return None
    return dt.datetime.fromtimestamp(0, dt.UTC) + dt.timedelta(milliseconds=milliseconds)


def _text(data: bytes | None) -> str | None:
    """Return bytes as text; what is not UTF-8 as base64, with a prefix that tells."""
    if data is None:
        return None
    try:
        return data.decode()
    except UnicodeDecodeError:
        return f"base64:{base64.b64encode(data).decode()}"


def _headers(headers: list[tuple[str, bytes | None]]) -> list[list[str | None]] | None:
    return [[name, _text(value)] for name, value in headers] if headers else None

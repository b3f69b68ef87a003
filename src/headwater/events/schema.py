"""What a stream's rows look like, and how rows become the payload of a frame.

A room declares its streams when it is imported. Rows are checked against the declaration and
written as one JSON object per line. A DOUBLE is written as the integer of its 64 bits, so that
NaN (with its payload), the infinities and -0.0 come back as they went in; a BLOB as base64.
"""

from __future__ import annotations

import array
import base64
import functools
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal

import msgspec

from headwater.errors import InvalidInputError, NotFoundError

ColumnType = Literal["VARCHAR", "BIGINT", "DOUBLE", "BOOLEAN", "BLOB"]

LARGEST_ROW_BYTES = 8 << 20
OCCURRED_AT = "occurred_at"
RECORDED_AT = "recorded_at"

_BigInt = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
_PYTHON: dict[str, Any] = {"VARCHAR": str, "BIGINT": _BigInt, "DOUBLE": float, "BOOLEAN": bool, "BLOB": bytes}
_ON_DISK: dict[str, str] = {"DOUBLE": "BIGINT", "BLOB": "VARCHAR"}
_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
_JSON = msgspec.json.Encoder()


class Schema(msgspec.Struct, frozen=True, kw_only=True):
    """The columns of a stream in order, and the columns its sealed rows are sorted by."""

    name: str
    columns: dict[str, ColumnType]
    order: tuple[str, ...] = ()

    def document(self) -> str:
        """Return the columns as JSON text, as segments and the ledger keep them."""
        return _JSON.encode(self.columns).decode()


class Payload(msgspec.Struct, frozen=True, kw_only=True):
    """Encoded rows: newline-delimited JSON, how many, and the range of ``occurred_at``."""

    data: bytes
    rows: int
    first_at: int
    last_at: int


STREAMS: dict[str, Schema] = {}
LATER: list[Callable[[], object]] = []
"""What imports every room that declares streams, for a process that did not; called when a name is not known."""


def declare_stream(name: str, columns: Mapping[str, ColumnType], *, order: Sequence[str] = ()) -> Schema:
    """Declare a stream; declaring it again with the same columns changes nothing.

    Every stream has ``occurred_at`` (UTC microseconds, the caller's; now when a row leaves it out) and
    ``recorded_at`` (ours), whether listed or not. ``order`` names the columns that sealed rows are sorted by,
    which is what lets a query skip the parts of an object that it does not ask for.

    Raises:
        InvalidInputError: a name is not lower-case letters, digits and _, or a type is unknown.
        RuntimeError: the stream is declared already with other columns.
    """
    full: dict[str, ColumnType] = dict(columns)
    full.setdefault(OCCURRED_AT, "BIGINT")
    full[RECORDED_AT] = "BIGINT"
    for each in (name, *full):
        if not _NAME.fullmatch(each):
            raise InvalidInputError(f"'{each}' cannot name a stream or a column: use a-z, 0-9 and _.", name=each)
    for column, kind in full.items():
        if kind not in _PYTHON:
            raise InvalidInputError(f"column '{column}' has type '{kind}'; there are {', '.join(_PYTHON)}.")
    schema = Schema(name=name, columns=full, order=tuple(order))
    if STREAMS.setdefault(name, schema) != schema:
        raise RuntimeError(f"stream '{name}' is declared twice with different columns")
    return schema


def declared(name: str) -> Schema:
    """Return the declaration of a stream.

    Raises:
        NotFoundError: no imported package declares it.
    """
    schema = STREAMS.get(name)
    if schema is None:
        known = ", ".join(sorted(STREAMS)) or "none"
        raise NotFoundError(f"there is no event stream '{name}'; declared are: {known}.", stream=name)
    return schema


def from_document(name: str, document: str) -> Schema:
    """Return the schema that ``Schema.document`` described; its sort order is the declared one."""
    columns = msgspec.json.decode(document, type=dict[str, ColumnType])
    known = STREAMS.get(name)
    order = tuple(c for c in known.order if c in columns) if known else ()
    return Schema(name=name, columns=columns, order=order)


def encode_rows(schema: Schema, rows: Sequence[Mapping[str, Any]], recorded_at: int) -> Payload:
    """Return the rows as a frame's payload; a column that a row leaves out is null.

    Raises:
        InvalidInputError: a row has an unknown column, a value of another type, a number outside 64 bits,
            or is larger than ``LARGEST_ROW_BYTES``.
    """
    values = _checked(schema, rows)
    first_at, last_at = _stamp(values, recorded_at)
    for column, kind in schema.columns.items():
        if kind == "DOUBLE":
            _doubles_to_bits(values, column)
    try:
        data = _JSON.encode_lines(values)
    except UnicodeEncodeError as error:
        raise InvalidInputError(f"a row of stream '{schema.name}' holds text that is not valid Unicode.") from error
    if len(data) > LARGEST_ROW_BYTES:
        _refuse_large_rows(schema.name, data)
    return Payload(data=data, rows=len(values), first_at=first_at, last_at=last_at)


def decode_rows(schema: Schema, data: bytes) -> list[dict[str, Any]]:
    """Return the rows of a payload as they were given, with the stamps added."""
    rows: list[dict[str, Any]] = [msgspec.json.decode(line) for line in data.splitlines()]
    for column, kind in schema.columns.items():
        if kind == "DOUBLE":
            for row in rows:
                if row[column] is not None:
                    row[column] = array.array("d", array.array("q", [row[column]]).tobytes())[0]
        elif kind == "BLOB":
            for row in rows:
                if row[column] is not None:
                    row[column] = base64.b64decode(row[column])
    return rows


def json_columns(columns: Mapping[str, ColumnType]) -> str:
    """Return DuckDB's ``columns=`` argument for reading a payload."""
    return "{" + ", ".join(f"\"{name}\": '{_ON_DISK.get(kind, kind)}'" for name, kind in columns.items()) + "}"


def typed(column: str, kind: ColumnType) -> str:
    """Return the DuckDB expression that turns a column of a payload into its declared type."""
    if kind == "DOUBLE":
        return f'"{column}"::BIT::DOUBLE AS "{column}"'
    if kind == "BLOB":
        return f'from_base64("{column}") AS "{column}"'
    return f'"{column}"'


@functools.lru_cache(maxsize=256)
def _struct(name: str, columns: tuple[tuple[str, str], ...]) -> type[msgspec.Struct]:
    fields = [(column, _PYTHON[kind] | None, None) for column, kind in columns]
    return msgspec.defstruct(name, fields, forbid_unknown_fields=True)


def _checked(schema: Schema, rows: Sequence[Mapping[str, Any]]) -> list[Any]:
    cls = _struct(schema.name, tuple(schema.columns.items()))
    wanted: Any = list[cls]  # type: ignore[valid-type]  # made at run time from the declaration
    given = rows if isinstance(rows, list) else list(rows)
    try:
        return msgspec.convert(given, wanted)  # type: ignore[no-any-return]
    except msgspec.ValidationError:
        pass
    plain = [_plain(schema, row) for row in given]
    try:
        return msgspec.convert(plain, wanted)  # type: ignore[no-any-return]
    except msgspec.ValidationError as error:
        raise InvalidInputError(
            f"a row does not fit stream '{schema.name}': {error}. Its columns are {schema.document()}.",
            stream=schema.name,
        ) from error


def _plain(schema: Schema, row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the row with the numbers of other libraries (NumPy's scalars) as Python's own."""
    plain = dict(row)
    for column, value in row.items():
        kind = schema.columns.get(column)
        if kind == "DOUBLE" and hasattr(value, "__float__") and not isinstance(value, str):
            plain[column] = float(value)
        elif kind == "BIGINT" and hasattr(value, "__index__") and not isinstance(value, bool):
            plain[column] = value.__index__()
        elif kind == "VARCHAR" and isinstance(value, str):
            plain[column] = str(value)
        elif kind == "BOOLEAN" and type(value).__name__ == "bool" and type(value).__module__ == "numpy":
            plain[column] = bool(value)
    return plain


def _stamp(values: list[Any], recorded_at: int) -> tuple[int, int]:
    for value in values:
        value.recorded_at = recorded_at
    times = [value.occurred_at for value in values]
    if None in times:
        for value in values:
            if value.occurred_at is None:
                value.occurred_at = recorded_at
        times = [value.occurred_at for value in values]
    return min(times), max(times)


def _doubles_to_bits(values: list[Any], column: str) -> None:
    numbers = [getattr(value, column) for value in values]
    present = values
    if None in numbers:
        present = [value for value, number in zip(values, numbers, strict=True) if number is not None]
        numbers = [number for number in numbers if number is not None]
    bits = array.array("q", array.array("d", numbers).tobytes())
    for value, pattern in zip(present, bits, strict=True):
        setattr(value, column, pattern)


def _refuse_large_rows(stream: str, data: bytes) -> None:
    longest = max(map(len, data.splitlines()))
    if longest > LARGEST_ROW_BYTES:
        raise InvalidInputError(
            f"a row of {longest:,} bytes is too large for stream '{stream}' (at most {LARGEST_ROW_BYTES:,}). "
            "Put the bytes as an object and record their digest.",
            stream=stream,
            size_bytes=longest,
        )

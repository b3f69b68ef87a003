"""An Arrow C stream that can be read only once, made fit for a reader that asks for its schema first.

DuckDB asks an object for its stream twice before it reads: each time it is given a new stream here, and all of them
read on in the one below. So tables flow from a database's driver into Parquet without a library for Arrow.

Source: the Arrow C data and C stream interfaces, arrow.apache.org/docs/format/CStreamInterface.html.
"""

from __future__ import annotations

import ctypes
from typing import Any, NamedTuple


class _Stream(ctypes.Structure):
    pass


class _Schema(ctypes.Structure):
    pass


_GetSchema = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(_Stream), ctypes.c_void_p)
_GetNext = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(_Stream), ctypes.c_void_p)
_GetError = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.POINTER(_Stream))
_Release = ctypes.CFUNCTYPE(None, ctypes.POINTER(_Stream))
_Stream._fields_ = [
    ("get_schema", _GetSchema),
    ("get_next", _GetNext),
    ("get_last_error", _GetError),
    ("release", _Release),
    ("private_data", ctypes.c_void_p),
]
_Schema._fields_ = [
    ("format", ctypes.c_char_p),
    ("name", ctypes.c_char_p),
    ("metadata", ctypes.c_void_p),
    ("flags", ctypes.c_int64),
    ("n_children", ctypes.c_int64),
    ("children", ctypes.POINTER(ctypes.POINTER(_Schema))),
    ("dictionary", ctypes.c_void_p),
    ("release", ctypes.c_void_p),
    ("private_data", ctypes.c_void_p),
]


class Field(NamedTuple):
    """A column of a stream: its name, Arrow's format text, and what the driver says about it."""

    name: str
    format: str
    metadata: dict[str, str]


class SharedStream:
    """Hands out streams that read on in one stream, which ``handle`` (with ``.address``) owns."""

    def __init__(self, handle: Any) -> None:
        self._handle = handle
        inner = _Stream.from_address(handle.address)
        below = ctypes.byref(inner)
        # Kept as attributes: C calls these for as long as the stream lives.
        self._calls = (
            _GetSchema(lambda _, out: int(inner.get_schema(below, out))),
            _GetNext(lambda _, out: int(inner.get_next(below, out))),
            _GetError(lambda _: inner.get_last_error(below)),
            _Release(_mark_released),
        )
        self._given: list[_Stream] = []

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        stream = _Stream(*self._calls, None)
        self._given.append(stream)
        make = ctypes.pythonapi.PyCapsule_New
        make.restype, make.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
        capsule: object = make(ctypes.addressof(stream), b"arrow_array_stream", None)
        return capsule


def _mark_released(stream: Any) -> None:
    # What lies below belongs to its handle; a released stream is one whose release is null.
    ctypes.memset(ctypes.addressof(stream.contents) + _Stream.release.offset, 0, ctypes.sizeof(ctypes.c_void_p))


def fields(handle: Any) -> list[Field]:
    """Return the columns of an Arrow C schema, which ``handle`` (with ``.address``) owns."""
    schema = _Schema.from_address(handle.address)
    found = []
    for number in range(schema.n_children):
        child = schema.children[number].contents
        found.append(Field(child.name.decode(), child.format.decode(), _metadata(child.metadata)))
    return found


def _metadata(address: int | None) -> dict[str, str]:
    """Return the pairs of a field: a count, then for each text its length and its bytes (32-bit, native order)."""
    if not address:
        return {}
    count, at = ctypes.c_int32.from_address(address).value, address + 4
    texts = []
    for _ in range(2 * count):
        length = ctypes.c_int32.from_address(at).value
        texts.append(ctypes.string_at(at + 4, length).decode("utf-8", "replace"))
        at += 4 + length
    return dict(zip(texts[::2], texts[1::2], strict=True))

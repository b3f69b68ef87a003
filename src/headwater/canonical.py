"""One value, one spelling: the bytes that digests are taken of, and floats that come back as they went in."""

from __future__ import annotations

import math
import struct
from typing import Any

import msgspec

_MSGPACK = msgspec.msgpack.Encoder(order="deterministic")


def encode(value: Any) -> bytes:
    """Return the canonical bytes of a value: MessagePack with sorted keys, floats as their 64 bits.

    NaN, infinities and -0.0 keep their bits; 1 and 1.0 differ; tuples and lists are the same.
    """
    return _MSGPACK.encode(value)


def decode(data: bytes) -> Any:
    """Return the value of canonical bytes as plain dicts, lists, numbers, text and bytes."""
    return msgspec.msgpack.decode(data)


def digest(data: bytes) -> str:
    """Return the BLAKE3 digest of bytes as 64 hexadecimal characters."""
    from blake3 import blake3

    return blake3(data).hexdigest()


def digest_of(value: Any) -> str:
    """Return the digest of a value's canonical bytes."""
    return digest(encode(value))


def float_bits(value: float) -> int:
    """Return the 64 bits of a float as a signed integer, which a database column keeps exactly."""
    bits: int = struct.unpack("<q", struct.pack("<d", value))[0]
    return bits


def float_from_bits(bits: int) -> float:
    """Return the float of ``float_bits``, NaN payloads and -0.0 included."""
    value: float = struct.unpack("<d", struct.pack("<q", bits))[0]
    return value


def orderable(value: float) -> float | None:
    """Return the number that a database can order by: None for NaN, else the value."""
    return None if math.isnan(value) else value

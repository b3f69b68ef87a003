"""The frame: what one group commit writes, and how to tell a torn end from damage.

A segment is a preamble frame (the stream's columns) followed by one frame for each group commit.
Frame: a header of 40 bytes, little-endian, then the payload.

    4 bytes  magic: HWES for the preamble, HWEF for rows
    u32      length of the payload
    u32      CRC-32 of the payload
    u32      rows
    i64 x2   least and greatest occurred_at of the rows
    u32      0
    u32      CRC-32 of the 36 bytes before

A frame is written only after the one before it was synced. So what a power cut leaves behind is
at most one broken frame at the very end, and it was never acknowledged: it is cut. A broken frame
with a whole one after it is damage to acknowledged rows, and an error.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

import msgspec

from .schema import Payload

_HEADER = struct.Struct("<4sIIIqqI")
_CHECK = struct.Struct("<I")
HEADER_BYTES = _HEADER.size + _CHECK.size
PREAMBLE = b"HWES"
ROWS = b"HWEF"
LARGEST_PAYLOAD_BYTES = 2**32 - 1


class Frame(msgspec.Struct, frozen=True):
    """One whole frame: where it begins, its kind, and its payload."""

    offset: int
    magic: bytes
    payload: Payload

    @property
    def end(self) -> int:
        """Where the next frame begins."""
        return self.offset + HEADER_BYTES + len(self.payload.data)


class Scan(msgspec.Struct, frozen=True):
    """What a segment holds: its whole frames, where they end, and the offsets of damaged ones."""

    frames: list[Frame]
    end: int
    damaged: list[int]


def pack(payload: Payload, magic: bytes = ROWS) -> bytes:
    """Return the bytes of a frame."""
    head = _HEADER.pack(
        magic, len(payload.data), zlib.crc32(payload.data), payload.rows, payload.first_at, payload.last_at, 0
    )
    return b"".join((head, _CHECK.pack(zlib.crc32(head)), payload.data))


def preamble(document: str) -> bytes:
    """Return the frame that names the columns of the rows to come."""
    return pack(Payload(data=document.encode(), rows=0, first_at=0, last_at=0), PREAMBLE)


def read_frame(data: bytes, offset: int) -> Frame | None:
    """Return the whole frame at ``offset``, or None when there is none."""
    body = offset + HEADER_BYTES
    if body > len(data):
        return None
    magic, length, crc, rows, first_at, last_at, _ = _HEADER.unpack_from(data, offset)
    if magic not in (ROWS, PREAMBLE):
        return None
    if _CHECK.unpack_from(data, offset + _HEADER.size)[0] != zlib.crc32(data[offset : offset + _HEADER.size]):
        return None
    payload = data[body : body + length]
    if len(payload) != length or zlib.crc32(payload) != crc:
        return None
    return Frame(offset, magic, Payload(data=payload, rows=rows, first_at=first_at, last_at=last_at))


def scan(data: bytes) -> Scan:
    """Return what a segment's bytes hold, stepping over damaged frames to the next whole one."""
    frames: list[Frame] = []
    damaged: list[int] = []
    offset = 0
    while offset < len(data):
        frame = read_frame(data, offset)
        if frame is None:
            after = next(_whole_after(data, offset + 1), None)
            if after is None:
                break
            damaged.append(offset)
            frame = after
        frames.append(frame)
        offset = frame.end
    return Scan(frames, offset, damaged)


def _whole_after(data: bytes, offset: int) -> Iterator[Frame]:
    """Yield whole frames that begin at or after ``offset``. A payload is JSON, which escapes NUL, and no header
    is without one: a row cannot forge a frame.
    """
    while True:
        candidates = [found for magic in (ROWS, PREAMBLE) if (found := data.find(magic, offset)) >= 0]
        if not candidates:
            return
        offset = min(candidates)
        frame = read_frame(data, offset)
        if frame is not None:
            yield frame
        offset += 1

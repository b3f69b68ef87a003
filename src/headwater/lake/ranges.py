"""The ranges that a manifest is kept in: where they end, and their bytes.

A range ends after a path whose own hash says so, whatever stands before or after it: equal neighbourhoods of two
versions are therefore equal ranges, with equal digests, and a change touches the range it falls into and no other.
A leaf holds rows of files, in the order of their paths' bytes; a node holds references to leaves or nodes, in order.
Format: canonical MessagePack of columns; paths are joined by NUL, digests are 32 bytes each.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple
from zlib import crc32

import msgspec

from ..canonical import digest, encode
from ..errors import CorruptError

FORMAT = "headwater.manifest/1"
LEAF_MEAN = 1024
NODE_MEAN = 256

_MIX = 0x9E3779B1
_LEAF_LIMIT = 2**32 // LEAF_MEAN


class Row(NamedTuple):
    """One file: the bytes of its path, the digest as hexadecimal text, size in bytes, media type, rows if known."""

    path: bytes
    digest: str
    size: int
    media: str
    rows: int | None


class Reference(NamedTuple):
    """A range by the path it ends with and its digest, and the totals of the files below it.

    ``counted`` is how many of the files have a known number of rows, ``rows`` their sum.
    """

    last: bytes
    digest: str
    level: int
    files: int
    bytes: int
    rows: int
    counted: int


def ends_leaf(path: bytes) -> bool:
    """Tell whether a leaf ends after this path: one path in 1,024 does.

    CRC-32 is linear, so numbered names would end leaves in a pattern; the product breaks that.
    """
    return (crc32(path) * _MIX & 0xFFFFFFFF) < _LEAF_LIMIT


def ends_node(last: bytes, level: int) -> bool:
    """Tell whether a node of ``level`` ends after the range that ends with ``last``: one in 256 does."""
    return int(digest(b"%d:" % level + last)[:8], 16) % NODE_MEAN == 0


def cut_leaves(rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
    """Yield the leaves of sorted rows; the last one may be unfinished."""
    start = 0
    for stop in [i + 1 for i, row in enumerate(rows) if (crc32(row[0]) * _MIX & 0xFFFFFFFF) < _LEAF_LIMIT]:
        yield rows[start:stop]
        start = stop
    if start < len(rows):
        yield rows[start:]


def cut_nodes(references: Sequence[Reference], level: int) -> Iterator[Sequence[Reference]]:
    """Yield the nodes of ``level`` over sorted references of the level below."""
    start = 0
    for index, reference in enumerate(references):
        if ends_node(reference.last, level):
            yield references[start : index + 1]
            start = index + 1
    if start < len(references):
        yield references[start:]


def encode_leaf(rows: Sequence[Row]) -> bytes:
    """Return the bytes of a leaf."""
    paths, digests, sizes, media, counts = zip(*rows, strict=True) if rows else ((), (), (), (), ())
    kinds = sorted(set(media))
    place = {kind: index for index, kind in enumerate(kinds)}
    return encode(
        {
            "format": FORMAT,
            "level": 0,
            "paths": b"\0".join(paths),
            "digests": bytes.fromhex("".join(digests)),
            "sizes": sizes,
            "kinds": kinds,
            "media": [place[kind] for kind in media] if len(kinds) > 1 else [],
            "rows": counts if any(count is not None for count in counts) else [],
        }
    )


def encode_node(references: Sequence[Reference], level: int) -> bytes:
    """Return the bytes of a node of ``level`` over ranges of the level below."""
    return encode(
        {
            "format": FORMAT,
            "level": level,
            "paths": b"\0".join(r.last for r in references),
            "digests": bytes.fromhex("".join(r.digest for r in references)),
            "files": [r.files for r in references],
            "bytes": [r.bytes for r in references],
            "rows": [r.rows for r in references],
            "counted": [r.counted for r in references],
        }
    )


def refer_to_leaf(rows: Sequence[Row], name: str) -> Reference:
    """Return the reference to a leaf of digest ``name``."""
    known = [row.rows for row in rows if row.rows is not None]
    last = rows[-1].path if rows else b""
    return Reference(last, name, 0, len(rows), sum(row.size for row in rows), sum(known), len(known))


def refer_to_node(references: Sequence[Reference], name: str, level: int) -> Reference:
    """Return the reference to a node of digest ``name``."""
    totals = (sum(column) for column in zip(*(r[3:] for r in references), strict=True))
    return Reference(references[-1].last, name, level, *totals)


def decode_range(data: bytes, name: str) -> tuple[int, list[Row] | list[Reference]]:
    """Return the level of a range and its rows (level 0) or references.

    Raises:
        CorruptError: the bytes are not a range of this format.
    """
    try:
        body: dict[str, Any] = msgspec.msgpack.decode(data)
        if body["format"] != FORMAT:
            raise ValueError(f"format {body['format']!r}")
        level: int = body["level"]
        paths = body["paths"].split(b"\0") if body["digests"] else []
        text = body["digests"].hex()
        digests = [text[i : i + 64] for i in range(0, len(text), 64)]
        if level:
            columns = (body[key] for key in ("files", "bytes", "rows", "counted"))
            below = [level - 1] * len(paths)
            return level, [Reference(*r) for r in zip(paths, digests, below, *columns, strict=True)]
        return 0, _rows_of(body, paths, digests)
    except (msgspec.DecodeError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise CorruptError(
            f"object {name} should be a range of a manifest and is not: {error}. Run 'hw verify'.", digest=name
        ) from error


def _rows_of(body: dict[str, Any], paths: list[bytes], digests: list[str]) -> list[Row]:
    kinds = body["kinds"]
    media = [kinds[i] for i in body["media"]] if body["media"] else kinds * len(paths)
    rows = body["rows"] or [None] * len(paths)
    return list(map(Row._make, zip(paths, digests, body["sizes"], media, rows, strict=True)))

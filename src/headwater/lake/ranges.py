"""The ranges that a manifest is kept in: where they end, and their bytes.

A range ends after a path whose own hash says so, whatever stands before or after it: equal neighbourhoods of two
versions are therefore equal ranges, with equal digests, and a change touches the range it falls into and no other.
A leaf holds rows of files, in the order of their paths' bytes; a node holds references to leaves or nodes, in order.
Format: canonical MessagePack of columns; paths are joined by NUL, digests are 32 bytes each.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeAlias
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


Cell: TypeAlias = tuple[bytes, int, str, int | None]
"""What a row says of its path: the digest's 32 bytes, size in bytes, media type, rows if known."""


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
        level, body = _opened(data)
        paths = _paths_of(body)
        text = body["digests"].hex()
        digests = [text[i : i + 64] for i in range(0, len(text), 64)]
        if level:
            columns = (body[key] for key in ("files", "bytes", "rows", "counted"))
            below = [level - 1] * len(paths)
            return level, [Reference(*r) for r in zip(paths, digests, below, *columns, strict=True)]
        return 0, list(map(_row, zip(paths, digests, *_facts_of(body, len(paths)), strict=True)))
    except _NOT_A_RANGE as error:
        raise _no_range(name, error) from error


class Leaf:
    """A leaf as its columns, of which rows are made where they are asked for: most of a comparison needs none."""

    __slots__ = ("_counts", "_digests", "_joined", "_media", "_sizes")

    def __init__(self, data: bytes, name: str) -> None:
        """Take the columns from a leaf's bytes.

        Raises:
            CorruptError: the bytes are not a leaf of this format.
        """
        try:
            level, body = _opened(data)
            if level:
                raise ValueError(f"a node of level {level}, not a leaf")
            self._joined: bytes = body["paths"]
            self._digests: bytes = body["digests"]
            count = len(self._digests) // 32
            self._sizes, self._media, self._counts = _facts_of(body, count)
            names = self._joined.count(b"\0") + 1 if count else 0
            if not len(self._sizes) == len(self._media) == len(self._counts) == names == len(self._digests) / 32:
                raise ValueError("columns of different lengths")
        except _NOT_A_RANGE as error:
            raise _no_range(name, error) from error

    def paths(self) -> list[bytes]:
        """Return the paths, in order."""
        return self._joined.split(b"\0") if self._digests else []

    def cells(self) -> list[Cell]:
        """Return what the leaf says of each path, in order."""
        digests = [self._digests[i : i + 32] for i in range(0, len(self._digests), 32)]
        return list(zip(digests, self._sizes, self._media, self._counts, strict=True))

    def changed(self, other: Leaf) -> list[tuple[Row, Row]] | None:
        """Return the rows that differ from those of a leaf of the same paths, with the other's, in order.

        None where paths, media types or known rows differ as well, so that all of it must be compared.
        """
        if (self._joined, self._media, self._counts) != (other._joined, other._media, other._counts):
            return None
        places = list(_unlike(self._digests, other._digests))
        paths = self.paths() if places else []
        return [(self._row(paths[at], at), other._row(paths[at], at)) for at in places]

    def _row(self, path: bytes, at: int) -> Row:
        digest = self._digests[32 * at : 32 * at + 32].hex()
        return Row(path, digest, self._sizes[at], self._media[at], self._counts[at])


def _unlike(a: bytes, b: bytes) -> Iterator[int]:
    """Yield the places at which two columns of digests, equally long, differ; equal halves are looked at once."""
    waiting = [(0, len(a) // 32)]
    while waiting:
        start, stop = waiting.pop()
        if a[32 * start : 32 * stop] == b[32 * start : 32 * stop]:
            continue
        if stop - start == 1:
            yield start
            continue
        middle = (start + stop) // 2
        waiting += [(middle, stop), (start, middle)]


def row_of_cell(path: bytes, cell: Cell) -> Row:
    """Return the row of a path and what a leaf says of it."""
    return Row(path, cell[0].hex(), *cell[1:])


_NOT_A_RANGE = (msgspec.DecodeError, LookupError, ValueError, TypeError, AttributeError)
_row = partial(tuple.__new__, Row)  # Row._make, without its frame in Python


def _opened(data: bytes) -> tuple[int, dict[str, Any]]:
    body: dict[str, Any] = msgspec.msgpack.decode(data)
    if body["format"] != FORMAT:
        raise ValueError(f"format {body['format']!r}")
    return body["level"], body


def _paths_of(body: dict[str, Any]) -> list[bytes]:
    paths: list[bytes] = body["paths"].split(b"\0") if body["digests"] else []
    return paths


def _facts_of(body: dict[str, Any], count: int) -> tuple[list[int], list[str], list[int | None]]:
    """Return the sizes, media types and numbers of rows of a leaf's files."""
    kinds = body["kinds"]
    media = [kinds[i] for i in body["media"]] if body["media"] else kinds * count
    return body["sizes"], media, body["rows"] or [None] * count


def _no_range(name: str, error: BaseException) -> CorruptError:
    return CorruptError(
        f"object {name} should be a range of a manifest and is not: {error}. Run 'hw verify'.", digest=name
    )

"""The pack format: many entries in one immutable file that describes itself.

::

    header    8 bytes magic, u32 format version, u32 zero
    bodies    the entries' bytes, one after the other, no gaps
    footer    u64 n, u64 m, then arrays over the n entries in the order of their digests:
              digests n x 32 bytes, offsets n x u64, lengths n x u64, sizes n x u64, kinds n x u8,
              then the digests of the m chunk lists (kind 1) m x 32 bytes, in the same order
    trailer   u64 length of the footer, BLAKE3 digest of the footer (32 bytes), 8 bytes magic

Everything is little-endian. The pack's id is the footer's digest: since the footer holds the digest of every body and
bodies leave no gaps, the id commits to each byte of the file.
"""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Iterator, Sequence

from headwater.errors import CorruptError

from .values import CHUNKED, Location

MAGIC = b"HWPACK\r\n"
END_MAGIC = b"\r\nKCAPWH"
FORMAT = 1
HEADER = struct.Struct("<8sII")
TRAILER = struct.Struct("<Q32s8s")
_COUNTS = struct.Struct("<QQ")
_PER_ENTRY = 32 + 8 + 8 + 8 + 1


def header_bytes() -> bytes:
    """Return the first bytes of every pack of this format."""
    return HEADER.pack(MAGIC, FORMAT, 0)


class Entries:
    """The entries of a pack that is being written, gathered column by column."""

    def __init__(self) -> None:
        self.digests: list[bytes] = []
        self.offsets: list[int] = []
        self.lengths: list[int] = []
        self.sizes: list[int] = []
        self.kinds: list[int] = []
        self.checks: dict[bytes, bytes] = {}

    def __len__(self) -> int:
        return len(self.digests)

    def add(self, digest: bytes, offset: int, length: int, size: int, kind: int, check: bytes | None) -> None:
        """Add one entry; ``check`` is the digest of the body where that is a chunk list."""
        self.digests.append(digest)
        self.offsets.append(offset)
        self.lengths.append(length)
        self.sizes.append(size)
        self.kinds.append(kind)
        if check is not None:
            self.checks[digest] = check

    def footer(self) -> bytes:
        """Return the footer of these entries."""
        count = len(self.digests)
        order = sorted(range(count), key=self.digests.__getitem__)
        digests = [self.digests[i] for i in order]
        parts = [
            _COUNTS.pack(count, len(self.checks)),
            b"".join(digests),
            *(_u64([column[i] for i in order]) for column in (self.offsets, self.lengths, self.sizes)),
            bytes([self.kinds[i] for i in order]),
            b"".join(self.checks[digest] for digest in digests if digest in self.checks),
        ]
        return b"".join(parts)


class Footer:
    """A footer that was read: columns in the order of the digests."""

    def __init__(self, data: bytes) -> None:
        """Take the columns of a footer's bytes apart.

        Raises:
            CorruptError: its length does not fit its counts.
        """
        count, lists = _COUNTS.unpack_from(data) if len(data) >= _COUNTS.size else (0, 0)
        if len(data) != _COUNTS.size + count * _PER_ENTRY + lists * 32:
            raise CorruptError(f"a pack's footer of {len(data)} bytes does not fit the entries that it counts.")
        at = _COUNTS.size
        self.length = len(data)
        self.count = count
        self._digests = data[at : at + 32 * count]
        at += 32 * count
        self.offsets = _from_u64(data[at : at + 8 * count])
        self.lengths = _from_u64(data[at + 8 * count : at + 16 * count])
        self.sizes = _from_u64(data[at + 16 * count : at + 24 * count])
        at += 24 * count
        self.kinds = data[at : at + count]
        self._checks = data[at + count :]
        if self.kinds.count(CHUNKED) != lists:
            raise CorruptError("a pack's footer counts other chunk lists than it holds.")

    def digests(self) -> list[bytes]:
        """Return the entries' digests, sorted."""
        return [self._digests[i : i + 32] for i in range(0, len(self._digests), 32)]

    def checks(self) -> list[bytes | None]:
        """Return per entry the digest of its chunk list, None where it holds the object itself."""
        if not self._checks:
            return [None] * self.count
        found: list[bytes | None] = []
        at = 0
        for kind in self.kinds:
            found.append(self._checks[at : at + 32] if kind == CHUNKED else None)
            at += 32 if kind == CHUNKED else 0
        return found

    def locations(self, pack: str) -> Iterator[tuple[bytes, Location]]:
        """Yield each digest with where its entry lies, in the order of the digests."""
        columns = zip(self.digests(), self.offsets, self.lengths, self.sizes, self.kinds, self.checks(), strict=True)
        for digest, offset, length, size, kind, check in columns:
            yield digest, Location(pack, offset, length, size, kind, check)


def trailer_bytes(footer: bytes, footer_digest: bytes) -> bytes:
    """Return the last bytes of a pack."""
    return TRAILER.pack(len(footer), footer_digest, END_MAGIC)


def parse_tail(tail: bytes, pack: str, pack_bytes: int) -> Footer | int:
    """Return the footer from the last bytes of a pack, or how many of the last bytes that takes.

    Raises:
        CorruptError: the trailer or the footer is not what the pack's id says.
    """
    from blake3 import blake3

    if len(tail) < TRAILER.size:
        raise _damaged(pack, "it is too short to be one")
    length, digest, magic = TRAILER.unpack_from(tail, len(tail) - TRAILER.size)
    if magic != END_MAGIC:
        raise _damaged(pack, "its last bytes are not a pack's")
    if digest.hex() != pack:
        raise _damaged(pack, "its trailer names another footer")
    need = length + TRAILER.size
    if need + HEADER.size > pack_bytes:
        raise _damaged(pack, "its trailer tells a footer longer than the file")
    if need > len(tail):
        return int(need)
    footer = tail[len(tail) - need : len(tail) - TRAILER.size]
    if blake3(footer).digest() != digest:
        raise _damaged(pack, "its footer is not what its digest says")
    return Footer(footer)


def _damaged(pack: str, why: str) -> CorruptError:
    return CorruptError(
        f"pack {pack} is damaged: {why}. Run 'hw verify' to see what else is, and bring the file back from a backup.",
        pack=pack,
    )


def _u64(numbers: Sequence[int]) -> bytes:
    column = array("Q", numbers)
    if sys.byteorder == "big":
        column.byteswap()
    return column.tobytes()


def _from_u64(data: bytes) -> array[int]:
    column = array("Q", data)
    if sys.byteorder == "big":
        column.byteswap()
    return column

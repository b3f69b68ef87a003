"""The values and measures that the modules of this package share."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

MIB = 2**20

WHOLE_BYTES = 4 * MIB
"""An object of up to this many bytes is one entry of a pack; a larger one is cut into chunks."""

PACK_BYTES = 64 * MIB
"""A pack is closed when its bodies would pass this."""

BLOCK_BYTES = 4 * MIB
"""How much is read or written at a time where an object is streamed."""

RAW = 0
"""The entry's bytes are the object."""

CHUNKED = 1
"""The entry's bytes are the list of the object's chunks, each an object of its own."""


class PackRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A pack as the ledger knows it. ``seq`` is its place in the ledger's list, 0 when not recorded there yet."""

    id: str
    size: int
    entries: int
    footer_digest: str
    created_at: int
    seq: int = 0


class Location(NamedTuple):
    """Where an object's entry lies.

    ``length`` bytes at ``offset`` of ``pack`` are the entry; ``size`` is the object's own length, which differs where
    the entry is a chunk list, whose digest is then ``check``.
    """

    pack: str
    offset: int
    length: int
    size: int
    kind: int
    check: bytes | None

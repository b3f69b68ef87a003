"""Copying packs from one place to another as they are: each is verified whole before it gets its name over there."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from headwater.durable import crash_point, disk_error
from headwater.errors import CorruptError

from . import spool
from .backend import Backend, PackMissing
from .packs import Footer, parse_tail
from .values import BLOCK_BYTES, PackRecord

if TYPE_CHECKING:
    from .store import ObjectStore

_LONGEST_TAIL = 2**20


def copy_packs(
    source: ObjectStore,
    target: ObjectStore,
    packs: Sequence[PackRecord],
    progress: Callable[[int, int, int], None] | None = None,
) -> int:
    """Bring packs to the target's place; those that are there are passed over. Returns how many bytes were copied.

    Raises:
        CorruptError: a pack is missing in the source, or is not what its id says.
        StorageError: one of the places did not do its part.
    """
    copied = 0
    for number, record in enumerate(packs, 1):
        if target.backend.size(record.id) != record.size:
            _copy(source.backend, target.backend, record)
            copied += record.size
            crash_point("objects.copy.pack")
        if progress is not None:
            progress(number, len(packs), copied)
    return copied


def _copy(source: Backend, target: Backend, record: PackRecord) -> None:
    folder = target.spool()
    try:
        file, path = spool.create(folder)
    except OSError as error:
        raise disk_error(error, folder) from error
    try:
        try:
            _fetch(source, record, file)
        except OSError as error:
            raise disk_error(error, path) from error
        verify_pack_file(file, record)
        target.stage(file, path, record.id, record.size)
        target.publish(path, record.id, record.size)
    finally:
        os.close(file)
        path.unlink(missing_ok=True)


def _fetch(source: Backend, record: PackRecord, file: int) -> None:
    for start in range(0, record.size, BLOCK_BYTES):
        length = min(BLOCK_BYTES, record.size - start)
        try:
            data = source.read(record.id, start, length)
        except PackMissing as error:
            raise CorruptError(
                f"pack {record.id} is missing where it is copied from. Run 'hw verify' there, and bring the file back "
                "from a backup.",
                pack=record.id,
            ) from error
        view = memoryview(data)
        while view:
            view = view[os.write(file, view) :]


def verify_pack_file(file: int, record: PackRecord) -> None:
    """Raise CorruptError unless the open file is the pack of this record, down to each byte of each entry."""
    from blake3 import blake3

    size = os.fstat(file).st_size
    if size != record.size:
        raise _damaged(record, f"it has {size:,} bytes, not {record.size:,}")
    for digest, location in _footer(file, record).locations(record.id):
        body = os.pread(file, location.length, location.offset)
        if blake3(body).digest() != (location.check or digest):
            raise _damaged(record, f"its entry {digest.hex()} is not what its digest says")


def _footer(file: int, record: PackRecord) -> Footer:
    length = min(_LONGEST_TAIL, record.size)
    found = parse_tail(os.pread(file, length, record.size - length), record.id, record.size)
    if isinstance(found, int):
        found = parse_tail(os.pread(file, found, record.size - found), record.id, record.size)
    assert isinstance(found, Footer)  # the whole tail was given
    return found


def _damaged(record: PackRecord, why: str) -> CorruptError:
    return CorruptError(
        f"pack {record.id} was not copied: {why}. Run 'hw verify' where it comes from, then copy again.",
        pack=record.id,
    )


def list_packs(place: ObjectStore) -> dict[str, int]:
    """Return the packs that lie in a store's place, by id, with their sizes."""
    return {pack: size for pack, size, _ in place.backend.packs()}


def place_of(store: ObjectStore) -> str:
    """Return what tells a store's place from any other."""
    return store.backend.identity

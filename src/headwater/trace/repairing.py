"""Repairing packs from a mirror: what is damaged or missing is fetched by digest, verified, and put where it was.

A pack's id commits to every byte of it, so a repaired pack is the same file as the lost one.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from headwater.errors import CorruptError, HeadwaterError, InvalidInputError, NotFoundError
from headwater.objects import ObjectStore, open_store
from headwater.objects.backend import PackMissing
from headwater.objects.reading import matches
from headwater.objects.taking import footer_of
from headwater.objects.values import CHUNKED, Location, PackRecord
from headwater.objects.verifying import check_pack
from headwater.objects.writer import NewEntry, PackWriter
from headwater.project import LocalProject, Project, open_project

if TYPE_CHECKING:
    from headwater.project.remote_bytes import RemoteObjects

Mirror = "ObjectStore | RemoteObjects"


class Repair(msgspec.Struct, frozen=True, kw_only=True):
    """What was repaired: pack ids, how many objects came from the mirror, and what is still damaged and why."""

    packs: tuple[str, ...]
    fetched: int
    left: tuple[str, ...]


def repair(project: Project, place: str, *, credentials: dict[str, str] | None = None) -> Repair:
    """Mend every damaged or missing pack of a project with what another place has.

    ``place`` is a project's folder or URL, a folder of objects, or ``s3://bucket/prefix``. What the mirror gives is
    believed only by its digest. Needs the project's own stores, so it is run where they are opened.

    Raises:
        InvalidInputError: the project was opened by URL, or the place is none.
    """
    if not isinstance(project, LocalProject):
        raise InvalidInputError("a repair writes to the stores themselves: open the project by its folder.")
    store = project.objects
    store.refresh(whole=True)
    mended, fetched, left = [], 0, []
    with open_mirror(place, credentials) as mirror:
        for record in store.wanted():
            if not check_pack(store.backend, record)[0]:
                continue
            try:
                fetched += _mend(store, mirror, record)
            except (HeadwaterError, PackMissing) as error:
                said = error.message if isinstance(error, HeadwaterError) else f"pack {record.id} is missing"
                left.append(f"pack {record.id} is not repaired: {said}")
            else:
                mended.append(record.id)
    store.refresh(whole=True)
    return Repair(packs=tuple(mended), fetched=fetched, left=tuple(left))


@contextlib.contextmanager
def open_mirror(place: str, credentials: dict[str, str] | None = None) -> Iterator[ObjectStore | RemoteObjects]:
    """Open the objects of a place for reading.

    Raises:
        InvalidInputError: nothing of ours is there.
    """
    folder = Path(place)
    if place.startswith(("http://", "https://")) or (folder / "headwater.toml").exists():
        with open_project(place) as project:
            yield project.objects
        return
    if "://" not in place and not (folder / "packs").is_dir():
        raise InvalidInputError(f"'{place}' is neither a project nor a folder of objects: it has no 'packs'.")
    with (
        tempfile.TemporaryDirectory(prefix="headwater-mirror-") as cache,
        open_store(place, cache=Path(cache), credentials=credentials) as store,
    ):
        yield store


def _mend(store: ObjectStore, mirror: ObjectStore | RemoteObjects, record: PackRecord) -> int:
    """Write a pack again as it was; returns how many entries came from the mirror."""
    located = sorted(_locations(store, mirror, record), key=lambda item: item[1].offset)
    writer = PackWriter(store.backend)
    fetched = 0
    try:
        for digest, location in located:
            body = _own(store, digest, location)
            if body is None:
                body = _theirs(mirror, digest, location)
                fetched += 1
            check = location.check if location.kind == CHUNKED else None
            writer.append([NewEntry(digest, body, location.size, location.kind, check)])
        writer.close()
        if writer.id != record.id:
            raise CorruptError(f"what was put together is not pack {record.id}: its list of entries is not known.")
        writer.replace()
    finally:
        writer.abandon()
    return fetched


def _locations(
    store: ObjectStore, mirror: ObjectStore | RemoteObjects, record: PackRecord
) -> Sequence[tuple[bytes, Location]]:
    """Return a pack's entries: from its own footer, from the mirror's copy of it, or as the local index has them."""
    backends = [store.backend, *([mirror.backend] if isinstance(mirror, ObjectStore) else [])]
    for backend in backends:
        with contextlib.suppress(CorruptError, PackMissing):
            return list(footer_of(backend, record.id, record.size).locations(record.id))
    found = store.index.locations(record.id)
    if len(found) != record.entries:
        raise CorruptError("neither its footer, nor the mirror, nor the local index says what it held.")
    return found


def _own(store: ObjectStore, digest: bytes, location: Location) -> bytes | None:
    try:
        body = store.backend.read(location.pack, location.offset, location.length)
    except PackMissing:
        return None
    return body if matches(digest, location, body) else None


def _theirs(mirror: ObjectStore | RemoteObjects, digest: bytes, location: Location) -> bytes:
    name = digest.hex()
    if location.kind != CHUNKED:
        body = mirror.get(name)
    elif isinstance(mirror, ObjectStore):
        body = mirror.reader.entry(digest, mirror.locate(digest))
    else:
        raise NotFoundError(f"the list of chunks of object {name} cannot be fetched by URL: give the mirror's folder.")
    if not matches(digest, location, body):
        raise CorruptError(f"the mirror has other bytes under {name}: it is damaged too, or chunks it otherwise.")
    return body

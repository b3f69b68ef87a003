"""The object store: bytes named by their digest, kept in packs on a folder, a bucket or in memory."""

from __future__ import annotations

import io
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, BinaryIO, Literal, Self, cast

from headwater.errors import ConflictError, CorruptError, GoneError, InvalidInputError, NotFoundError

from .backend import Backend, PackMissing, open_backend
from .batch import Batch
from .cached import FileCache, place_copy, place_link
from .findings import Finding
from .index import Index
from .packs import Footer
from .reading import ObjectFile, Reader
from .taking import footer_of, take_in
from .values import CHUNKED, WHOLE_BYTES, Location, PackRecord
from .writer import PackWriter

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

PacksSince = Callable[[int], Iterable[PackRecord]]


def open_store(
    url: str | Path,
    *,
    cache: Path,
    credentials: dict[str, str] | None = None,
    clock: Callable[[], int] | None = None,
) -> ObjectStore:
    """Return the store at a folder's path, ``s3://bucket/prefix`` (or ``gs://``, ``az://``) or ``memory://name``.

    ``cache`` is a local folder for what can be made anew (the index, materialised files); it belongs to one store.
    ``credentials`` are those of the kind of bucket (``remote.open_bucket``). ``clock`` gives UTC microseconds.

    Raises:
        InvalidInputError: the URL is of another kind.
    """
    backend = open_backend(url, cache=Path(cache), credentials=credentials)
    return ObjectStore(backend, Path(cache), clock or (lambda: time.time_ns() // 1000))


class ObjectStore:
    """Immutable bytes by digest. Safe from threads; several processes may share a store and its cache folder.

    ``packs_since`` is the ledger's list of packs after a sequence number, set by the project; until then the
    packs that the place itself lists count.
    """

    def __init__(self, backend: Backend, cache: Path, clock: Callable[[], int]) -> None:
        self.backend = backend
        self.packs_since: PacksSince = self._listed
        self.use_packs: Callable[[list[str]], set[str]] | None = None
        self.dropped_packs: Callable[[list[str]], set[str]] | None = None
        self.explain_gone: Callable[[str], GoneError | None] | None = None
        self._clock = clock
        self._files = FileCache(cache)
        self._index = Index(cache, backend.identity)
        self._index.rebuild = self._rebuild
        self._reader = Reader(self)
        self._present: set[str] = set()  # packs that this process saw in their place
        self._made: dict[str, tuple[PackRecord, Footer]] = {}  # by this process, not in the ledger's list yet
        self._pool: ThreadPoolExecutor | None = None
        self._process = 0
        self._guard = threading.Lock()

    # Putting

    def put(self, data: bytes) -> str:
        """Put bytes, durable when this returns, and return their digest. For many objects use ``batch``."""
        with self.batch() as batch:
            return batch.put(data)

    def batch(self) -> Batch:
        """Return a context in which many objects are put with few writes."""
        return Batch(self)

    def put_file(self, path: Path) -> tuple[str, int]:
        """Put a file of any size, streamed; return its digest and its number of bytes."""
        with self.batch() as batch:
            return batch.put_file(path)

    def put_stream(self, stream: BinaryIO) -> tuple[str, int]:
        """Put what a stream holds, of any size; return its digest and its number of bytes."""
        with self.batch() as batch:
            return batch.put_stream(stream)

    # Getting

    def get(self, digest: str, start: int = 0, end: int | None = None) -> bytes:
        """Return an object's bytes, verified, or those from ``start`` to ``end``.

        Raises:
            NotFoundError: the store has no such object; GoneError when its bytes were collected.
            CorruptError: the bytes are not what the digest says, or their pack is missing.
        """
        if start < 0 or (end is not None and end < start):
            raise InvalidInputError(f"bytes {start} to {end} are no range: give 0 <= start <= end.")
        return self._reader.read(parse_digest(digest), start, end)

    def get_many(self, digests: Sequence[str]) -> Iterator[tuple[str, bytes]]:
        """Yield each digest once with its bytes, in the order in which the packs hold them, read with few reads.

        Raises:
            NotFoundError: one of them is not in the store; told before the first is yielded.
        """
        from .many import get_many

        return get_many(self, self._reader, [parse_digest(digest) for digest in digests])

    def open(self, digest: str) -> BinaryIO:
        """Return an object as a seekable file, verified chunk by chunk as it is read."""
        key = parse_digest(digest)
        raw = ObjectFile(self._reader, key, self.locate(key))
        return cast(BinaryIO, io.BufferedReader(raw, 2**16))

    def size(self, digest: str) -> int:
        """Return how many bytes an object has."""
        return self.locate(parse_digest(digest)).size

    def has(self, digest: str) -> bool:
        """Tell whether the store holds an object."""
        return not self.missing([digest])

    def missing(self, digests: Sequence[str], *, rely: bool = True) -> list[str]:
        """Return those of the digests that the store does not hold, each once, in the order given.

        What it holds stays for a while, so that a fact may name it; ``rely`` False only looks.
        """
        keys = {parse_digest(digest): digest for digest in digests}
        look = self.relied if rely else self.held
        ours = self._just_put().intersection(keys)
        held = ours | look([key for key in keys if key not in ours])
        if len(held) < len(keys):
            self.refresh()
            held |= look([key for key in keys if key not in held])
        if rely:
            held -= self._lacking_chunks(held - ours)
        return [digest for key, digest in keys.items() if key not in held]

    def require(self, digests: Sequence[str]) -> None:
        """Look again, within the transaction that records a fact, whether objects put before were given up since.

        ``missing`` makes them stay for a while; a process that was paused for longer finds out here.

        Raises:
            ConflictError: some were collected or erased; ``values["digests"]`` names them.
        """
        keys = [parse_digest(digest) for digest in digests]
        found = self._index.find(keys)
        packs = sorted({location.pack for location in found.values()})
        dropped = self.dropped_packs(packs) if self.dropped_packs is not None and packs else set()
        if not dropped and len(found) == len(set(keys)):
            return
        for pack in dropped:
            self.forget_pack(pack)
        self.refresh(whole=True)
        there = self._index.find(keys)  # what is known no longer was forgotten by a collection on this machine
        lost = [key.hex() for key in keys if key not in there]
        if lost:
            raise ConflictError(
                f"{len(lost)} object(s) were collected or erased since they were put, {lost[0]} first. Nothing was "
                "recorded; put the bytes again and run it again.",
                digests=lost[:1000],
            )

    def cached_path(self, digest: str) -> Path:
        """Return a read-only file of an object's bytes in the shared cache, made and verified when first asked for."""
        key = parse_digest(digest)
        location = self.locate(key)
        name = key.hex()
        if self._files.holds(name, location.size):
            return self._files.path(name)
        return self._files.make(name, self._reader.blocks(key, location))

    def cache_many(self, sizes: Mapping[str, int]) -> dict[str, str]:
        """Return the paths of the cached files of many objects (digest to size in bytes), making those that lack."""
        lacking = self._files.lacking(sizes)
        small = [digest for digest in lacking if sizes[digest] <= WHOLE_BYTES]
        if small:
            self._files.make_many(self.get_many(small))
        for digest in lacking:
            if sizes[digest] > WHOLE_BYTES:
                self.cached_path(digest)
        return {digest: str(self._files.path(digest)) for digest in sizes}

    def materialise(self, digest: str, target: Path, *, mode: Literal["copy", "link"] = "link") -> None:
        """Put an object's bytes at a path, replacing what is there, all at once.

        ``link``: a read-only hard link of the cached file (a read-only copy on another file system); ``copy``: a
        file of the user's own.
        """
        if mode == "link":
            place_link(self.cached_path(digest), Path(target))
            return
        key = parse_digest(digest)
        place_copy(Path(target), self._reader.blocks(key, self.locate(key)))

    # The ledger's side

    def pending(self) -> list[PackRecord]:
        """Return the durable packs that the ledger does not list yet, those of other processes of this machine too."""
        waiting = {record.id: record for record, _ in list(self._made.values())}
        for record in self._index.waiting():
            if record.id not in waiting and self._is_present(record.id):
                waiting[record.id] = record
        return list(waiting.values())

    def recorded(self, packs: Sequence[PackRecord]) -> None:
        """Note that the ledger's transaction that lists these packs was committed."""
        for record in packs:
            self._made.pop(record.id, None)
        self._index.mark_recorded([record.id for record in packs])

    def wanted(self) -> list[PackRecord]:
        """Return every pack that should be in its place: those the ledger lists, and those it will."""
        if not self._has_ledger():
            return self._index.records()
        listed = {record.id: record for record in self.packs_since(0)}
        return list((listed | {record.id: record for record in self.pending() if record.id not in listed}).values())

    def verify(self) -> Iterator[Finding]:
        """Read every byte of every pack and yield what is wrong: flipped bytes, short or missing packs, lost chunks."""
        from .verifying import verify

        return verify(self, self._index, self._reader)

    def close(self) -> None:
        """Let go of files and threads. What was put is durable already."""
        with self._guard:
            pool, self._pool = self._pool, None
        if pool is not None and self._process == os.getpid():
            pool.shutdown(wait=True)
        self._index.close()
        self.backend.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # For the other modules of this package

    @property
    def pool(self) -> ThreadPoolExecutor:
        """The threads that hash and fetch, of this process."""
        with self._guard:
            if self._pool is None or self._process != os.getpid():
                from concurrent.futures import ThreadPoolExecutor

                workers = 8 if self.backend.remote else max(2, min(os.cpu_count() or 2, 8))
                self._pool = ThreadPoolExecutor(workers, thread_name_prefix="headwater-objects")
                self._process = os.getpid()
            return self._pool

    def held(self, digests: Sequence[bytes]) -> set[bytes]:
        """Return those of the digests whose entries the index knows in packs that are in their place."""
        return self._in_place(self._index.find(digests))

    def _in_place(self, found: Mapping[bytes, Location]) -> set[bytes]:
        """Return those of the located objects whose packs are in their place."""
        absent = {location.pack for location in found.values() if not self._is_present(location.pack)}
        for pack in absent:
            self._index.forget(pack)
        damaged = self._index.damaged()  # as if not held: put again, they are whole again
        return {key for key, location in found.items() if location.pack not in absent and key not in damaged}

    def _just_put(self) -> set[bytes]:
        """Return what this process put into packs that no fact names yet: those are not freed while they are young."""
        made = [footer for pack, (_, footer) in list(self._made.items()) if self.backend.size(pack) is not None]
        return {each for footer in made for each in footer.digests()} - self._index.damaged().keys()

    def relied(self, digests: Sequence[bytes]) -> set[bytes]:
        """Return those of the digests that are held and stay: the ledger notes that somebody relies on their packs."""
        found = self._index.find(digests)
        if not found or self.use_packs is None:
            return self._in_place(found)
        packs = {location.pack for location in found.values()}
        staying = self.use_packs(sorted(packs))
        if packs - staying:
            waiting = {record.id for record in self._index.waiting()}
            staying |= {pack for pack in packs - staying if pack in waiting and self.backend.size(pack) is not None}
        if packs - staying:
            # Another process may have listed a pack between the two looks: then it no longer waits. Ask once more.
            staying |= self.use_packs(sorted(packs - staying))
        for pack in packs - staying:
            self.forget_pack(pack)
        return self._in_place({digest: location for digest, location in found.items() if location.pack in staying})

    def _lacking_chunks(self, held: set[bytes]) -> set[bytes]:
        """Rely on the chunks of large objects as well, which may lie in other packs; return those that lack some.

        Not asked of what this process put and no fact names yet: it was looked at chunk by chunk when it was put.
        """
        lacking = set()
        for digest, location in self._index.find(list(held)).items():
            if location.kind == CHUNKED and location.pack not in self._made:
                try:
                    chunks = {chunk.digest for chunk in self._reader.chunks(digest, location)}
                except CorruptError:
                    lacking.add(digest)  # put again, it is whole again
                    continue
                if len(self.relied(list(chunks))) < len(chunks):
                    lacking.add(digest)
        return lacking

    def was_dropped(self, pack: str) -> bool:
        """Tell whether a pack of this id was given up once, or is damaged: the id is not to be used again."""
        if pack in self._index.damaged().values():
            return True
        return self.dropped_packs is not None and bool(self.dropped_packs([pack]))

    def found_damaged(self, digest: bytes, location: Location) -> None:
        """Note that an entry's bytes are not what its digest says, so that putting them again keeps them anew."""
        self._index.mark_damaged(digest, location.pack)

    def forget_pack(self, pack: str) -> None:
        """Let go of all that is known here of a pack."""
        self._present.discard(pack)
        self._made.pop(pack, None)
        self._index.forget(pack)

    def own_pending(self) -> list[PackRecord]:
        """Return the packs that this process made and that the ledger does not list yet."""
        return [record for record, _ in list(self._made.values())]

    def drop_cached(self, digest: str) -> None:
        """Remove the materialised file of an object from the shared cache."""
        self._files.path(digest).unlink(missing_ok=True)

    @property
    def index(self) -> Index:
        """Where objects lie, as far as this machine knows."""
        return self._index

    @property
    def reader(self) -> Reader:
        """Verified reads of entries."""
        return self._reader

    def made(self, writers: Sequence[PackWriter]) -> None:
        """Take in packs just published by this process."""
        for writer in writers:
            record = PackRecord(
                id=writer.id,
                size=writer.size,
                entries=len(writer.entries),
                footer_digest=writer.id,
                created_at=self._clock(),
            )
            footer = Footer(writer.footer)
            self._made[record.id] = (record, footer)
            self._present.add(record.id)
            self._index.add(record, footer, recorded=False)

    def locate(self, digest: bytes) -> Location:
        """Return where an object lies.

        Raises:
            NotFoundError: the store has no such object.
            CorruptError: nor has it all of its packs.
        """
        location = self._index.find_one(digest)
        if location is None:
            self.refresh()
            location = self._index.find_one(digest)
        if location is None:
            self.refresh(whole=True)
            location = self._index.find_one(digest)
        if location is None:
            raise self._not_found(digest)
        return location

    def _not_found(self, digest: bytes) -> NotFoundError | CorruptError:
        """Return the error for an object that no pack in its place holds: it was never here, or its pack is lost."""
        lost = [record.id for record in self.wanted() if self.backend.size(record.id) is None]
        if lost:
            return CorruptError(
                f"object {digest.hex()} cannot be read, and {len(lost)} pack(s) that the project needs are missing, "
                f"{lost[0]} first. Bring the files back from a backup; 'hw verify' names them all.",
                digest=digest.hex(),
                packs=lost[:100],
            )
        if self.explain_gone is not None and (gone := self.explain_gone(digest.hex())) is not None:
            return gone
        return NotFoundError(
            f"the store has no object {digest.hex()}. If it was put on another machine, its fact may not be "
            "recorded yet.",
            digest=digest.hex(),
        )

    def locate_many(self, digests: Sequence[bytes]) -> dict[bytes, Location]:
        """Return where each of the objects lies.

        Raises:
            NotFoundError: the store lacks one of them.
        """
        found = self._index.find(digests)
        for digest in digests:
            if digest not in found:
                found[digest] = self.locate(digest)
        return found

    def refresh(self, *, whole: bool = False) -> None:
        """Take in the packs that the ledger's list has and the index has not; ``whole`` asks for all of the list."""
        take_in(self._index, self.backend, self.packs_since, whole=whole, recorded=self._has_ledger())

    def read_entry(self, digest: bytes, location: Location) -> bytes:
        """Return an entry's bytes as the pack has them.

        Raises:
            GoneError: the pack was collected; the ledger does not list it any longer.
            CorruptError: the pack is missing.
        """
        try:
            return self.backend.read(location.pack, location.offset, location.length)
        except PackMissing:
            return self._read_elsewhere(digest, location)

    def _read_elsewhere(self, digest: bytes, location: Location) -> bytes:
        """Answer for a pack that is not there: its bytes may lie in another by now, be collected, or be lost."""
        self._present.discard(location.pack)
        if self._has_ledger():
            self._index.forget(location.pack)
            self.refresh(whole=True)
            again = self._index.find_one(digest)
            if again is not None and again.pack != location.pack:
                return self.backend.read(again.pack, again.offset, again.length)
            if location.pack not in self._made and all(each.id != location.pack for each in self.packs_since(0)):
                if self.explain_gone is not None and (gone := self.explain_gone(digest.hex())) is not None:
                    raise gone
                raise GoneError(
                    f"the bytes of object {digest.hex()} were collected: no pack that the ledger lists holds them.",
                    digest=digest.hex(),
                )
        raise CorruptError(
            f"object {digest.hex()} cannot be read: its pack {location.pack} is missing. "
            "Run 'hw verify' to see what else is, and bring the file back from a backup.",
            digest=digest.hex(),
            pack=location.pack,
        )

    def relocate(self, digest: bytes, location: Location) -> Location | None:
        """Read a pack's footer again and return where it says the entry lies; None when it says the same."""
        record = self._record_of(location.pack)
        if record is None:
            return None
        footer = footer_of(self.backend, record.id, record.size)
        for key, found in footer.locations(location.pack):
            if key == digest and found != location:
                recorded = record.id not in {waiting.id for waiting in self._index.waiting()}
                self._index.forget(record.id)
                self._index.add(record, footer, recorded=recorded)
                return found
        return None

    def _record_of(self, pack: str) -> PackRecord | None:
        size = self.backend.size(pack)
        if size is None:
            return None
        known = self._index.record(pack)
        return known or PackRecord(id=pack, size=size, entries=0, footer_digest=pack, created_at=self._clock())

    def _is_present(self, pack: str) -> bool:
        if pack in self._present:
            return True
        record = self._index.record(pack)
        if record is None or self.backend.size(pack) != record.size:  # missing, or cut short
            return False
        self._present.add(pack)
        return True

    def _has_ledger(self) -> bool:
        return self.packs_since != self._listed

    def _listed(self, seq: int) -> Iterator[PackRecord]:
        """The packs that the place itself has, where no ledger lists them."""
        for pack, size, kept_at in self.backend.packs():
            yield PackRecord(id=pack, size=size, entries=0, footer_digest=pack, created_at=kept_at)

    def _rebuild(self) -> None:
        """Fill an empty index: from the ledger's list, this process's packs, and what the place has besides."""
        self.refresh(whole=True)
        for record, footer in list(self._made.values()):
            self._index.add(record, footer, recorded=False)
        if self._has_ledger():
            take_in(self._index, self.backend, self._listed, whole=True, recorded=False)


def parse_digest(text: str) -> bytes:
    """Return a digest's 32 bytes.

    Raises:
        InvalidInputError: the text is not 64 hexadecimal characters.
    """
    try:
        digest = bytes.fromhex(text)
    except ValueError:
        digest = b""
    if len(digest) != 32 or len(text) != 64:
        raise InvalidInputError(f"'{text}' is no digest: a digest has 64 characters of 0-9 and a-f.", text=text)
    return digest

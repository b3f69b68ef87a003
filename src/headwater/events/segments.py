"""The tail of a folder project: each writer appends to segments of its own, so none waits for another.

``<stream>/<writer>-<n>.seg`` is locked (flock) by its writer for as long as it may grow. A segment that nobody
holds is finished, because its writer moved on to the next or died: anyone may seal it, holding the lock meanwhile.
Who seals all and finds segments held touches ``.wanted``: their writers move on when they write or seal next, or look
(``let_go``).
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from headwater.durable import crash_point, disk_error, make_directory, sync_directory, sync_file
from headwater.errors import ConflictError, CorruptError, StorageError
from headwater.ids import new_id

from .frames import PREAMBLE, ROWS, Scan, pack, preamble, scan
from .schema import Schema, from_document
from .tail import CLAIM_BYTES, Claim, Part, Seal, Snapshot, Span, Tail, list_seals

if TYPE_CHECKING:
    from headwater.ledger import Ledger, Tx, WriteTx
    from headwater.objects.findings import Finding

ROTATE_BYTES = 16 << 20
MOST_HELD = 200  # open files at once
WANTED = ".wanted"
_STALE_TEMPORARY_S = 3600.0


class _Segment:
    """A segment this process appends to."""

    def __init__(self, folder: Path, name: str, schema: Schema) -> None:
        self.path = folder / name
        self.schema = schema
        temporary = folder / f".{name}.tmp"
        self.descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o644)
        try:
            # The lock comes before the name, so that nobody finds the segment unheld.
            fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            head = preamble(schema.document())
            _write_all(self.descriptor, head)
            self.size = len(head)
            crash_point("events.segment.rename")
            os.rename(temporary, self.path)
            crash_point("events.segment.renamed")
            sync_directory(folder, "events.segment")
            self.begun_ns = os.fstat(self.descriptor).st_mtime_ns
        except BaseException:
            os.close(self.descriptor)
            raise

    def append(self, data: bytes) -> None:
        try:
            crash_point("events.append.write")
            _write_all(self.descriptor, data)
            crash_point("events.append.written")
            sync_file(self.descriptor, "events.append")
        except OSError:
            with suppress(OSError):
                os.ftruncate(self.descriptor, self.size)
            raise
        self.size += len(data)

    def close(self) -> None:
        os.close(self.descriptor)


class FolderTail(Tail):
    """Segments under one folder, of this writer and of others."""

    local = True

    def __init__(self, root: Path, ledger: Ledger, clock: Callable[[], int], rotate_bytes: int = ROTATE_BYTES) -> None:
        self.root = root
        self._ledger = ledger
        self._clock = clock
        self._rotate_bytes = rotate_bytes
        self.begin_again()

    def begin_again(self) -> None:
        for segment in getattr(self, "_open", {}).values():
            segment.close()  # closing a copied descriptor leaves the parent's lock in force
        self._writer = new_id(self._clock())
        self._count = 0
        self._open: dict[str, _Segment] = {}
        self._lock = threading.Lock()

    def write(self, batches: Sequence[Part]) -> list[BaseException | None]:
        with self._lock:
            return [self._append(batch) for batch in batches]

    def _append(self, batch: Part) -> BaseException | None:
        stream = batch.schema.name
        segment = self._open.get(stream)
        if segment is not None and segment.begun_ns <= self._wanted_ns():
            self._finish(stream)
            segment = None
        try:
            if segment is None:
                segment = self._open[stream] = self._begin(batch.schema)
            segment.append(pack(batch.payload))
        except OSError as error:
            # After a failed sync the kernel may have dropped the dirty pages: never append here again.
            self._finish(stream)
            return disk_error(error, self.root / stream)
        if segment.size >= self._rotate_bytes:
            self._finish(stream)
            if self.on_full is not None:
                self.on_full()
        return None

    def _begin(self, schema: Schema) -> _Segment:
        folder = self.root / schema.name
        make_directory(folder, "events.folder")
        self._count += 1
        return _Segment(folder, f"{self._writer}-{self._count}.seg", schema)

    def _finish(self, stream: str) -> None:
        segment = self._open.pop(stream, None)
        if segment is not None:
            segment.close()

    def _finish_all(self, since_ns: int | None = None) -> None:
        """Let go of the segments, or only of those begun by a time."""
        with self._lock:
            for stream, segment in list(self._open.items()):
                if since_ns is None or segment.begun_ns <= since_ns:
                    self._finish(stream)

    def let_go(self) -> None:
        self._finish_all(self._wanted_ns())

    def _wanted_ns(self) -> int:
        """Return when somebody last wanted what writers hold; 0 for never."""
        try:
            return os.stat(self.root / WANTED).st_mtime_ns
        except FileNotFoundError:
            return 0

    def _want(self) -> None:
        # The time is the file system's own, as that of the segments is: it does not matter that it is coarse, since
        # a segment begun at the same moment counts as wanted.
        (self.root / WANTED).touch()

    def snapshot(self, streams: Sequence[str], span: Span) -> Snapshot:
        # Files first, then the ledger. A segment sealed in between is in both and left out below; one
        # made in between is either still open (its rows came after this moment) or listed as sealed.
        files = [opened for stream in streams for path in self._paths(stream) if (opened := _OpenFile.open(path))]
        try:
            with self._ledger.read() as tx:
                seals = list_seals(tx, streams, span)
                sealed = {f.name for f in files if _is_sealed(tx, f.name)}
        except BaseException:
            for file in files:
                file.close()
            raise
        for file in files:
            if file.name in sealed:
                file.close()
        return Snapshot(seals=seals, parts=_parts([f for f in files if f.name not in sealed], span))

    @contextmanager
    def claim(self, *, all: bool) -> Iterator[list[Claim]]:
        if all:
            self._finish_all()
        else:
            self.let_go()
        held: list[_OpenFile] = []
        busy: list[Path] = []
        try:
            claims = [claim for stream in sorted(self.streams()) for claim in self._claim_stream(stream, held, busy)]
            if all and busy:
                self._want()
            yield claims
        finally:
            for file in held:
                file.close()

    def _claim_stream(self, stream: str, held: list[_OpenFile], busy: list[Path]) -> list[Claim]:
        self._remove_stale_temporaries(stream)
        claims: list[Claim] = []
        filling: dict[str, SegmentClaim] = {}
        for path in self._paths(stream):
            if len(held) >= MOST_HELD:
                break
            file = _OpenFile.open(path)
            if file is None:
                continue
            locked = file.lock()
            if not locked or not self._worth_sealing(file):
                file.close()
                busy += [] if locked else [path]
                continue
            held.append(file)
            found = file.scan()
            document = _document(found)
            if document not in filling or filling[document].bytes >= CLAIM_BYTES:
                filling[document] = SegmentClaim(from_document(stream, document))
                claims.append(filling[document])
            filling[document].add(file, found)
        return claims

    def _worth_sealing(self, file: _OpenFile) -> bool:
        """Tell whether a held segment has rows to seal; one that is sealed or empty is deleted instead."""
        with self._ledger.read() as tx:
            sealed = _is_sealed(tx, file.name)
        found = file.scan()
        if found.damaged:
            return False  # left for verify to name and a person to look at
        if sealed or not any(frame.magic == ROWS for frame in found.frames):
            file.path.unlink(missing_ok=True)
            return False
        return True

    def _remove_stale_temporaries(self, stream: str) -> None:
        for path in (self.root / stream).glob(".*.tmp"):
            with suppress(FileNotFoundError):
                if time.time() - path.stat().st_mtime > _STALE_TEMPORARY_S:
                    path.unlink()

    def _paths(self, stream: str) -> list[Path]:
        return sorted((self.root / stream).glob("*.seg"))

    def streams(self) -> set[str]:
        if not self.root.is_dir():
            return set()
        return {entry.name for entry in os.scandir(self.root) if entry.is_dir() and not entry.name.startswith(".")}

    def waiting(self) -> tuple[int, int]:
        count = size = 0
        for stream in self.streams():
            for path in self._paths(stream):
                file = _OpenFile.open(path)
                if file is not None:
                    if file.lock():
                        count, size = count + 1, size + file.size
                    file.close()
        return count, size

    def verify(self) -> Iterator[Finding]:
        from headwater.objects.findings import Finding

        for stream in sorted(self.streams()):
            for path in self._paths(stream):
                file = _OpenFile.open(path)
                if file is None:
                    continue
                live = not file.lock()
                found = file.scan()
                torn = file.size - found.end
                file.close()
                for offset in found.damaged:
                    yield Finding(
                        kind="events.frame_damaged",
                        what=file.name,
                        message=f"the frame at byte {offset:,} of '{path}' is not what was written. "
                        "Restore the file from a backup; the rows of its other frames can be read.",
                        severity="error",
                    )
                if torn and not live and not found.damaged:
                    yield Finding(
                        kind="events.torn_tail",
                        what=file.name,
                        message=f"the last {torn:,} bytes of '{path}' were being written when their writer died; "
                        "they were never acknowledged and are left out.",
                        severity="note",
                    )

    def close(self) -> None:
        self._finish_all()


class SegmentClaim(Claim):
    """Finished segments of one stream with the same columns, held by their locks."""

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self.rows = 0
        self.bytes = 0
        self.first_at = 2**63 - 1
        self.last_at = -(2**63)
        self._files: list[_OpenFile] = []

    def add(self, file: _OpenFile, found: Scan) -> None:
        """Take in one more segment."""
        self._files.append(file)
        self.bytes += file.size
        for frame in found.frames:
            if frame.magic == ROWS:
                self.rows += frame.payload.rows
                self.first_at = min(self.first_at, frame.payload.first_at)
                self.last_at = max(self.last_at, frame.payload.last_at)

    def payloads(self) -> Iterator[bytes]:
        for file in self._files:
            for frame in file.scan().frames:
                if frame.magic == ROWS:
                    yield frame.payload.data

    def drop(self, tx: WriteTx, seal: Seal) -> None:
        for file in self._files:
            if _is_sealed(tx, file.name):
                raise ConflictError(f"segment '{file.name}' was sealed by another process.", segment=file.name)
            tx.insert("sealed_segments", segment=file.name, seal=seal.id, sealed_at=seal.sealed_at)

    def dropped(self) -> None:
        for file in self._files:
            crash_point("events.segment.delete")
            file.path.unlink(missing_ok=True)
            crash_point("events.segment.deleted")


class _OpenFile:
    """A segment opened for reading, as long as it was at that moment."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self.name = f"{path.parent.name}/{path.stem}"
        self._descriptor = descriptor
        self.size = os.fstat(descriptor).st_size

    @classmethod
    def open(cls, path: Path) -> _OpenFile | None:
        """Return the open segment, or None when it was deleted: the ledger then lists it as sealed."""
        try:
            return cls(path, os.open(path, os.O_RDONLY | os.O_CLOEXEC))
        except FileNotFoundError:
            return None

    def lock(self) -> bool:
        """Hold the segment unless its writer or another sealer does; its length is final then."""
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.size = os.fstat(self._descriptor).st_size
            return os.stat(self.path).st_ino == os.fstat(self._descriptor).st_ino
        except (BlockingIOError, FileNotFoundError):
            return False

    def scan(self) -> Scan:
        blocks: list[bytes] = []
        offset = 0
        while offset < self.size:
            block = os.pread(self._descriptor, self.size - offset, offset)
            if not block:
                break
            blocks.append(block)
            offset += len(block)
        return scan(b"".join(blocks))

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __del__(self) -> None:
        self.close()  # a snapshot whose rows nobody read


def _parts(files: list[_OpenFile], span: Span) -> Iterator[Part]:
    waiting = list(files)
    try:
        while waiting:
            file = waiting[0]
            found = file.scan()
            if found.damaged:
                raise CorruptError(
                    f"segment '{file.path}' is damaged at byte {found.damaged[0]:,}: rows that were acknowledged "
                    "cannot be read. Run 'hw verify' to see all of them, and restore the file from a backup.",
                    segment=file.name,
                    offset=found.damaged[0],
                )
            yield from _row_parts(file, found, span)
            waiting.pop(0).close()
    finally:
        for file in waiting:
            file.close()


def _row_parts(file: _OpenFile, found: Scan, span: Span) -> Iterator[Part]:
    rows = [f for f in found.frames if f.magic == ROWS and span.meets(f.payload.first_at, f.payload.last_at)]
    if rows:
        schema = from_document(file.path.parent.name, _document(found))
        for frame in rows:
            yield Part(schema=schema, payload=frame.payload)


def _document(found: Scan) -> str:
    first = found.frames[0]
    if first.magic != PREAMBLE:
        raise CorruptError("a segment begins with rows instead of its columns. Run 'hw verify'.")
    return first.payload.data.decode()


def _is_sealed(tx: Tx, segment: str) -> bool:
    return tx.value("SELECT 1 FROM sealed_segments WHERE segment = ?", (segment,)) is not None


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        written = os.write(descriptor, view)
        if written <= 0:
            raise StorageError("the disk took none of the bytes of an event frame.")
        view = view[written:]

"""Moving versions between projects: only what the other side lacks travels, in batches, several at a time.

A manifest is walked from its root: a range that the other side has is not opened, and of the ranges that differ only
those files are sent whose bytes are not there. Files go before the range that names them, ranges before the range
above, the version's record last; each batch is durable over there when it ends, so a transfer that was cut short goes
on where it stood. Both sides may be folders, buckets or servers: the two stores are only ever asked for objects.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice
from types import TracebackType
from typing import TYPE_CHECKING, Self

import msgspec

from ..durable import crash_point
from ..errors import CorruptError, InvalidInputError, NotFoundError
from ..project import Project
from .origins import Departed, Origin, get_origin, list_departed, list_history, list_standing, unknown_versions
from .ranges import Reference, Row, decode_range
from .receiving import receive
from .values import Version

if TYPE_CHECKING:
    from ..objects import ObjectStore

Progress = Callable[[int, int, int], None]
"""Called with objects sent, 0 (how many there will be is not known), bytes sent."""
BATCH_BYTES = 8 * 2**20
BATCH_OBJECTS = 1000
STREAMED_BYTES = 4 * 2**20
AT_ONCE = 4
VERSIONS_AT_ONCE = 100
_ASKED = 5000
_RANGES = 16
_MOST_ROUNDS = 1000


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """What travelled: versions recorded over there, objects and their bytes; what was there already is not counted."""

    versions: tuple[Version, ...] = ()
    objects: int = 0
    bytes: int = 0


def history_of(project: Project, ref: str) -> list[Version]:
    """Return the version that a ref names, and all that it descends from, parents before children."""
    found: list[Version] = []
    while page := list_history(project, ref, found[-1].number if found else 0):
        found += page
    return found


def send_versions(
    source: Project, target: Project, versions: Sequence[Version], *, description: str = "",
    progress: Progress | None = None,
) -> Sent:  # fmt: skip
    """Bring versions of one dataset, parents first, to another project: their bytes, then the facts.

    Raises:
        InvalidInputError: both are the same project.
        CorruptError: an object arrived as something else, or the target found a manifest that does not hold what its
            record says.
        NotFoundError: the source lacks bytes of a version.
    """
    if source.id == target.id:
        raise InvalidInputError(
            f"'{source.name}' and '{target.name}' are the same project ({source.id}): there is nothing to move. "
            "A copy made by 'hw project copy' has the id of its original."
        )
    unknown = set[str]()
    ids = [version.id for version in versions]
    for start in range(0, len(ids), _ASKED):
        unknown.update(unknown_versions(target, ids[start : start + _ASKED]))
    new = [version for version in versions if version.id in unknown]
    origin = get_origin(source)
    recorded: list[Version] = []
    with _Carrier(source.objects, target.objects, progress) as carrier:
        for start in range(0, len(new), VERSIONS_AT_ONCE):
            part = new[start : start + VERSIONS_AT_ONCE]
            gone = list_departed(source, [version.id for version in part])
            carrier.send_all(part, {each.version for each in gone})
            recorded += _record(source, target, part, origin, carrier, gone, description)
    return Sent(versions=tuple(recorded), objects=carrier.objects, bytes=carrier.bytes)


def send_objects(source: Project, target: Project, digests: Sequence[str], *, progress: Progress | None = None) -> Sent:
    """Bring objects to another project's store, those that it lacks; who names them there is the caller's business."""
    with _Carrier(source.objects, target.objects, progress) as carrier:
        carrier.send_named(target.objects.missing(list(digests)))
    return Sent(objects=carrier.objects, bytes=carrier.bytes)


def _record(
    source: Project,
    target: Project,
    part: Sequence[Version],
    origin: Origin,
    carrier: _Carrier,
    gone: Sequence[Departed],
    description: str,
) -> tuple[Version, ...]:
    """Have the target record versions; what it finds missing all the same is sent, and it is asked again."""
    standing = list_standing(source, [version.id for version in part])
    records = [version.record for version in part]
    before: list[str] = []
    for _ in range(_MOST_ROUNDS):
        try:
            return receive(target, part[0].dataset, records, origin, standing, gone, description).versions
        except InvalidInputError as error:
            absent = list(error.values.get("missing", ()))
            if not absent or absent == before:
                raise
            carrier.send_named(absent)
            before = absent
    raise CorruptError(f"'{target.name}' goes on to miss objects of '{part[0].dataset}'. Run 'hw verify' there.")


class _Carrier:
    """Sends objects from one store to another, each at most once, a few batches at a time."""

    def __init__(self, source: ObjectStore, target: ObjectStore, progress: Progress | None) -> None:
        self.objects = 0
        self.bytes = 0
        self._source = source
        self._target = target
        self._progress = progress
        self._asked: set[str] = set()
        self._waiting: list[str] = []
        self._waiting_bytes = 0
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="headwater-sending")
        self._running: set[Future[int]] = set()

    def send_all(self, versions: Sequence[Version], bare: Collection[str] = ()) -> None:
        """Send what the target lacks of these versions (of the ``bare`` the record); durable there on return."""
        for version in versions:
            if version.id not in bare:
                self._send_manifest(version)
        self._send_ranges([version.record for version in versions])

    def send_named(self, digests: Sequence[str]) -> None:
        """Send these objects, whatever the target said of them before."""
        for digest in digests:
            self._put(digest, self._source.size(digest))
        self.flush()

    def _send_manifest(self, version: Version) -> None:
        """Send the files, then the ranges from the leaves up."""
        levels: list[list[str]] = []
        names = self._absent([version.root])
        while names:
            levels.append(names)
            below: list[str] = []
            for level, items in self._decoded(names, version):
                below += [item.digest for item in items if level and isinstance(item, Reference)]
                if not level:
                    self._send_files([item for item in items if isinstance(item, Row)])
            names = self._absent(below)
        self.flush()
        for names in reversed(levels):
            self._send_ranges(names)

    def _decoded(self, names: Sequence[str], version: Version) -> Iterator[tuple[int, list[Row] | list[Reference]]]:
        for start in range(0, len(names), _RANGES):
            part = names[start : start + _RANGES]
            try:
                found = dict(self._source.get_many(part))
            except NotFoundError as error:
                raise NotFoundError(
                    f"{version.ref} cannot be sent: bytes of its manifest are gone where it comes from "
                    f"({error.message})",
                    version=version.id,
                ) from error
            for name in part:
                yield decode_range(found.pop(name), name)

    def _send_files(self, rows: Iterable[Row]) -> None:
        sizes = {row.digest: row.size for row in rows}
        for digest in self._absent(sizes):
            self._put(digest, sizes[digest])

    def _send_ranges(self, names: Sequence[str]) -> None:
        for name in self._target.missing(list(names)) if names else ():
            self._put(name, 0)
        self.flush()

    def _absent(self, digests: Iterable[str]) -> list[str]:
        """Return those that the target lacks and that this transfer has not asked for yet."""
        new = (each for each in dict.fromkeys(digests) if each not in self._asked)
        absent: list[str] = []
        while part := list(islice(new, _ASKED)):
            self._asked.update(part)
            absent += self._target.missing(part)
        return absent

    def _put(self, digest: str, size: int) -> None:
        if size > STREAMED_BYTES:
            self._start(lambda: self._stream(digest))
            return
        self._waiting.append(digest)
        self._waiting_bytes += size
        if self._waiting_bytes >= BATCH_BYTES or len(self._waiting) >= BATCH_OBJECTS:
            self._start_batch()

    def _start_batch(self) -> None:
        part, self._waiting, self._waiting_bytes = self._waiting, [], 0
        if part:
            self._start(lambda: self._batch(part))

    def _start(self, act: Callable[[], int]) -> None:
        while len(self._running) >= 2 * AT_ONCE:
            self._take(FIRST_COMPLETED)
        self._running.add(self._pool.submit(act))

    def _take(self, when: str = "ALL_COMPLETED") -> None:
        done, self._running = wait(self._running, return_when=when)
        for each in done:
            self.bytes += each.result()
        if self._progress is not None:
            self._progress(self.objects, 0, self.bytes)

    def flush(self) -> None:
        """Wait until all that was put is durable over there."""
        self._start_batch()
        self._take()

    def _batch(self, digests: Sequence[str]) -> int:
        size = 0
        with self._target.batch() as batch:
            for digest, data in self._source.get_many(digests):
                _require(digest, batch.put(data))
                size += len(data)
        self.objects += len(digests)
        crash_point("lake.send.batch")
        return size

    def _stream(self, digest: str) -> int:
        with self._source.open(digest) as stream:
            arrived, size = self._target.put_stream(stream)
        _require(digest, arrived)
        self.objects += 1
        crash_point("lake.send.streamed")
        return size

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(wait=True, cancel_futures=kind is not None)


def _require(sent: str, arrived: str) -> None:
    if sent != arrived:
        raise CorruptError(
            f"object {sent} arrived as {arrived}: the bytes changed on the way, or the source is damaged. "
            "Run 'hw verify' on both sides, then move it again.",
            digest=sent,
        )

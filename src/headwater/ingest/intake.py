"""What a source writes into: bytes go to the object store as they come, and to the lake when the pull has ended."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from ..errors import InvalidInputError, NotFoundError
from ..lake import Entry, iter_files
from ..lake.adding import parquet_rows
from ..lake.media import PARQUET, media_of
from ..lake.names import path_bytes
from ..lake.tables import ROW_GROUP, write_parquet
from ..project import Project
from .secrets import scrubbed

if TYPE_CHECKING:
    from ..objects.batch import Batch

Progress = Callable[[int, int, int], None]
"""Called with files done, files in all (0: not known), bytes done."""
Extracted = tuple[dict[str, list[Any]], dict[str, Any]]
"""The columns of a table, and what the proof says of it."""
EXTRACT_ENDINGS = (".pages.parquet", ".text.parquet")
"""What a table made of a file ends in, after the file's own path."""
_BLOCK = 1 << 20


class Extract(NamedTuple):
    """Makes a table of each file that it covers (by path and media type), kept under the file's path and ``ending``."""

    ending: str
    covers: Callable[[str, str], bool]
    make: Callable[[Path, str], Extracted]


class Intake:
    """The changes of one pull. Paths are those of the dataset below the source's folder (its ``under``).

    ``folder`` is a place on the disk for downloads, gone after the pull. ``parameters`` are those of this pull.
    """

    def __init__(
        self,
        project: Project,
        batch: Batch,
        *,
        base: str | None,
        under: str,
        folder: Path,
        source: str = "",
        parameters: Mapping[str, str] | None = None,
        check: Callable[[], None] | None = None,
        progress: Progress | None = None,
        extract: Extract | None = None,
    ) -> None:
        self.project = project
        self.folder = folder
        self.source = source
        self.parameters = dict(parameters or {})
        self.put: dict[str, Entry] = {}
        self.removed: set[str] = set()
        self.kept: set[str] = set()
        self.proofs: dict[str, dict[str, Any]] = {}
        self._batch = batch
        self._base = base
        self._prefix = f"{under.strip('/')}/" if under.strip("/") else ""
        self._check = check
        self._progress = progress
        self._extract = extract
        self._current: dict[str, Entry] | None = None
        self._expected = 0
        self._bytes = 0

    @property
    def current(self) -> Mapping[str, Entry]:
        """The files that are there already, by path: those of the version that this pull goes on from."""
        if self._current is None:
            files = iter_files(self.project, self._base, self._prefix) if self._base else ()
            cut = len(self._prefix)
            self._current = {entry.path[cut:]: entry for entry in files}
        return self._current

    def now(self) -> int:
        """Return the project's time, UTC microseconds."""
        return self.project.clock()

    def extract_with(self, extract: Extract) -> None:
        """Make a table of each file that is put from now on, as far as ``extract`` has something to make of it."""
        self._extract = extract

    def expect(self, files: int) -> None:
        """Say how many files there will be, for whoever watches the progress."""
        self._expected = files
        self._tell()

    def put_file(
        self, path: str, stream: BinaryIO | bytes | Path, *, media: str | None = None, proof: Mapping[str, Any]
    ) -> Entry:
        """Put a file's bytes, streamed, and return its entry. ``proof``: url, etag, last_modified, fetched_at, ...

        The ending ``.parquet`` makes it a table, whose rows are counted. Putting a path again replaces it.

        Raises:
            InvalidInputError: the path cannot be one, or a Parquet file is none.
            ConflictError: this pull lost its lease.
        """
        self._require_alive()
        path_bytes(self._prefix + path)
        media = media_of(path) if media is None else media
        table = media == PARQUET or path.endswith(".parquet")
        spooled = None
        if not isinstance(stream, Path) and (table or self._extracts(path, media)):
            stream = spooled = self._spooled(stream)
        if isinstance(stream, Path):
            digest, size = self._batch.put_file(stream)
            rows = parquet_rows(stream) if table else None
        else:
            digest, size = self._batch.put_stream(io.BytesIO(stream) if isinstance(stream, bytes) else stream)
            rows = None
        entry = Entry(path=self._prefix + path, digest=digest, size=size, media=PARQUET if table else media, rows=rows)
        self._take(path, entry, proof)
        if isinstance(stream, Path) and self._extracts(path, media):
            self._put_extract(path, stream, entry)
        if spooled is not None:
            spooled.unlink()
        return entry

    def put_table(self, path: str, table: Any, *, proof: Mapping[str, Any]) -> Entry:
        """Put a table as Parquet (``.parquet`` is added to the path where it lacks it) and return its entry.

        ``table`` is a frame of pandas, polars or pyarrow, an Arrow stream, or a mapping of columns. A
        RecordBatchReader is written as it is read: a table of any size. The same rows give the same bytes.

        Raises:
            InvalidInputError: it is no table.
            ConflictError: this pull lost its lease.
        """
        self._require_alive()
        path = path if path.endswith(".parquet") else f"{path}.parquet"
        with tempfile.NamedTemporaryFile(dir=self.folder, suffix=".parquet") as file:
            place = Path(file.name)
            if hasattr(table, "read_next_batch"):
                _write_reader(table, place)
            else:
                write_parquet(table, place)
            path_bytes(self._prefix + path)
            digest, size = self._batch.put_file(place)
            entry = Entry(path=self._prefix + path, digest=digest, size=size, media=PARQUET, rows=parquet_rows(place))
        self._take(path, entry, proof)
        return entry

    def keep(self, path: str) -> None:
        """Say that a file is still there as it was; so is what was extracted from it.

        Raises:
            NotFoundError: the version that this pull goes on from has no such file.
        """
        if path not in self.current:
            raise NotFoundError(f"'{path}' cannot be kept: it is not among the files that are there.", path=path)
        self.kept.add(path)
        for ending in EXTRACT_ENDINGS:
            if path + ending in self.current:
                self.kept.add(path + ending)
        entry = self.current[path]
        if self._extracts(path, entry.media) and self._extract and path + self._extract.ending not in self.current:
            # 'extract' was declared after this file came: it is read from the store.
            self._put_extract(path, self.project.objects.cached_path(entry.digest), entry)

    def remove(self, path: str) -> None:
        """Remove a file, and what was extracted from it; raises NotFoundError where there is none."""
        if path not in self.current:
            raise NotFoundError(f"'{path}' cannot be removed: it is not among the files that are there.", path=path)
        self.removed.add(path)
        self.put.pop(path, None)
        for extracted in (path + ending for ending in EXTRACT_ENDINGS):
            if extracted in self.current and extracted not in self.put and extracted not in self.kept:
                self.removed.add(extracted)

    def open_current(self, path: str) -> BinaryIO:
        """Return a file of the version that this pull goes on from, open for reading; NotFoundError without one."""
        if path not in self.current:
            raise NotFoundError(f"there is no '{path}' to read from the last version.", path=path)
        return self.project.objects.open(self.current[path].digest)

    def keep_object(self, data: bytes) -> str:
        """Put bytes that are no file of the dataset (the proof of a pull) and return their digest."""
        return self._batch.put(data)

    def changes(self, mirror: bool) -> tuple[list[Entry], list[str]]:
        """Return what differs from the version that this pull goes on from: entries to put, paths to remove."""
        put = [entry for path, entry in self.put.items() if self.current.get(path) != entry]
        gone = set(self.removed)
        if mirror:
            gone |= set(self.current) - self.put.keys() - self.kept
        return put, sorted(self._prefix + path for path in gone)

    def _take(self, path: str, entry: Entry, proof: Mapping[str, Any]) -> None:
        self.put[path] = entry
        self.removed.discard(path)
        self.proofs[path] = {"path": entry.path, "digest": entry.digest, "size": entry.size, **scrubbed(dict(proof))}
        self._bytes += entry.size
        self._tell()

    def _extracts(self, path: str, media: str) -> bool:
        return self._extract is not None and self._extract.covers(path, media)

    def _put_extract(self, path: str, file: Path, entry: Entry) -> None:
        assert self._extract is not None  # _extracts said so
        columns, note = self._extract.make(file, path)
        proof = {"extracted_from": entry.path, "of": entry.digest, **note}
        self.put_table(path + self._extract.ending, columns, proof=proof)

    def _spooled(self, stream: BinaryIO | bytes) -> Path:
        with tempfile.NamedTemporaryFile(dir=self.folder, delete=False) as file:
            for block in _blocks(stream):
                file.write(block)
        return Path(file.name)

    def _require_alive(self) -> None:
        if self._check is not None:
            self._check()

    def _tell(self) -> None:
        if self._progress is not None:
            self._progress(len(self.put), max(self._expected, len(self.put)), self._bytes)


def _blocks(stream: BinaryIO | bytes) -> Iterator[bytes]:
    if isinstance(stream, bytes):
        yield stream
        return
    while block := stream.read(_BLOCK):
        yield block


def _write_reader(reader: Any, file: Path) -> None:
    """Write an Arrow RecordBatchReader as it is read, one group of rows in memory at a time."""
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetWriter(file, reader.schema, compression="zstd") as writer:
            waiting: list[Any] = []
            for batch in reader:
                waiting.append(batch)
                if sum(each.num_rows for each in waiting) >= ROW_GROUP:
                    writer.write_table(pyarrow.Table.from_batches(waiting))
                    waiting = []
            if waiting:
                writer.write_table(pyarrow.Table.from_batches(waiting))
    except pyarrow.ArrowNotImplementedError as error:
        raise InvalidInputError(f"this table cannot be written as Parquet: {error}") from error

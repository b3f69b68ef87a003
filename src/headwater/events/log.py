"""The event log of a project: append, seal, query, verify."""

from __future__ import annotations

import logging
import os
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headwater.errors import NotFoundError

from .commit import Committer
from .query import Reader, Result
from .schema import LATER, STREAMS, ColumnType, Schema, declared, encode_rows, from_document
from .sealing import Sealer
from .segments import FolderTail
from .table import TableTail
from .tail import Part, Seal, Span, Tail
from .verification import verify_seals

if TYPE_CHECKING:
    from headwater.ledger import Ledger, WriteTx
    from headwater.objects import ObjectStore
    from headwater.objects.findings import Finding

SEAL_AT_OPEN_SEGMENTS = 32
SEAL_AT_OPEN_BYTES = 8 << 20

_logger = logging.getLogger("headwater.events")
_logs: weakref.WeakSet[EventLog] = weakref.WeakSet()


class EventLog:
    """Append-only streams: durable when appended, in Parquet when sealed, one relation to whoever asks.

    Thread-safe, and safe to go on using in the child of a fork, which becomes a writer of its own.
    """

    def __init__(
        self, tail: Tail, folder: Path | None, ledger: Ledger, objects: ObjectStore, clock: Callable[[], int]
    ) -> None:
        self._tail = tail
        self._folder = folder
        self._ledger = ledger
        self._objects = objects
        self._clock = clock
        self._begin()
        _logs.add(self)

    def _begin(self) -> None:
        self._committer = Committer(self._tail)
        self._sealer = Sealer(self._tail, self._ledger, self._objects, self._work)
        self._reader = Reader(self._tail, self._objects, self._work)
        self._tail.on_full = self._seal_soon
        self._sealing: threading.Thread | None = None

    def begin_again(self) -> None:
        """Start as a new writer in the child of a fork."""
        self._tail.begin_again()
        self._reader.forget()
        self._begin()

    def append(self, stream: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Append rows; durable on return, together with what other threads append meanwhile.

        Raises:
            NotFoundError: nobody declared the stream.
            InvalidInputError: a row does not fit the stream's columns; none is appended.
            StorageError: the disk or the database failed; the rows may be missing, append them again.
        """
        if rows:
            self._committer.commit(self._part(stream, rows))

    def queue(self, stream: str, rows: Sequence[Mapping[str, Any]]) -> Callable[[], None]:
        """Queue rows behind those queued before, and return what waits until they are durable.

        For who holds a lock while queueing and must not while waiting. The caller must wait, since it may be the one
        that writes for all; waiting raises StorageError. Raises as ``append`` does.
        """
        return self._committer.queue(self._part(stream, rows)) if rows else _nothing

    def append_soon(self, stream: str, rows: Sequence[Mapping[str, Any]]) -> Future[None]:
        """Queue rows and return at once; the future resolves when they are durable.

        Raises as ``append`` does; what the disk says comes through the future.
        """
        if rows:
            return self._committer.commit_soon(self._part(stream, rows))
        done: Future[None] = Future()
        done.set_result(None)
        return done

    def append_within(self, tx: WriteTx, stream: str, rows: Sequence[Mapping[str, Any]]) -> bool:
        """Append rows as a part of a transaction of the ledger: with what else it records, or not at all.

        False, and nothing is appended, where open rows are files and not in the ledger. Raises as ``append`` does.
        """
        return not rows or self._tail.write_within(tx, self._part(stream, rows))

    def append_here(self, stream: str, rows: Sequence[Mapping[str, Any]]) -> bool:
        """Append rows without waiting for anybody; False, and nothing is appended, while others write.

        For an event loop that had rather wait for one sync than hand its rows to a thread; so it is False too where a
        write goes to a database. Raises as ``append`` does.
        """
        return not rows or (self._tail.local and self._committer.commit_here(self._part(stream, rows)))

    def flush(self) -> None:
        """Wait until everything queued is durable or its future says why not."""
        self._committer.flush()

    def seal(self, *, all: bool = False) -> list[Seal]:
        """Move finished rows into Parquet objects and return the seals made.

        Finished is a segment that its writer left, alive or dead, or with Postgres a stream whose tail is large or
        old enough. ``all`` also seals what this log is still appending to and what is small.
        """
        self.flush()
        return self._sealer.seal(all=all)

    def tidy(self) -> list[Seal]:
        """Seal what dead writers left, if it is much, in bounded work; what opening a project does."""
        segments, size = self._tail.waiting()
        if segments < SEAL_AT_OPEN_SEGMENTS and size < SEAL_AT_OPEN_BYTES:
            return []
        return self._sealer.seal(all=False, rounds=1)

    def let_go(self) -> None:
        """Let others seal what this log has open, if somebody wants it: for a process that may not write for long."""
        self._tail.let_go()

    def query(
        self,
        sql: str,
        params: Sequence[Any] = (),
        *,
        streams: Sequence[str],
        start: int | None = None,
        end: int | None = None,
        guarded: bool = False,
        tables: Mapping[str, Sequence[Path]] | None = None,
    ) -> Result:
        """Return the rows of one SELECT (DuckDB's dialect) in which each of ``streams`` is a relation.

        All of them are seen at one moment: every row appended before the call, each once. ``start`` and ``end``
        limit ``occurred_at`` to that range (end excluded); objects outside it are not opened. ``guarded`` is for
        SQL from a person: it reads these streams and nothing else, within a minute's work and bounded memory.
        ``tables`` are more relations: Parquet files by name.
        A DOUBLE comes back with the bits it was given; ``value::BIT::BIGINT`` shows them.

        Raises:
            NotFoundError: a stream is neither declared nor has rows.
            InvalidInputError: the SQL is not one SELECT, or does not fit.
            CorruptError: acknowledged rows are damaged.
        """
        return self._reader.query(sql, params, streams, Span(start=start, end=end), guarded=guarded, tables=tables)

    def rows(
        self,
        stream: str,
        where: str = "",
        params: Sequence[Any] = (),
        order: str = "",
        limit: int | None = None,
        *,
        start: int | None = None,
        end: int | None = None,
    ) -> list[dict[str, Any]]:
        """Return the rows of one stream as dicts; ``where`` and ``order`` are SQL, ``params`` fill ``?``."""
        sql = f'SELECT * FROM "{stream}"'
        sql += f" WHERE {where}" if where else ""
        sql += f" ORDER BY {order}" if order else ""
        sql += f" LIMIT {int(limit)}" if limit is not None else ""
        return self.query(sql, params, streams=[stream], start=start, end=end).dicts()

    def streams(self) -> dict[str, Schema]:
        """Return the streams that are declared or have rows, by name."""
        with self._ledger.read() as tx:
            sealed = {row.stream: row.schema for row in tx.all("SELECT stream, schema FROM seals ORDER BY id")}
        found = {name: from_document(name, document) for name, document in sealed.items()}
        return dict(sorted({**found, **STREAMS}.items()))

    def columns(self, stream: str) -> dict[str, ColumnType]:
        """Return the columns of a stream: as declared, then what older rows have besides.

        Raises:
            NotFoundError: it is neither declared nor has rows; the message lists those that are.
        """
        if stream not in STREAMS:
            for load in LATER:
                load()
        sql = "SELECT schema, max(id) AS newest FROM seals WHERE stream = ? AND replaced_by IS NULL GROUP BY schema"
        with self._ledger.read() as tx:
            documents = [row.schema for row in sorted(tx.all(sql, (stream,)), key=lambda row: row.newest, reverse=True)]
        documents += [part.schema.document() for part in self._open_parts(stream)] if not documents else []
        found: dict[str, ColumnType] = dict(STREAMS[stream].columns) if stream in STREAMS else {}
        for document in documents:
            found = {**found, **{k: v for k, v in from_document(stream, document).columns.items() if k not in found}}
        if not found:
            known = ", ".join(self.streams()) or "none"
            raise NotFoundError(f"there is no event stream '{stream}'. There are: {known}.", stream=stream)
        return found

    def open_rows(self, stream: str) -> int:
        """Return how many rows of a stream are not sealed yet.

        Raises:
            CorruptError: acknowledged rows are damaged.
        """
        self.flush()
        return sum(part.payload.rows for part in self._open_parts(stream))

    def verify(self) -> Iterator[Finding]:
        """Yield what is wrong: each open frame by its checksum, each sealed object by reading all its rows."""
        self.flush()
        yield from self._tail.verify()
        yield from verify_seals(self._ledger, self._objects)

    def close(self) -> None:
        """Write what is queued and let go of the segments, which anybody may then seal."""
        self._committer.close()
        if self._sealing is not None:
            self._sealing.join()
        self._reader.close()
        self._tail.close()

    def _open_parts(self, stream: str) -> Iterator[Part]:
        return self._tail.snapshot([stream], Span()).parts

    def _part(self, stream: str, rows: Sequence[Mapping[str, Any]]) -> Part:
        schema = declared(stream)
        return Part(schema=schema, payload=encode_rows(schema, rows, self._clock()))

    def _work(self) -> Path | None:
        """Return the folder for temporary files: the disk of the project, or the system's own."""
        if self._folder is None:
            return None
        work = self._folder / ".work"
        work.mkdir(parents=True, exist_ok=True)
        return work

    def _seal_soon(self) -> None:
        if self._sealing is None or not self._sealing.is_alive():
            self._sealing = threading.Thread(target=self._seal_in_background, name="headwater-sealing", daemon=True)
            self._sealing.start()

    def _seal_in_background(self) -> None:
        try:
            self._sealer.seal(all=False)
        except Exception:  # nothing is lost: the rows stay in the tail, and the next seal takes them
            _logger.exception("sealing events failed; it will be tried again")


def open_events(folder: Path | None, ledger: Ledger, objects: ObjectStore, clock: Callable[[], int]) -> EventLog:
    """Open the event log of a project, and seal what dead writers left there, within a bound.

    With a SQLite ledger the open rows are segments in ``folder``, with Postgres a table. ``clock`` gives
    ``recorded_at`` in UTC microseconds.
    """
    if ledger.dialect == "postgres":
        return EventLog(TableTail(ledger, clock), folder, ledger, objects, clock)
    if folder is None:
        raise ValueError("a project on SQLite keeps its events in a folder")
    log = EventLog(FolderTail(folder, ledger, clock), folder, ledger, objects, clock)
    log.tidy()
    return log


def _nothing() -> None:
    """What waits for no rows."""


def _after_fork() -> None:
    for log in list(_logs):
        log.begin_again()


os.register_at_fork(after_in_child=_after_fork)

"""The open rows of an event log carried into another project's tail: as segments of a folder, or rows of the table."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from headwater.canonical import digest
from headwater.durable import crash_point, make_directory, sync_directory, sync_file
from headwater.ids import new_id

from .frames import pack, preamble
from .table import insert_batch
from .tail import Part, Span

if TYPE_CHECKING:
    from headwater.ledger import WriteTx

    from .log import EventLog


class OpenRows(NamedTuple):
    """How much is open in a stream, and a digest of it all: equal where nothing was written in between."""

    rows: int
    digest: str


def open_parts(log: EventLog) -> Iterator[Part]:
    """Yield the rows of every stream that are not sealed yet, each stream as it is at one moment."""
    log.flush()
    for stream in sorted(log._tail.streams()):
        yield from log._tail.snapshot([stream], Span()).parts


def open_rows(log: EventLog) -> dict[str, OpenRows]:
    """Return how much is open in each stream that has open rows."""
    found: dict[str, OpenRows] = {}
    for part in open_parts(log):
        before = found.get(part.schema.name, OpenRows(0, ""))
        mixed = digest(before.digest.encode() + part.payload.data)
        found[part.schema.name] = OpenRows(before.rows + part.payload.rows, mixed)
    return found


def write_segments(folder: Path, parts: Iterator[Part], clock: Callable[[], int]) -> int:
    """Write rows as segments of a folder's event log, durably; returns how many. The folder has none before."""
    writer = new_id(clock())
    rows = number = 0
    kept: tuple[str, str] | None = None
    file: int | None = None
    try:
        for part in parts:
            shape = (part.schema.name, part.schema.document())
            if file is None or shape != kept:
                _finish(file)
                number += 1
                file, kept = _begin(folder / part.schema.name, f"{writer}-{number}.seg", shape[1]), shape
            _write(file, pack(part.payload))
            rows += part.payload.rows
    finally:
        _finish(file)
    for stream in folder.iterdir() if folder.is_dir() else ():
        if stream.is_dir():
            sync_directory(stream, "events.copy")
    return rows


def write_tail(tx: WriteTx, parts: Iterator[Part], clock: Callable[[], int]) -> int:
    """Record rows as batches of the table that holds the tail on Postgres, in this transaction; returns how many."""
    writer = new_id(clock())
    rows = 0
    for number, part in enumerate(parts, 1):
        insert_batch(tx, part, writer, number)
        rows += part.payload.rows
    return rows


def _begin(folder: Path, name: str, document: str) -> int:
    make_directory(folder, "events.copy")
    crash_point("events.copy.segment")
    file = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    _write(file, preamble(document))
    return file


def _finish(file: int | None) -> None:
    if file is not None:
        sync_file(file, "events.copy")
        os.close(file)


def _write(file: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]

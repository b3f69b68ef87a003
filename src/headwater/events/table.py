"""The tail of a project on Postgres: one row for each group commit, acknowledged by the database.

A server that dies loses nothing, and every host sees all. A batch is sealed by whoever deletes its
row: the deletion and the record of the seal are one transaction.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from headwater.errors import ConflictError, CorruptError
from headwater.ids import new_id

from .schema import Payload, Schema, from_document
from .tail import CLAIM_BYTES, Claim, Part, Seal, Snapshot, Span, Tail, list_seals

if TYPE_CHECKING:
    from headwater.ledger import Ledger, Tx, WriteTx
    from headwater.objects.findings import Finding

SEAL_BYTES = 8 << 20
SEAL_AGE_US = 15 * 60 * 1_000_000


class TableTail(Tail):
    """Open rows in the table ``event_tail``, of every writer of the project."""

    def __init__(self, ledger: Ledger, clock: Callable[[], int]) -> None:
        self._ledger = ledger
        self._clock = clock
        self.begin_again()

    def begin_again(self) -> None:
        self._writer = new_id(self._clock())
        self._seq = 0
        self._written_bytes = 0

    def write(self, batches: Sequence[Part]) -> list[BaseException | None]:
        try:
            self._insert(batches, alone=False)
        except ConflictError:
            # Not of our rows, whose numbers are ours: a hook of the ledger recorded packs meanwhile.
            self._insert(batches, alone=True)
        self._written_bytes += sum(len(batch.payload.data) for batch in batches)
        if self._written_bytes >= SEAL_BYTES:
            self._written_bytes = 0
            if self.on_full is not None:
                self.on_full()
        return [None] * len(batches)

    def _insert(self, batches: Sequence[Part], *, alone: bool) -> None:
        with self._ledger.write(alone=alone) as tx:
            for batch in batches:
                self._seq += 1
                insert_batch(tx, batch, self._writer, self._seq)

    def write_within(self, tx: WriteTx, batch: Part) -> bool:
        # A writer of its own: our numbers are counted by whoever writes for all, and this is another thread.
        insert_batch(tx, batch, new_id(self._clock()), 1)
        if self.on_full is not None and len(batch.payload.data) >= SEAL_BYTES:
            self.on_full()
        return True

    def snapshot(self, streams: Sequence[str], span: Span) -> Snapshot:
        marks = ", ".join("?" * len(streams))
        with self._ledger.read() as tx:
            seals = list_seals(tx, streams, span)
            rows = tx.all(f"SELECT * FROM event_tail WHERE stream IN ({marks}) ORDER BY stream, writer, seq", streams)
        parts = [_part(row) for row in rows if span.meets(row.first_at, row.last_at)]
        return Snapshot(seals=seals, parts=iter(parts))

    @contextmanager
    def claim(self, *, all: bool) -> Iterator[list[Claim]]:
        with self._ledger.read() as tx:
            chosen = [s for s in _sizes(tx) if all or s.bytes >= SEAL_BYTES or s.since <= self._clock() - SEAL_AGE_US]
            claims = [claim for each in chosen for claim in self._claim_stream(tx, each.stream)]
        yield list(claims)

    def _claim_stream(self, tx: Tx, stream: str) -> list[BatchClaim]:
        claims: list[BatchClaim] = []
        filling: dict[str, BatchClaim] = {}
        sql = (
            "SELECT writer, seq, schema, rows, first_at, last_at, length(payload) AS size FROM event_tail "
            "WHERE stream = ? ORDER BY writer, seq"
        )
        for row in tx.stream(sql, (stream,)):
            if row.schema not in filling or filling[row.schema].bytes >= CLAIM_BYTES:
                filling[row.schema] = BatchClaim(self._ledger, from_document(stream, row.schema))
                claims.append(filling[row.schema])
            filling[row.schema].add(row)
        return claims

    def let_go(self) -> None:
        """Nothing is held: rows lie in the ledger, where anybody may seal them."""

    def streams(self) -> set[str]:
        with self._ledger.read() as tx:
            return {row.stream for row in tx.all("SELECT DISTINCT stream FROM event_tail")}

    def waiting(self) -> tuple[int, int]:
        with self._ledger.read() as tx:
            row = tx.one("SELECT COUNT(*) AS batches, COALESCE(SUM(length(payload)), 0) AS bytes FROM event_tail")
        return (int(row.batches), int(row.bytes)) if row is not None else (0, 0)

    def verify(self) -> Iterator[Finding]:
        from headwater.objects.findings import Finding

        with self._ledger.read() as tx:
            for row in tx.stream("SELECT stream, writer, seq, crc, rows, payload FROM event_tail"):
                data = bytes(row.payload)
                if zlib.crc32(data) != row.crc or data.count(b"\n") != row.rows:
                    yield Finding(
                        kind="events.batch_damaged",
                        what=f"{row.stream}/{row.writer}-{row.seq}",
                        message=f"batch {row.seq} of writer {row.writer} in stream '{row.stream}' is not what was "
                        "written. Restore the database from a backup.",
                        severity="error",
                    )

    def close(self) -> None:
        """The ledger's connection is the ledger's to close."""


def insert_batch(tx: WriteTx, batch: Part, writer: str, seq: int) -> None:
    """Record rows as one numbered batch of a writer, in this transaction."""
    payload = batch.payload
    tx.insert(
        "event_tail",
        stream=batch.schema.name,
        writer=writer,
        seq=seq,
        schema=batch.schema.document(),
        rows=payload.rows,
        crc=zlib.crc32(payload.data),
        payload=payload.data,
        first_at=payload.first_at,
        last_at=payload.last_at,
        recorded_at=tx.now,
    )


class BatchClaim(Claim):
    """Batches of one stream with the same columns, as one transaction saw them."""

    def __init__(self, ledger: Ledger, schema: Schema) -> None:
        self.schema = schema
        self.rows = 0
        self.bytes = 0
        self.first_at = 2**63 - 1
        self.last_at = -(2**63)
        self._ledger = ledger
        self._batches: list[tuple[str, int]] = []

    def add(self, row: Any) -> None:
        """Take in one more batch."""
        self._batches.append((row.writer, row.seq))
        self.rows += row.rows
        self.bytes += row.size
        self.first_at = min(self.first_at, row.first_at)
        self.last_at = max(self.last_at, row.last_at)

    def payloads(self) -> Iterator[bytes]:
        sql = "SELECT * FROM event_tail WHERE stream = ? AND writer = ? AND seq BETWEEN ? AND ? ORDER BY seq"
        found = 0
        with self._ledger.read() as tx:
            for writer, first, last in self._ranges():
                for row in tx.stream(sql, (self.schema.name, writer, first, last)):
                    found += 1
                    yield _part(row).payload.data
        if found != len(self._batches):
            raise self._taken()

    def drop(self, tx: WriteTx, seal: Seal) -> None:
        sql = "DELETE FROM event_tail WHERE stream = ? AND writer = ? AND seq BETWEEN ? AND ?"
        gone = sum(tx.execute(sql, (self.schema.name, *each)) for each in self._ranges())
        if gone != len(self._batches):
            raise self._taken()

    def dropped(self) -> None:
        """The rows went with the transaction."""

    def _taken(self) -> ConflictError:
        return ConflictError(f"batches of stream '{self.schema.name}' were sealed by another process.")

    def _ranges(self) -> list[tuple[str, int, int]]:
        """Return the batches as runs of consecutive numbers: (writer, first, last)."""
        ranges: list[tuple[str, int, int]] = []
        for writer, seq in sorted(self._batches):
            if ranges and ranges[-1][0] == writer and ranges[-1][2] == seq - 1:
                ranges[-1] = (writer, ranges[-1][1], seq)
            else:
                ranges.append((writer, seq, seq))
        return ranges


class _Size(NamedTuple):
    stream: str
    bytes: int
    since: int


def _sizes(tx: Tx) -> list[_Size]:
    rows = tx.all(
        "SELECT stream, SUM(length(payload)) AS size, MIN(recorded_at) AS since FROM event_tail "
        "GROUP BY stream ORDER BY stream"
    )
    return [_Size(row.stream, int(row.size), row.since) for row in rows]


def _part(row: Any) -> Part:
    data = bytes(row.payload)
    if zlib.crc32(data) != row.crc:
        raise CorruptError(
            f"batch {row.seq} of writer {row.writer} in stream '{row.stream}' is damaged: rows that were acknowledged "
            "cannot be read. Run 'hw verify' to see all of them, and restore the database from a backup.",
            stream=row.stream,
        )
    payload = Payload(data=data, rows=row.rows, first_at=row.first_at, last_at=row.last_at)
    return Part(schema=from_document(row.stream, row.schema), payload=payload)

"""Sealing: rows leave the open tail for a Parquet object that the ledger lists.

The object is durable first. Then one transaction records it and takes the rows from the tail, so
that a reader sees them in one place or the other. What is left of a segment is deleted last.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from headwater.duck import connect
from headwater.durable import crash_point
from headwater.errors import ConflictError

from .parquet import quote, read_parquet_sql, read_payload_sql, to_parquet, write_payloads
from .reading import carry, lines_of
from .schema import Schema, from_document
from .tail import Claim, Seal, Span, Tail, list_seals

if TYPE_CHECKING:
    import duckdb

    from headwater.ledger import Ledger, WriteTx
    from headwater.objects import ObjectStore

SMALL_BYTES = 4 << 20
GATHER_AT = 8


class Sealer:
    """Seals a tail's rows and gathers small seals into larger ones."""

    def __init__(self, tail: Tail, ledger: Ledger, objects: ObjectStore, work: Callable[[], Path | None]) -> None:
        self._tail = tail
        self._ledger = ledger
        self._objects = objects
        self._work = work
        self._lock = threading.Lock()

    def seal(self, *, all: bool, rounds: int = 1_000_000) -> list[Seal]:
        """Seal what can be sealed and return the seals made; rows that another process seals meanwhile are its."""
        sealed: list[Seal] = []
        with self._lock:
            for number in range(rounds):
                with self._tail.claim(all=all and number == 0) as claims:
                    made = [seal for claim in claims if (seal := self._seal(claim)) is not None]
                sealed += made
                if not made:
                    break
            for stream in sorted({seal.stream for seal in sealed}):
                self._gather(stream)
        return sealed

    def _seal(self, claim: Claim) -> Seal | None:
        try:
            digest, size = self._put(claim)
            with self._ledger.write() as tx:
                seal = _record(tx, claim.schema, digest, size, claim.rows, (claim.first_at, claim.last_at))
                claim.drop(tx, seal)
        except ConflictError:
            return None  # somebody else sealed these rows meanwhile
        crash_point("events.seal.recorded")
        claim.dropped()
        return seal

    def _put(self, claim: Claim) -> tuple[str, int]:
        with self._folder() as (connection, folder):
            rows = folder / "rows.ndjson"
            write_payloads(rows, claim.payloads())
            select = read_payload_sql(claim.schema.columns, rows)
            to_parquet(connection, claim.schema, select, folder / "rows.parquet", claim.rows)
            crash_point("events.seal.written")
            return self._objects.put_file(folder / "rows.parquet")

    def _gather(self, stream: str) -> None:
        """Put small seals of the same columns together, so that a query opens few objects."""
        with self._ledger.read() as tx:
            seals = [seal for seal in list_seals(tx, [stream], Span()) if seal.bytes < SMALL_BYTES]
            lines = lines_of(tx, [seal.id for seal in seals])
        # What the same readers took goes together: so each of them has a gathered seal wholly or not at all.
        groups: dict[tuple[str, frozenset[str]], list[Seal]] = {}
        for seal in seals:
            groups.setdefault((seal.schema, lines.get(seal.id, frozenset())), []).append(seal)
        for (document, _), group in groups.items():
            if len(group) >= GATHER_AT:
                self._replace(from_document(stream, document), group)

    def _replace(self, schema: Schema, group: list[Seal]) -> None:
        rows = sum(seal.rows for seal in group)
        with self._folder() as (connection, folder):
            select = f"SELECT * FROM {read_parquet_sql([self._objects.cached_path(s.digest) for s in group])}"
            to_parquet(connection, schema, select, folder / "rows.parquet", rows)
            digest, size = self._objects.put_file(folder / "rows.parquet")
        span = (min(seal.first_at for seal in group), max(seal.last_at for seal in group))
        try:
            with self._ledger.write() as tx:
                replace_seals(tx, group, schema, digest, size, rows, span)
        except ConflictError:
            return

    @contextmanager
    def _folder(self) -> Iterator[tuple[duckdb.DuckDBPyConnection, Path]]:
        import tempfile

        with tempfile.TemporaryDirectory(prefix="seal-", dir=self._work()) as name, connect() as connection:
            connection.execute(f"SET temp_directory = {quote(Path(name) / 'spill')}")
            yield connection, Path(name)


def replace_seals(
    tx: WriteTx, group: Sequence[Seal], schema: Schema, digest: str, size: int, rows: int, span: tuple[int, int]
) -> Seal:
    """Record the seal of an object that takes the place of others, in this transaction; their readers have it too.

    Raises:
        ConflictError: another process replaced one of them meanwhile, or a reader took some of them.
    """
    made = _record(tx, schema, digest, size, rows, span)
    for seal in group:
        sql = "UPDATE seals SET replaced_by = ? WHERE id = ? AND replaced_by IS NULL"
        if tx.execute(sql, (made.id, seal.id)) != 1:
            raise ConflictError(f"seal {seal.id} was gathered by another process: run it again.")
    carry(tx, [seal.id for seal in group], made.id)
    return made


def _record(tx: WriteTx, schema: Schema, digest: str, size: int, rows: int, span: tuple[int, int]) -> Seal:
    seal = Seal(
        id=tx.new_id(),
        stream=schema.name,
        schema=schema.document(),
        digest=digest,
        bytes=size,
        rows=rows,
        first_at=span[0],
        last_at=span[1],
        sealed_at=tx.now,
    )
    tx.insert(
        "seals",
        id=seal.id,
        stream=seal.stream,
        schema=seal.schema,
        digest=seal.digest,
        bytes=seal.bytes,
        rows=seal.rows,
        first_at=seal.first_at,
        last_at=seal.last_at,
        sealed_at=seal.sealed_at,
        replaced_by=None,
    )
    return seal

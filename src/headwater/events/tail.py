"""The open tail: rows that are durable and not yet sealed. A folder keeps segments, Postgres a table."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import msgspec

from .schema import Payload, Schema

if TYPE_CHECKING:
    from headwater.ledger import Tx, WriteTx
    from headwater.objects.findings import Finding


CLAIM_BYTES = 128 << 20


class Seal(msgspec.Struct, frozen=True, kw_only=True):
    """A Parquet object of sealed rows, as the ledger lists it."""

    id: str
    stream: str
    schema: str
    digest: str
    bytes: int
    rows: int
    first_at: int
    last_at: int
    sealed_at: int


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """Rows of one stream read from the tail."""

    schema: Schema
    payload: Payload


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """One moment of some streams: every acknowledged row is in exactly one seal or part.

    ``parts`` is read once, while it is consumed; it raises CorruptError at damaged rows.
    """

    seals: list[Seal]
    parts: Iterator[Part]


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """A range of ``occurred_at``: from ``start`` up to but not including ``end``; None is open."""

    start: int | None = None
    end: int | None = None

    def meets(self, first_at: int, last_at: int) -> bool:
        """Tell whether rows between these times may lie in the range."""
        return (self.start is None or last_at >= self.start) and (self.end is None or first_at < self.end)


class Claim(ABC):
    """Tail rows of one stream that nobody else is sealing, while it is held."""

    schema: Schema
    rows: int
    first_at: int
    last_at: int

    @abstractmethod
    def payloads(self) -> Iterator[bytes]:
        """Yield the rows, as payloads.

        Raises:
            ConflictError: somebody else sealed them first.
        """

    @abstractmethod
    def drop(self, tx: WriteTx, seal: Seal) -> None:
        """Give the rows up in the transaction that records their seal.

        Raises:
            ConflictError: somebody else sealed them first; the transaction must not commit.
        """

    @abstractmethod
    def dropped(self) -> None:
        """Clear away what the committed transaction left without a use."""


class Tail(ABC):
    """Where open rows are kept. ``on_full`` is called when enough rows for a seal have gathered."""

    on_full: Callable[[], None] | None = None
    local = False
    """Whether a write is a sync of a file on this machine, and not a question to a server."""

    @abstractmethod
    def begin_again(self) -> None:
        """Become a new writer with nothing open; what a child process does after a fork."""

    @abstractmethod
    def write(self, batches: Sequence[Part]) -> list[BaseException | None]:
        """Append the batches, at most one for each stream; None for each that is durable now, else what failed."""

    def write_within(self, tx: WriteTx, batch: Part) -> bool:
        """Append a batch as a part of a transaction of the ledger; False, nothing done, where rows are files."""
        return False

    @abstractmethod
    def snapshot(self, streams: Sequence[str], span: Span) -> Snapshot:
        """Return the seals and open rows of the streams at one moment."""

    @abstractmethod
    def claim(self, *, all: bool) -> AbstractContextManager[list[Claim]]:
        """Hold what can be sealed, in claims of at most about ``CLAIM_BYTES``; ``all`` includes rows that
        would otherwise wait for more of their stream.
        """

    @abstractmethod
    def let_go(self) -> None:
        """Finish what this writer holds and somebody who seals wants; nothing where rows are not held in files."""

    @abstractmethod
    def streams(self) -> set[str]:
        """Return the streams that have open rows."""

    @abstractmethod
    def waiting(self) -> tuple[int, int]:
        """Return how many segments or batches could be sealed now, and their bytes."""

    @abstractmethod
    def verify(self) -> Iterator[Finding]:
        """Yield what is wrong with open rows."""

    @abstractmethod
    def close(self) -> None:
        """Let go of files."""


def list_seals(tx: Tx, streams: Sequence[str] | None, span: Span) -> list[Seal]:
    """Return the seals in force, oldest first; ``streams`` None means all."""
    bounds = [("last_at >= ?", span.start), ("first_at < ?", span.end)]
    given = [(condition, bound) for condition, bound in bounds if bound is not None]
    sql = "SELECT id, stream, schema, digest, bytes, rows, first_at, last_at, sealed_at FROM seals WHERE "
    sql += " AND ".join(["replaced_by IS NULL", *(condition for condition, _ in given)])
    params: list[object] = [bound for _, bound in given]
    if streams is not None:
        sql += f" AND stream IN ({', '.join('?' * len(streams))})"
        params += streams
    return [seal_of(row) for row in tx.all(sql + " ORDER BY id", params)]


def seal_of(row: Any) -> Seal:
    """Return a seal of its row."""
    return Seal(
        id=row.id,
        stream=row.stream,
        schema=row.schema,
        digest=row.digest,
        bytes=row.bytes,
        rows=row.rows,
        first_at=row.first_at,
        last_at=row.last_at,
        sealed_at=row.sealed_at,
    )

"""What the ledger asks of a database, and the errors that both of them give."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any, ClassVar, Literal, NoReturn

from ...errors import ConflictError, DiskFullError, HeadwaterError, InvalidInputError, UnavailableError

# sqlite3 and psycopg offer the same few methods but share no type: Any stops at this folder and transaction.py.
Connection = Any
Cursor = Any
Mode = Literal["read", "write", "write beside"]
DEFAULT_TIMEOUT_S = 30.0
AGAIN = "Look again, then decide."


class Dialect(ABC):
    """One database behind the ledger: how to reach it, talk to it, and read its errors."""

    name: ClassVar[Literal["sqlite", "postgres"]]
    clock_sql: ClassVar[str]  # an SQL expression: the database's own time in UTC microseconds
    most_connections: ClassVar[int]

    timeout_s: float
    shown: str  # the address as messages show it, never with a password
    errors: tuple[type[BaseException], ...]  # what the driver raises

    @abstractmethod
    def connect(self, *, writing: bool) -> Connection:
        """Return a new connection to an existing ledger; raises NotFoundError or UnavailableError."""

    @abstractmethod
    def create(self, fill: Callable[[Connection], None]) -> None:
        """Make the database's ledger by ``fill``, wholly or not at all; raises ConflictError when there is one."""

    @abstractmethod
    def begin(self, connection: Connection, mode: Mode) -> int:
        """Begin a transaction and return the ledger's schema number; raises what the driver raises."""

    @abstractmethod
    def execute(self, connection: Connection, sql: str, params: Sequence[Any]) -> Cursor:
        """Run one statement; raises what the driver raises."""

    @abstractmethod
    def insert_many(
        self, connection: Connection, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]
    ) -> None:
        """Insert many rows in the database's fastest way; raises what the driver raises."""

    @abstractmethod
    def executemany(self, connection: Connection, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        """Run one statement for each row of values; raises what the driver raises."""

    @abstractmethod
    def stream(self, connection: Connection, sql: str, params: Sequence[Any]) -> Cursor:
        """Return a cursor whose ``fetchmany`` holds no more than it returns."""

    @abstractmethod
    def ddl(self, statement: str) -> str:
        """Return a portable statement of the schema as this database writes it."""

    @abstractmethod
    def table_columns(self, connection: Connection) -> dict[str, list[str]]:
        """Return the ledger's tables and their columns, each in a stated order: by name, and as declared."""

    @abstractmethod
    def error(self, error: BaseException) -> HeadwaterError:
        """Return the error of our tree for one of the driver's."""

    @abstractmethod
    def broken(self, connection: Connection) -> bool:
        """Tell whether a connection can no longer be used."""

    def exclude(self, connection: Connection) -> None:  # noqa: B027  # a database may have nothing left to do
        """Keep everybody else out of the ledger until this write transaction ends; readers may finish first."""

    def commit(self, connection: Connection) -> None:
        """Make the transaction durable."""
        connection.execute("COMMIT")

    def rollback(self, connection: Connection) -> None:
        """Forget the transaction, if there still is one."""
        connection.execute("ROLLBACK")


@lru_cache(maxsize=1024)
def insert_statement(table: str, columns: tuple[str, ...]) -> str:
    """Return ``INSERT INTO table (columns) VALUES (?, ...)`` with every name quoted."""
    for name in (table, *columns):
        if not name.isidentifier():
            raise InvalidInputError(f"'{name}' is not the name of a table or column.", name=name)
    names = ", ".join(f'"{column}"' for column in columns)
    return f'INSERT INTO "{table}" ({names}) VALUES ({", ".join("?" * len(columns))})'


def busy(shown: str, timeout_s: float) -> UnavailableError:
    """Return the error for a ledger that somebody else kept writing to."""
    return UnavailableError(
        f"the ledger '{shown}' was busy for {timeout_s:g} s: another transaction keeps writing to it. "
        "Nothing was recorded. Wait until it is done, then try again.",
        ledger=shown,
        timeout_s=timeout_s,
    )


def unknown_outcome(shown: str, cause: BaseException) -> NoReturn:
    """Raise the error for a connection that was lost between asking for the commit and its answer."""
    raise UnavailableError(
        f"the connection to '{shown}' was lost while committing: whether the facts were recorded is not known. "
        "Look for them before recording them again.",
        ledger=shown,
        outcome="unknown",
    ) from cause


def already(detail: str) -> ConflictError:
    """Return the error for a key that is taken."""
    return ConflictError(
        f"the ledger already holds what was to be recorded ({detail}): somebody was first. {AGAIN}", detail=detail
    )


def unfit(detail: str) -> InvalidInputError:
    """Return the error for values that their columns refuse."""
    return InvalidInputError(f"the ledger does not take these values: {detail}. Nothing was recorded.", detail=detail)


def disk_full(shown: str) -> DiskFullError:
    """Return the error for a full disk."""
    return DiskFullError(
        f"the disk that holds the ledger '{shown}' is full: nothing of this was recorded, and nothing acknowledged is "
        "lost. Free space ('hw data collect' shows what Headwater can free), then run it again.",
        ledger=shown,
    )

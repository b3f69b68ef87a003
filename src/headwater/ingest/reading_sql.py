"""What the readers of databases share: a query to read, and a database's refusals as errors of ours."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

from ..errors import HeadwaterError, InvalidInputError, NotFoundError, UnavailableError
from .secrets import scrubbed

MarkKind = Literal["number", "instant", "time", "date", "text"]


class Mark(NamedTuple):
    """Where the last pull got to in the cursor column: a value's text, and what kind of value it is."""

    kind: MarkKind
    text: str


class Reading(NamedTuple):
    """A query (without a semicolon), the column that tells what is new, and from where on it is wanted."""

    query: str
    cursor: str | None
    since: Mark | None


class Reader(Protocol):
    """Reads from one kind of database; each call connects, reads in a transaction that cannot write, and leaves."""

    def quoted(self, table: str) -> str:
        """Return the name of a table (``schema.table`` in two parts) as this database quotes it."""

    def write(self, reading: Reading, target: Path) -> dict[str, str]:
        """Write the rows as Parquet, streamed; return the DuckDB types that columns kept as text are to be given.

        Rows come in the order of the cursor where there is one.
        """

    def ping(self) -> str:
        """Connect, and return what answered."""


_KINDS: tuple[tuple[str, str], ...] = (
    (r"28P01|28000|password|authentication failed|access denied|no password supplied|role .* does not exist", "login"),
    (r"3D000|database .* does not exist|unknown database", "database"),
    (r"unable to open database file|no such file|failed to open '", "file"),
    (r"57014|statement timeout|interrupted|maximum statement execution time|max_statement_time", "timeout"),
    (r"42P01|no such table|(relation|table) .* (does not|doesn't) exist|unknown table", "table"),
    (r"42703|no such column|column .* does not exist|unknown column", "column"),
    (r"25006|readonly|read-only|read only", "writes"),
    (r"42501|permission denied|command denied", "denied"),
    (
        r"42601|syntax error|error in your sql syntax|incomplete input|multiple commands|one statement at a time",
        "syntax",
    ),
    (r"type mismatch|\[SQLite\] .*(expected|mismatch|infer)", "mixed"),
    (
        r"refused|could not connect|failed to connect|timed? ?out|name or service|reset by peer|closed the connection"
        r"|can't connect|no route|terminating connection|server closed",
        "away",
    ),
)


def refusal(error: Exception, where: str) -> HeadwaterError:
    """Return what a database's driver raised as an error of ours; what was a secret is out of its text."""
    said = scrubbed(_first_lines(str(error)))
    state = getattr(error, "sqlstate", None) or ""
    kind = next((kind for pattern, kind in _KINDS if re.search(pattern, f"{state} {error}", re.IGNORECASE)), "other")
    cls, advice = _ADVICE[kind]
    return cls(f"{where} answered: {said}. {advice}", where=where, reason=kind)


_ADVICE: dict[str, tuple[type[HeadwaterError], str]] = {
    "login": (
        InvalidInputError,
        "It does not let this user in: check the user and the password in the environment variable that 'url' names.",
    ),
    "database": (NotFoundError, "Check the name of the database at the end of the URL."),
    "file": (NotFoundError, "Check the path in the URL; a relative one counts from the project's folder."),
    "timeout": (
        UnavailableError,
        "The query took longer than it may: give it an index on the cursor, fewer rows, or a larger timeout_s.",
    ),
    "table": (NotFoundError, "Check the name, and its schema ('schema.table')."),
    "column": (NotFoundError, "Check the names of the columns in 'query', 'cursor' and 'key'."),
    "writes": (InvalidInputError, "A pull only reads: give a SELECT."),
    "denied": (InvalidInputError, "Grant the user SELECT on it, or name another user."),
    "syntax": (InvalidInputError, "Correct 'query': one SELECT, without a semicolon."),
    "mixed": (
        InvalidInputError,
        "A column holds values of several kinds, which SQLite allows: CAST it in 'query', or write the URL as "
        "'sqlite+pysqlite:///...', which reads such columns as text.",
    ),
    "away": (UnavailableError, "Check that it is up and that the host and port in the URL are right, then pull again."),
    "other": (UnavailableError, "Nothing was taken in; correct what it says, then pull again."),
}


def _first_lines(text: str) -> str:
    """Return the text in one line, without the query that drivers add, which the declaration shows anyway."""
    text = re.split(r"\n(?:query: |Query was: |\[SQL: |\(Background on)", text, maxsplit=1)[0]
    return " ".join(text.split())[:600].rstrip(".")

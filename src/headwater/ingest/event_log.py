"""The source of kind ``events``: what is new in a stream of the project's own event log, each event exactly once."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import msgspec

from ..durable import crash_point
from ..errors import InvalidInputError, NotFoundError
from ..events.reading import Piece, fork, indistinct, list_unread, take, went_on
from ..ids import new_id
from ..lake import Entry
from ..lake.table import quote
from .row_files import copy_to_parquet, literal
from .source import Pulled, ReadAgain, Source, read_settings
from .values import Planned

if TYPE_CHECKING:
    from ..events import ColumnType
    from ..ledger import WriteTx
    from ..project import Project
    from .intake import Intake

Wanted = str | int | float | bool
_FITTING: dict[str, tuple[type, ...]] = {
    "VARCHAR": (str,),
    "BIGINT": (int,),
    "DOUBLE": (int, float),
    "BOOLEAN": (bool,),
}


class EventsSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What ``kind = "events"`` takes.

    ``stream`` is the name of an event stream, ``columns`` which of its columns to keep (none: all), ``where`` what a
    column must be: a value, or one of a list. ``start = "latest"`` leaves out the events that are there at the first
    pull. A pull takes what was sealed together together: the oldest that have ``max_rows`` events at most, or the
    oldest alone. ``path`` is the folder of the part files (the stream's name).
    """

    stream: str
    columns: list[str] = []
    where: dict[str, Wanted | list[Wanted]] = {}
    start: Literal["earliest", "latest"] = "earliest"
    max_rows: int = 1_000_000
    path: str = ""


class Stand(msgspec.Struct, frozen=True, kw_only=True):
    """Where a reader stands (``events.reading``), and how many part files it has put."""

    line: str
    takes: int = 0
    parts: int = 0


class EventsSource(Source):
    """A stream of the event log.

    Which seals were taken is recorded with the version, in one transaction, so that a crash at any moment neither
    loses nor repeats an event; where seals were replaced meanwhile, the pull is tried again.
    """

    kind: ClassVar[str] = "events"

    def __init__(self, settings: EventsSettings) -> None:
        self._settings = settings

    @classmethod
    def from_settings(cls, settings: dict[str, Any], *, root: Path) -> Self:
        given = read_settings(cls.kind, settings, EventsSettings)
        if given.max_rows < 1:
            raise InvalidInputError(f"max_rows is at least 1, not {given.max_rows}.")
        return cls(given)

    @property
    def text(self) -> str:
        return self._settings.stream

    def pull(self, since: dict[str, Any] | None, into: Intake) -> Pulled:
        project, stream = into.project, self._settings.stream
        columns = self._columns(project)
        # Sealed first: each event that was acknowledged before the pull is in a seal, but for those that another
        # process is still appending to, which lets go of them when it appends next.
        project.events.seal(all=True)
        stand = _stand(since, into)
        with project.ledger.read() as tx:
            unread = list_unread(tx, stream, stand.line, stand.takes)
            back = went_on(tx, stand.line, stand.takes)
        if since is None and self._settings.start == "latest":
            return self._taken(stand, stand, unread, note="goes on from here: the events before are left out")
        pieces = list(_within(unread, self._settings.max_rows))
        if not pieces:
            return Pulled(state=msgspec.to_builtins(stand))
        line = new_id(into.now()) if back else stand.line
        rows = self._put_part(into, pieces, columns, stand.parts + 1)
        after = Stand(line=line, takes=stand.takes + 1, parts=stand.parts + (rows > 0))
        return self._taken(stand, after, pieces, note=f"{rows:,} events")

    def _taken(self, before: Stand, after: Stand, pieces: Sequence[Piece], *, note: str) -> Pulled:
        def also(tx: WriteTx, pull: str) -> None:
            if after.line != before.line:
                fork(tx, before.line, before.takes, after.line)
            if not take(tx, after.line, after.takes, pieces):
                raise _again(self._settings.stream)

        return Pulled(state=msgspec.to_builtins(after), note=note, also=also)

    def _put_part(self, into: Intake, pieces: Sequence[Piece], columns: Mapping[str, ColumnType], number: int) -> int:
        """Put the wanted rows of some seals as a part file, and return how many there are."""
        with tempfile.TemporaryDirectory(dir=into.folder) as name:
            target = Path(name) / "part.parquet"
            rows = copy_to_parquet(self._select(into.project, pieces, columns), target)
            crash_point("ingest.events.read")
            if rows:
                proof = {
                    "from": self.text,
                    "read_at": into.now(),
                    "stream": self._settings.stream,
                    "seals": [{"seal": piece.seal.id, "rows": piece.seal.rows} for piece in pieces],
                    "events": rows,
                }
                folder = self._settings.path or self._settings.stream
                into.put_file(f"{folder}/part-{number:08d}.parquet", target, proof=proof)
        return rows

    def _select(self, project: Project, pieces: Sequence[Piece], columns: Mapping[str, ColumnType]) -> str:
        """Return the SQL of the rows, in the order of the seals; a column that older rows lack is null in them."""
        empty = ", ".join(f"NULL::{kind} AS {quote(column)}" for column, kind in columns.items())
        selects = [f"SELECT {empty} WHERE false"]
        for _, alike in groupby(pieces, key=lambda piece: piece.seal.schema):
            paths = ", ".join(literal(_bytes_of(project, piece)) for piece in alike)
            selects.append(f"SELECT * FROM read_parquet([{paths}])")
        kept = ", ".join(quote(column) for column in self._settings.columns or columns)
        conditions = [_condition(column, wanted) for column, wanted in self._settings.where.items()]
        where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        return f"SELECT {kept} FROM ({' UNION ALL BY NAME '.join(selects)}){where}"

    def plan(self, since: dict[str, Any] | None, current: Mapping[str, Entry]) -> list[Planned]:
        self._columns(self.here.project)
        waiting = self.behind(since)
        why = "since the last pull" if since else "all there are"
        if since is None and self._settings.start == "latest":
            why = "those that come after the first pull"
        return [Planned(act="fetch", what=f"{waiting:,} events of '{self.text}'", why=why)] if waiting else []

    def behind(self, since: dict[str, Any] | None) -> int:
        """Return how many events of the stream were not taken yet, also those that ``where`` leaves out."""
        if since is None and self._settings.start == "latest":
            return 0
        project, stand = self.here.project, msgspec.convert(since or {"line": ""}, Stand)
        # Open rows first: one that is sealed in between counts twice for a moment, and none is overlooked.
        waiting = project.events.open_rows(self._settings.stream)
        with project.ledger.read() as tx:
            unread = list_unread(tx, self._settings.stream, stand.line, stand.takes)
        return waiting + sum(piece.seal.rows for piece in unread)

    def test(self) -> str:
        every = self._columns(self.here.project)
        columns = self._settings.columns or every
        return f"the stream '{self.text}' has {self.behind({'line': ''}):,} events; of each come {', '.join(columns)}"

    def _columns(self, project: Project) -> dict[str, ColumnType]:
        """Return all columns of the stream, when the settings fit them.

        Raises:
            NotFoundError: there is no such stream.
            InvalidInputError: it has no such column, or a value of ``where`` is not of the column's type.
        """
        columns = project.events.columns(self._settings.stream)
        for column in (*self._settings.columns, *self._settings.where):
            if column not in columns:
                known = ", ".join(f"{name} {kind}" for name, kind in columns.items())
                raise InvalidInputError(
                    f"the event stream '{self.text}' has no column '{column}'. It has: {known}.", column=column
                )
        for column, wanted in self._settings.where.items():
            fitting = _FITTING.get(columns[column], ())
            for value in wanted if isinstance(wanted, list) else [wanted]:
                if type(value) not in fitting:
                    raise InvalidInputError(
                        f"where: the column '{column}' of '{self.text}' is {columns[column]}, and {value!r} is none"
                        f"{'' if fitting else ': bytes cannot be asked for'}.",
                        column=column,
                    )
        return columns


def _stand(since: dict[str, Any] | None, into: Intake) -> Stand:
    return msgspec.convert(since, Stand) if since else Stand(line=new_id(into.now()))


def _within(pieces: Iterable[Piece], most: int) -> Iterable[Piece]:
    """Yield the first seals that have at most so many rows together, and the first whatever it has."""
    rows = 0
    for number, piece in enumerate(pieces):
        rows += piece.seal.rows
        if number and rows > most:
            return
        yield piece


def _bytes_of(project: Project, piece: Piece) -> Path:
    try:
        return project.objects.cached_path(piece.seal.digest)
    except NotFoundError as error:
        if piece.top != piece.seal.id:
            raise indistinct(piece.seal.stream, piece.top) from error
        with project.ledger.read() as tx:
            replaced = tx.value("SELECT replaced_by FROM seals WHERE id = ?", (piece.seal.id,))
        if replaced is None:
            raise
        raise _again(piece.seal.stream) from error  # collected, since another seal took its place


def _again(stream: str) -> ReadAgain:
    return ReadAgain(
        f"events of '{stream}' were gathered, erased or removed while they were pulled, time and again; nothing was "
        "taken. Pull again.",
        stream=stream,
    )


def _condition(column: str, wanted: Wanted | list[Wanted]) -> str:
    values = wanted if isinstance(wanted, list) else [wanted]
    if not values:
        return "false"
    return f"{quote(column)} IN ({', '.join(_value(value) for value in values)})"


def _value(value: Wanted) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return literal(value)
    return f"'{value!r}'::{'DOUBLE' if isinstance(value, float) else 'BIGINT'}"

"""Erasing a subject from a dataset: which rows and files are theirs, and every version without them.

Rows are found in tables (Parquet, CSV, TSV, JSON lines), files by path. A version keeps its id, number and place in
history; its manifest's root is another one afterwards.
"""

from __future__ import annotations

import fnmatch
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from ..duck import connect, exact
from ..durable import crash_point
from ..errors import InvalidInputError
from ..project import Project
from .collecting import walk
from .erasing_tables import (
    HEADLESS,
    READERS,
    SHORTEST,
    SHORTEST_NUMBER,
    cut_out,
    escaped,
    format_of,
    metadata,
    values,
    view,
)
from .manifest import apply_changes, rows_after
from .needles import Needles
from .ranges import Row
from .refs import COLUMNS, require_dataset, version_of
from .table import quote
from .values import Version
from .versions import record_bytes

if TYPE_CHECKING:
    import duckdb

    from ..ledger import Tx, WriteTx

_SHORTEST_KEY = 3
_MOST_NEEDLES = 20_000


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """Whom or what an erasure is about: rows by a column's value or by a condition, files by a pattern of paths.

    ``key`` maps a column to the value that marks the subject's rows; in a CSV or TSV file without a header the column
    is named by its place (``#1`` is the first), and every line then counts as a row. ``where`` is an SQL condition
    over a table's columns; ``path`` a pattern such as ``scans/c42/*``. ``also`` are more texts that name the subject
    elsewhere. A key's value is looked for elsewhere too, unless it is too short to name anybody: 42 may be anything.
    """

    datasets: tuple[str, ...]
    key: dict[str, str] = {}
    where: str = ""
    path: str = ""
    also: tuple[str, ...] = ()


class Touched(msgspec.Struct, frozen=True, kw_only=True):
    """How one file of a version changes: ``new`` is None where it goes. ``rows`` are those erased."""

    old: Row
    new: Row | None
    rows: int


def check_subject(project: Project, subject: Subject) -> None:
    """Raise InvalidInputError unless the subject says which rows or files, of datasets that exist."""
    if not subject.datasets or not (subject.key or subject.where or subject.path):
        raise InvalidInputError("say whom to erase: a dataset, with a key, a condition or a path.")
    with project.ledger.read() as tx:
        for dataset in subject.datasets:
            require_dataset(tx, dataset)


def living_versions(tx: Tx, datasets: Sequence[str]) -> list[Version]:
    """Return the versions of some datasets whose bytes were not collected, oldest first."""
    gone = {row.ref for row in tx.stream("SELECT ref FROM gone WHERE how = 'collected'")}
    marks = ", ".join("?" * len(datasets))
    rows = tx.all(f"SELECT {COLUMNS} FROM versions WHERE dataset IN ({marks}) ORDER BY id", datasets)
    return [version for row in rows if f"version:{(version := version_of(row)).id}" not in gone]


class FileEraser:
    """Finds a subject in files and makes the files without it; each file is looked at once."""

    def __init__(self, project: Project, subject: Subject) -> None:
        self._project = project
        self._subject = subject
        self._seen: dict[tuple[str, str], Touched | None] = {}
        self._columns: set[str] = set()
        self._fits = False
        self._given = {value for value in subject.key.values() if _names_somebody(value)} | set(subject.also)
        self.candidates: set[str] = set(self._given)

    def touched(self, root: str) -> list[Touched]:
        """Return the files of a manifest that hold something of the subject."""
        found = []
        for row in rows_after(self._project.objects, root):
            key = (row.digest, Path(row.path.decode()).suffix)
            if key not in self._seen or self._by_path(row):
                self._seen[key] = self._look(row)
            known = self._seen[key]
            if known is not None:
                new = known.new and Row(row.path, known.new.digest, known.new.size, row.media, known.new.rows)
                found.append(Touched(old=row, new=new, rows=known.rows))
            if self._by_path(row):
                del self._seen[key]
        return found

    def require_columns(self) -> None:
        """Raise InvalidInputError where no table looked at has the columns that the subject is told by."""
        if self._columns and not self._fits:
            asked = ", ".join(f"'{column}'" for column in self._subject.key) or "those of the condition"
            raise InvalidInputError(
                f"no table of {', '.join(self._subject.datasets)} has the columns asked for ({asked}). They have: "
                f"{', '.join(sorted(self._columns)[:50])}.",
                columns=sorted(self._columns)[:1000],
            )

    def _by_path(self, row: Row) -> bool:
        return bool(self._subject.path) and fnmatch.fnmatchcase(row.path.decode(), self._subject.path)

    def _look(self, row: Row) -> Touched | None:
        if self._by_path(row):
            self.candidates.add(row.path.decode())
            return Touched(old=row, new=None, rows=row.rows or 0)
        reader = READERS.get(Path(row.path.decode()).suffix)
        if reader is None or not (self._subject.key or self._subject.where):
            return None
        return self._without_rows(row, reader)

    def _without_rows(self, row: Row, reader: str) -> Touched | None:
        import duckdb

        source, more = self._project.objects.cached_path(row.digest), self._more(reader)
        with connect() as connection, tempfile.TemporaryDirectory(prefix="headwater-erase-") as work:
            try:
                view(connection, source, reader, more)
                theirs = self._condition(connection, reader)
                self._fits = self._fits or bool(theirs)
                count = theirs and connection.execute(f"SELECT count(*) FROM t WHERE {theirs}").fetchall()[0][0]
            except duckdb.Error as error:
                if self._subject.where and "Binder Error" in str(error):
                    return None  # a table without these columns
                raise InvalidInputError(
                    f"the rows of '{row.path.decode()}' cannot be asked for the subject: {error}. Correct the "
                    "condition, or erase the whole file with --path."
                ) from error
            if not count:
                return None
            self.candidates |= values(connection, theirs)
            target = Path(work) / "left"
            if reader == "read_parquet" or not cut_out(connection, source, reader, theirs, target, more):
                how = format_of(row, more)
                if reader == "read_parquet":
                    how += metadata(connection, source, Needles(self._given))
                rest = exact(connection, f"SELECT * FROM t WHERE NOT coalesce({theirs}, false)")
                connection.execute(f"COPY ({rest}) TO '{target}' ({how})")
            digest, size = self._project.objects.put_file(target)
            left = None if row.rows is None else row.rows - count
        return Touched(old=row, new=Row(row.path, digest, size, row.media, left), rows=count)

    def _more(self, reader: str) -> str:
        return HEADLESS if reader == "read_csv" and any(map(_place_of, self._subject.key)) else ""

    def _condition(self, connection: duckdb.DuckDBPyConnection, reader: str) -> str:
        columns = [name for name, *_ in connection.execute("DESCRIBE t").fetchall()]
        self._columns |= set(columns)
        if self._subject.where:
            connection.execute(f"SELECT 1 FROM t WHERE ({self._subject.where}) LIMIT 0")  # whether it has the columns
        tests = [f"({self._subject.where})"] if self._subject.where else []
        for key, value in self._subject.key.items():
            place = _place_of(key)
            column = columns[place - 1] if reader == "read_csv" and 0 < place <= len(columns) else key
            if column not in columns:
                return ""
            tests.append(f"{quote(column)}::VARCHAR = '{escaped(value)}'")
        return " AND ".join(tests)

    def needles(self, roots: Iterable[str]) -> list[str]:
        """Return the texts that only the subject's rows hold, over the manifests ``roots``: what to look for elsewhere.

        A value that some other row holds too (a city, a date) names nobody and is left out; what was given is not.
        """
        given = self._given
        guessed = {each for each in self.candidates - given if len(each) >= SHORTEST}
        for touched in {t.old.digest: t for root in roots for t in self.touched(root)}.values():
            if touched.new is not None and guessed:
                guessed -= self._held(touched.new, guessed)
        for digest, path in self._untouched(roots):
            if guessed:
                guessed -= self._held(Row(path, digest, 0, "", None), guessed)
        if len(guessed) > _MOST_NEEDLES:
            raise InvalidInputError(
                f"{len(guessed):,} different values are only in the rows to erase: that is no one subject. Erase a "
                "smaller part at a time, or remove the files with --path."
            )
        return sorted(given | guessed)

    def _untouched(self, roots: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        seen: set[str] = set()
        for root in roots:
            for row in rows_after(self._project.objects, root):
                suffix = Path(row.path.decode()).suffix
                if row.digest not in seen and suffix in READERS and self._seen.get((row.digest, suffix)) is None:
                    seen.add(row.digest)
                    yield row.digest, row.path

    def _held(self, row: Row, texts: set[str]) -> set[str]:
        """Return those of the texts that a table's rows hold."""
        reader = READERS.get(Path(row.path.decode()).suffix)
        if reader is None:
            return set()
        source = self._project.objects.cached_path(row.digest)
        with connect() as connection:
            view(connection, source, reader, self._more(reader))
            return values(connection, "true") & texts


def _place_of(key: str) -> int:
    """Return the place of a column that is named by it (``#1`` is the first), 0 for a name."""
    return int(key[1:]) if key[:1] == "#" and key[1:].isdigit() else 0


def _names_somebody(text: str) -> bool:
    """Tell whether a key's value is long enough to name one subject wherever it stands."""
    return len(text) >= (SHORTEST_NUMBER if text.isdigit() else _SHORTEST_KEY)


def rewritten(project: Project, version: Version, touched: Sequence[Touched]) -> Version:
    """Return a version with other files, its manifest and record durable; no fact says so yet."""
    changes: Mapping[bytes, Row | None] = {each.old.path: each.new for each in touched}
    with project.objects.batch() as batch:
        root = apply_changes(project.objects, batch.put, version.root, changes)
    made = msgspec.structs.replace(
        version,
        root=root.digest,
        files=root.files,
        bytes=root.bytes,
        rows=root.rows if root.counted else None,
    )
    return msgspec.structs.replace(made, record=project.objects.put(record_bytes(made)))


def erase_versions(project: Project, erasure: str, eraser: FileEraser, datasets: Sequence[str]) -> tuple[int, set[str]]:
    """Rewrite every version that holds something of the subject; return how many, and the digests they no longer name.

    A version that is recorded meanwhile is looked at too: the facts change only when none was.
    """
    while True:
        with project.ledger.read() as tx:
            versions = living_versions(tx, datasets)
        before: dict[str, Version] = {each.id: each for each in versions}
        after: dict[str, tuple[Version, int]] = {}
        for version in versions:
            touched = eraser.touched(version.root)
            if touched:
                after[version.id] = (rewritten(project, version, touched), len(touched))
        crash_point("erase.versions.durable")
        with project.ledger.write() as tx:
            if {each.id: each.root for each in living_versions(tx, datasets)} != {
                each.id: each.root for each in versions
            }:
                continue
            for made, files in after.values():
                _replace(tx, erasure, made, files)
            break
    crash_point("erase.versions.recorded")
    kept: set[str] = set()
    seen: set[str] = set()
    for version in versions:
        current = after[version.id][0] if version.id in after else version
        kept.add(current.record)
        kept.update(walk(project.objects, current.root, seen))
    old: set[str] = set()
    for identifier in after:
        old.add(before[identifier].record)
        old.update(walk(project.objects, before[identifier].root, set()))
    return len(after), old - kept


def _replace(tx: WriteTx, erasure: str, made: Version, files: int) -> None:
    tx.execute(
        "UPDATE versions SET root = ?, record = ?, files = ?, bytes = ?, rows = ? WHERE id = ?",
        (made.root, made.record, made.files, made.bytes, made.rows, made.id),
    )
    tx.execute(
        "INSERT INTO erased_versions (version, erasure, at, files) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
        (made.id, erasure, tx.now, files),
    )
    tx.announce("erasure", f"version:{made.id}")


class Effect(msgspec.Struct, frozen=True, kw_only=True):
    """What an erasure does to one place: ``rewritten``, ``dropped``, or ``left`` with the reason and what to do."""

    store: str
    what: str
    how: str
    why: str = ""


@dataclass
class Erasing:
    """An erasure as the rooms see it. ``holding`` are the digests of objects that hold something of the subject.

    ``tombstone`` names the object that stands where another one stood; ``said`` is what readers are told.
    """

    project: Any
    needles: Needles
    holding: frozenset[str]
    tombstone: tuple[str, int]
    said: str

    def gone(self, tx: WriteTx, ref: str) -> None:
        """Record that what a ref names was erased."""
        tx.execute(
            "INSERT INTO gone (ref, at, how, why) VALUES (?, ?, 'erased', ?) ON CONFLICT (ref) DO UPDATE SET "
            "at = excluded.at, how = excluded.how, why = excluded.why",
            (ref, tx.now, self.said),
        )


ERASERS: dict[str, Callable[[Erasing, bool], Iterator[Effect]]] = {}


Act = Callable[[Erasing, bool], Iterator[Effect]]


def eraser(name: str) -> Callable[[Act], Act]:
    """Register how a store of derived bytes finds a subject and erases it.

    The function is called with the erasure and whether to act; it yields what it does, or would do.
    """

    def register(act: Act) -> Act:
        ERASERS[name] = act
        return act

    return register


def rewrite_text(erasing: Erasing, column: str, said: str) -> None:
    """Take the subject out of a text of versions (message, source, ...), fact and record together."""
    with erasing.project.ledger.read() as tx:
        rows = tx.all(f'SELECT {COLUMNS} FROM versions WHERE "{column}" = ? ORDER BY id', (said,))
    left = erasing.needles.without(said)
    with erasing.project.objects.batch() as batch:
        records = {
            row.id: batch.put(record_bytes(msgspec.structs.replace(version_of(row), **{column: left}))) for row in rows
        }
    with erasing.project.ledger.write() as tx:
        for identifier, record in records.items():
            tx.execute(
                f'UPDATE versions SET "{column}" = ?, record = ? WHERE id = ? AND "{column}" = ?',
                (left, record, identifier, said),
            )

"""The source of kind ``sql``: a query or a table of a database, as Parquet."""

from __future__ import annotations

import tempfile
import urllib.parse
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import msgspec

from ..errors import InvalidInputError
from ..lake import Entry
from .intake import Intake
from .reading_sql import Reader, Reading
from .secrets import PREFIX, bare_url, resolve_within
from .source import Pulled, Source, read_settings
from .table_changes import Overlap, Since, TableChanges
from .values import Planned


class SqlSettings(msgspec.Struct, kw_only=True):
    """What ``kind = "sql"`` takes.

    ``url``: ``env:NAME``, or a URL with ``{env:NAME}`` for its password. Either ``query`` (one SELECT) or ``table``
    (``schema.table``). ``mode``: ``mirror`` writes the whole result anew (the default), ``append`` adds the rows that
    are new by ``cursor`` as a further part file, ``upsert`` puts them into one file by ``key``. ``overlap_s`` reads
    again what is at most so much older than the newest value of the cursor, for rows that are committed late. ``path``
    is the file's name in the dataset, without an ending. ``timeout_s`` bounds one statement.
    """

    url: str
    query: str = ""
    table: str = ""
    mode: Literal["mirror", "append", "upsert"] = "mirror"
    cursor: str = ""
    key: str | list[str] = msgspec.field(default_factory=list)
    overlap_s: float = 0
    path: str = ""
    timeout_s: float = 3600


class SqlSource(Source):
    """A query or a table: through ADBC from Postgres and SQLite, through SQLAlchemy from what else it knows."""

    kind: ClassVar[str] = "sql"

    def __init__(self, settings: SqlSettings, root: Path) -> None:
        self._settings = settings
        self._root = root
        self._key = [settings.key] if isinstance(settings.key, str) else list(settings.key)

    @classmethod
    def from_settings(cls, settings: dict[str, Any], *, root: Path) -> Self:
        given = read_settings(cls.kind, settings, SqlSettings)
        _require_usable(given)
        return cls(given, root)

    @property
    def text(self) -> str:
        what = self._settings.table or " ".join(self._settings.query.split())[:120]
        return f"{bare_url(self._settings.url)} {what}"

    def pull(self, since: dict[str, Any] | None, into: Intake) -> Pulled:
        with tempfile.TemporaryDirectory(dir=into.folder) as folder:
            return self._pull(Since.of(since, self._settings.cursor), into, Path(folder))

    def _pull(self, since: Since, into: Intake, folder: Path) -> Pulled:
        settings, path = self._settings, self._path
        raw, ready = folder / "raw.parquet", folder / "ready.parquet"
        reader = self._reader()
        if settings.mode == "upsert" and path not in into.current:
            since = Since.of(None, settings.cursor)  # the file is not there: it is made of all rows
        query = settings.query.strip().rstrip(";") or f"SELECT * FROM {reader.quoted(settings.table)}"
        started_at = into.now()
        decimals = reader.write(Reading(query, settings.cursor or None, since.mark), raw)
        with TableChanges(raw, decimals) as changes:
            read = changes.rows
            after = self._overlap(changes)
            if settings.mode == "append":
                rows = changes.write_new(ready, since)
            elif settings.mode == "upsert":
                there = into.project.objects.cached_path(into.current[path].digest) if path in into.current else None
                rows = changes.write_merged(ready, there, self._key, settings.cursor)
            else:
                rows = changes.write(ready, self._key)
        proof = {"from": self.text, "read_at": started_at, "mode": settings.mode, "rows_read": read}
        if since.mark is not None:
            proof["since"] = since.mark.text
        return self._put(into, ready, rows, since, after, proof)

    def _overlap(self, changes: TableChanges) -> Overlap | None:
        given = self._settings
        if not given.cursor:
            return None
        return changes.overlap(given.cursor, given.overlap_s, remember=given.mode == "append")

    def _put(
        self, into: Intake, ready: Path, rows: int, since: Since, after: Overlap | None, proof: dict[str, Any]
    ) -> Pulled:
        path, parts = self._path, since.parts
        if self._settings.mode == "append":
            if rows:
                parts += 1
                path = f"{path.removesuffix('.parquet')}/part-{parts:08d}.parquet"
                into.put_file(path, ready, proof=proof)
            elif after is None and since.mark is None:
                into.put_file(f"{path.removesuffix('.parquet')}/part-{0:08d}.parquet", ready, proof=proof)
        else:
            into.put_file(path, ready, proof=proof)
        note = f"{rows:,} new rows" if self._settings.mode == "append" else f"{rows:,} rows"
        return Pulled(state=since.next(after, parts), note=note)

    @property
    def _path(self) -> str:
        name = self._settings.path or self._settings.table.replace(".", "/") or "rows"
        return f"{name.removesuffix('.parquet')}.parquet"

    def plan(self, since: dict[str, Any] | None, current: Mapping[str, Entry]) -> list[Planned]:
        mark = Since.of(since, self._settings.cursor).mark
        why = f"rows whose {self._settings.cursor} is {mark.text} or later" if mark else "every row"
        return [Planned(act="ask", what=self.text, why=why)]

    def test(self) -> str:
        return f"{self._reader().ping()} answers"

    def _reader(self) -> Reader:
        """Return the reader for the URL, whose secret is taken from the environment now."""
        settings = self._settings
        url, where = resolve_within(settings.url), f"the database of {bare_url(settings.url)}"
        scheme, _, rest = url.partition("://")
        if scheme in ("postgresql", "postgres"):
            from .adbc_reading import PostgresReader

            return PostgresReader(url, where, settings.timeout_s)
        if scheme == "sqlite" and rest.startswith("/") and "?" not in rest and len(rest) > 1:
            from .adbc_reading import SqliteReader

            return SqliteReader(self._root / urllib.parse.unquote(rest[1:]), where)
        if "://" not in url:
            raise InvalidInputError(
                f"the URL of {where} has no '://'. Write it as dialect://user:password@host:port/database."
            )
        from .sqlalchemy_reading import SqlalchemyReader

        return SqlalchemyReader(url, where, settings.timeout_s)


def _require_usable(given: SqlSettings) -> None:
    if bool(given.query.strip()) == bool(given.table):
        raise InvalidInputError("a source of kind 'sql' takes either a 'query' or a 'table'.")
    if given.mode == "append" and not given.cursor:
        raise InvalidInputError("mode 'append' needs 'cursor': the column that tells which rows are new.")
    if given.mode == "upsert" and not given.key:
        raise InvalidInputError("mode 'upsert' needs 'key': the column or columns that name a row.")
    if given.mode == "mirror" and given.cursor:
        raise InvalidInputError(
            "'cursor' asks for new rows only, and mode 'mirror' writes all of them: give mode = \"append\" or "
            '"upsert".'
        )
    if given.overlap_s < 0 or given.timeout_s <= 0:
        raise InvalidInputError("'overlap_s' cannot be negative, and 'timeout_s' is more than 0.")
    if not given.url.startswith(PREFIX) and _has_password(given.url):
        raise InvalidInputError(
            "the URL holds a password, which would be kept with the project: put the URL into an environment variable "
            'and write url = "env:NAME", or {env:NAME} in its place.'
        )


def _has_password(url: str) -> bool:
    try:
        parts = urllib.parse.urlsplit(url)
        query = urllib.parse.parse_qs(parts.query)
    except ValueError:
        return True
    given = [parts.password or "", *query.get("password", []), *query.get("sslpassword", [])]
    return any(each and not each.startswith("{" + PREFIX) for each in given)

"""What checks look at: the version, the files new in it, and the version they are compared with, as views."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from ..errors import HeadwaterError
from ..lake import Entry, Version, iter_files
from ..lake.manifest import differences
from ..lake.media import PARQUET, table_format
from ..lake.scanning import open_views, schema_of
from ..lake.table import Table
from ..project import Project
from .sqltext import as_json

if TYPE_CHECKING:
    import duckdb

SAMPLE = 10
VIEWS = {"all": "data", "new": "fresh"}


class Scene:
    """The tables of a version beside those of its baseline, read when first asked for.

    The views are ``data`` (all), ``fresh`` (files that the baseline lacks or has otherwise) and ``baseline``.
    """

    def __init__(self, project: Project, version: Version, baseline: Version | None) -> None:
        self.project = project
        self.version = version
        self.baseline = baseline
        self.now = project.clock()

    @cached_property
    def tables(self) -> list[Entry]:
        """The tables among the version's files."""
        return [e for e in iter_files(self.project, self.version.id) if table_format(e)]

    @cached_property
    def fresh(self) -> list[Entry]:
        """The tables that the baseline does not have, or has with other bytes; all where there is no baseline."""
        if self.baseline is None:
            return self.tables
        found = differences(self.project.objects, self.baseline.root, self.version.root)
        changed = {path.decode() for path, _, new in found if new}
        return [e for e in self.tables if e.path in changed]

    @cached_property
    def baseline_tables(self) -> list[Entry]:
        """The tables of the baseline."""
        if self.baseline is None:
            return []
        return [e for e in iter_files(self.project, self.baseline.id) if table_format(e)]

    def entries(self, view: str) -> list[Entry]:
        """Return the files that a view is over."""
        return {"data": self.tables, "fresh": self.fresh, "baseline": self.baseline_tables}[view]

    @cached_property
    def connection(self) -> duckdb.DuckDBPyConnection:
        """A connection with the views; those without files are left out."""
        views = {name: self.entries(name) for name in ("data", "fresh", "baseline")}
        return open_views(self.project, {name: entries for name, entries in views.items() if entries})

    def types(self, view: str) -> dict[str, str]:
        """Return the columns of a view and their types, {} where it has no files."""
        return self._types.setdefault(view, self._described(view))

    @cached_property
    def _types(self) -> dict[str, dict[str, str]]:
        return {}

    def _described(self, view: str) -> dict[str, str]:
        return Table(self.connection, f"SELECT * FROM {view}").types if self.entries(view) else {}

    def measure(self, view: str, aggregates: list[str]) -> tuple[Any, ...]:
        """Return the values of aggregates over a view, in one scan."""
        if not aggregates:
            return ()
        return Table(self.connection, f"SELECT {', '.join(_named(aggregates))} FROM {view}").fetchall()[0]

    def sample(self, query: str) -> tuple[dict[str, Any], ...]:
        """Return up to ten rows of a query as JSON can hold them; none where the query cannot be answered."""
        try:
            rows = Table(self.connection, f"SELECT * FROM ({query}) LIMIT {SAMPLE}").to_dicts()
        except HeadwaterError:
            return ()
        return tuple({name: as_json(value) for name, value in row.items()} for row in rows)

    def layouts(self, entries: list[Entry]) -> list[tuple[dict[str, str], list[Entry]]]:
        """Return the different sets of columns among files, each with its files; most files first."""
        groups: dict[str, list[Entry]] = {}
        parquet = {e.digest for e in entries if (e.media or PARQUET) == PARQUET and e.path.endswith(".parquet")}
        marks = self._marks(parquet)
        for entry in entries:
            groups.setdefault(marks.get(entry.digest, entry.digest), []).append(entry)
        found: dict[str, tuple[dict[str, str], list[Entry]]] = {}
        for group in groups.values():
            columns = schema_of(self.project, group[:1])
            found.setdefault(repr(sorted(columns.items())), (columns, []))[1].extend(group)
        return sorted(found.values(), key=lambda pair: -len(pair[1]))

    def _marks(self, digests: set[str]) -> dict[str, str]:
        """Return a mark per Parquet file that is equal where the columns are: footers are read in one query."""
        if not digests:
            return {}
        local = {str(self.project.objects.cached_path(digest)): digest for digest in digests}
        names = ", ".join("'" + path.replace("'", "''") + "'" for path in local)
        rows = Table(
            self.connection,
            "SELECT file_name, md5(string_agg("
            "concat_ws(':', name, type, converted_type, logical_type, duckdb_type), '|' ORDER BY column_id))"
            f" FROM parquet_schema([{names}]) WHERE column_id > 0 GROUP BY file_name",
        ).fetchall()
        return {local[name]: mark for name, mark in rows}


def _named(aggregates: list[str]) -> list[str]:
    return [f"{sql} AS m{place}" for place, sql in enumerate(aggregates)]

"""``hw sql``: one SELECT over the project's event streams and the tables of its datasets."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec

from headwater.errors import InvalidInputError
from headwater.events import STREAMS
from headwater.lake import iter_files, list_datasets, resolve
from headwater.lake.media import PARQUET
from headwater.operation import operation
from headwater.project import Project

if TYPE_CHECKING:
    from pathlib import Path


class QueryAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Rows of a query, in its order; ``truncated`` when there were more than asked for."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    truncated: bool = False


@operation("sql.query", needs="data:read")
def query_project(project: Project, sql: str, *, limit: int = 1000) -> QueryAnswer:
    """Return the rows of one SELECT in DuckDB's dialect.

    Relations are the event streams (metrics, logs, predictions, outcomes, …) and each dataset under its name, which
    is what ``main`` points to; ``"flights@v3"`` in double quotes is a version. The query reads these and nothing
    else, within a minute's work and bounded memory.

    Raises:
        InvalidInputError: it is not one SELECT, or names something else.
    """
    words = set(re.findall(r"[A-Za-z_][\w./-]*", sql)) | set(re.findall(r'"([^"]+)"', sql))
    streams = sorted(words & set(STREAMS))
    tables: dict[str, list[Path]] = {}
    for name in sorted(words - set(streams)):
        paths = _tables(project, name)
        if paths:
            tables[name] = paths
    bounded = f"SELECT * FROM ({sql.strip().rstrip(';')}) LIMIT {int(limit) + 1}"
    result = project.events.query(bounded, streams=streams, tables=tables, guarded=True)
    rows = tuple(result.fetchall())
    return QueryAnswer(columns=tuple(result.columns), rows=rows[:limit], truncated=len(rows) > limit)


def _tables(project: Project, name: str) -> list[Path]:
    """Return the Parquet files that a dataset or a version of one holds; [] when the word is no such name."""
    dataset = name.partition("@")[0]
    if dataset not in {each.name for each in list_datasets(project)}:
        return []
    version = resolve(project, name)
    entries = [entry for entry in iter_files(project, version.id) if entry.media == PARQUET]
    if not entries:
        raise InvalidInputError(
            f"{version.ref} has no Parquet file, so it is no relation. Read it with 'hw data read'."
        )
    return [project.objects.cached_path(entry.digest) for entry in entries]

"""Reading and adding data of the current project by ref."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headwater import lake
from headwater.project import Project, current_project

if TYPE_CHECKING:
    from headwater.check import Publication
    from headwater.lake import Table


def data(
    ref: str,
    *,
    columns: Sequence[str] | None = None,
    where: str | None = None,
    sql: str | None = None,
    prefix: str = "",
    project: Project | None = None,
) -> Table:
    """Return the rows that a ref names: ``hw.data("flights@main").to_pandas()``.

    Inside a step, what was read becomes part of the step's memory and lineage.

    Raises:
        NotFoundError: the ref names nothing.
    """
    return lake.scan(project or current_project(), ref, columns=columns, where=where, sql=sql, prefix=prefix)


def files(ref: str, folder: str | Path, *, project: Project | None = None) -> Path:
    """Put the files that a ref names into a folder, read-only, and return the folder."""
    place = Path(folder)
    lake.materialise(project or current_project(), ref, place)
    return place


def commit(
    dataset: str, tables: dict[str, Any], *, message: str = "", source: str = "", project: Project | None = None
) -> Publication:
    """Add tables (frames by name) to a dataset, run its checks, and move ``main`` when they pass."""
    from headwater.check import publish_tables

    return publish_tables(project or current_project(), dataset, tables, message=message, source=source)

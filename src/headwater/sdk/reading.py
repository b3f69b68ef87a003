"""Reading, finding and adding data of the current project by ref."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headwater import lake
from headwater.errors import HeadwaterError, NotFoundError
from headwater.project import Project, current_project

from .showing import catalogue_html, catalogue_text, dataset_html, dataset_text, found_html, found_text

if TYPE_CHECKING:
    from headwater.check import Publication
    from headwater.flow.items import DataFile, Partition, RowBatch
    from headwater.lake import Dataset, SearchAnswer, Table


class Data:
    """The data of the current project: ``hw.data("flights@main")`` returns the rows that a ref names, as a Table.

    ``columns`` and ``where`` (an SQL condition) choose what is read, ``sql`` is a whole query over the view ``data``,
    ``prefix`` takes only files whose paths begin so. Inside a step, what was read becomes part of the step's memory
    and lineage. ``hw.data.list()`` and ``hw.data.search("temp")`` find datasets; in a notebook ``hw.data.<tab>``
    offers them, and ``hw.data["<tab>`` their refs.
    """

    def __call__(
        self,
        ref: str,
        *,
        columns: Sequence[str] | None = None,
        where: str | None = None,
        sql: str | None = None,
        prefix: str = "",
        project: Project | None = None,
    ) -> Table:
        """Return the rows that a ref names: ``hw.data("flights@main").to_pandas()``.

        Inside a step, what was read becomes part of the step's memory and lineage. Elsewhere it is counted in
        ``hw data usage``.

        Raises:
            NotFoundError: the ref names nothing.
        """
        chosen = project or current_project()
        table = lake.scan(chosen, ref, columns=columns, where=where, sql=sql, prefix=prefix)
        if table.scanned is not None:
            _note(chosen, table.scanned.version, "table")
        return table

    def __getitem__(self, ref: str) -> Table:
        return self(ref)

    def files(self, ref: str, *, under: str = "", project: Project | None = None) -> list[DataFile]:
        """Return the files of a version, those below ``under``, as items: ``step.map(hw.data.files("images@main"))``.

        A step gets each file by content: when a new version arrives only new and changed files are computed. Raises
        NotFoundError where the ref names nothing.
        """
        from headwater.flow.selecting import list_items

        return list_items(project or current_project(), ref, under)

    def partitions(
        self, ref: str, *, by: str | None = None, under: str = "", project: Project | None = None
    ) -> list[Partition]:
        """Return a version in partitions as items: its folders ``NAME=VALUE``, or the rows of each value of ``by``.

        Raises:
            InvalidInputError: there is no such folder, or no such column.
        """
        from headwater.flow.selecting import list_partitions

        return list_partitions(project or current_project(), ref, by=by, under=under)

    def batches(
        self,
        ref: str,
        rows: int = 10_000,
        *,
        columns: Sequence[str] | None = None,
        under: str = "",
        project: Project | None = None,
    ) -> list[RowBatch]:
        """Return the rows of a version's tables in batches of about ``rows``, as items.

        The rows decide where a batch ends, so that a row put in changes its own batch and not all that follow: a
        batch has a quarter to four times as many rows as asked for. Raises InvalidInputError where there is no table.
        """
        from headwater.flow.selecting import list_batches

        return list_batches(project or current_project(), ref, rows, columns=columns, under=under)

    def search(self, words: str, *, limit: int = 20, project: Project | None = None) -> Found:
        """Return the datasets in which each word stands: names, descriptions, columns, types, tags, sources."""
        return Found(lake.search(project or current_project(), words, limit))

    def list(self, *, project: Project | None = None) -> Catalogue:
        """Return the datasets, which show themselves as a table."""
        return Catalogue(lake.list_datasets(project or current_project(), limit=10_000))

    def __getattr__(self, name: str) -> OneDataset:
        if name.startswith("_"):
            raise AttributeError(f"hw.data has no attribute '{name}'")
        try:
            return OneDataset(lake.describe_dataset(current_project(), name))
        except NotFoundError as error:
            raise AttributeError(str(error)) from error

    def __dir__(self) -> Sequence[str]:
        own = ("batches", "files", "list", "partitions", "search")
        return [*own, *(name for name in _names("") if name.isidentifier())]

    def _ipython_key_completions_(self) -> Sequence[str]:
        names = _names("")
        return [*names, *(ref for name in names[:100] for ref in _names(f"{name}@"))]

    def __repr__(self) -> str:
        return "hw.data: hw.data('DATASET@VERSION') reads; .list() and .search(WORDS) find; .DATASET tells of one"


class OneDataset:
    """One dataset: what is known of it, and its versions by name (``hw.data.flights["v3"]``)."""

    def __init__(self, about: Dataset) -> None:
        self.about = about

    def __call__(self, version: str = "main", **chosen: Any) -> Table:
        """Return the rows of a version; ``chosen`` are those of ``hw.data``: columns, where, sql, prefix."""
        return data(f"{self.about.name}@{version}", **chosen)

    def __getitem__(self, version: str) -> Table:
        return self(version)

    def _ipython_key_completions_(self) -> list[str]:
        return [ref.partition("@")[2] for ref in _names(f"{self.about.name}@")]

    def __repr__(self) -> str:
        return dataset_text(self.about, self._columns())

    def _repr_html_(self) -> str:
        return dataset_html(self.about, self._columns())

    def _columns(self) -> tuple[lake.Column, ...]:
        newest = self.about.head or self.about.latest
        return lake.list_columns(current_project(), newest.id) if newest else ()


class Catalogue(list["Dataset"]):
    """Datasets in a list, which shows itself as a table."""

    def __repr__(self) -> str:
        return catalogue_text(self)

    def _repr_html_(self) -> str:
        return catalogue_html(self)


class Found(list["lake.Found"]):
    """What a search found in a list, best first, which shows itself as a table; ``unread`` as in the answer."""

    def __init__(self, answer: SearchAnswer) -> None:
        super().__init__(answer.found)
        self.unread = answer.unread

    def __repr__(self) -> str:
        return found_text(self)

    def _repr_html_(self) -> str:
        return found_html(self)


data = Data()


def files(ref: str, folder: str | Path, *, project: Project | None = None) -> Path:
    """Put the files that a ref names into a folder, read-only, and return the folder."""
    place = Path(folder)
    chosen = project or current_project()
    lake.materialise(chosen, ref, place)
    _note(chosen, lake.resolve(chosen, ref), "files")
    return place


def commit(
    dataset: str, tables: dict[str, Any], *, message: str = "", source: str = "", project: Project | None = None
) -> Publication:
    """Add tables (frames by name) to a dataset, run its checks, and move ``main`` when they pass."""
    from headwater.check import publish_tables

    return publish_tables(project or current_project(), dataset, tables, message=message, source=source)


def _note(project: Project, version: lake.Version, way: str) -> None:
    """Count a read, unless a step listens: what steps read is in the ledger's edges."""
    from headwater.lake.reading import reading

    if not reading.get():
        lake.note_read(project, version, way)


def _names(beginning: str) -> list[str]:
    """Return refs for completion; none where there is no project, for a tab must not fail."""
    try:
        return lake.ref_names(current_project(), beginning)
    except (HeadwaterError, OSError):
        return []

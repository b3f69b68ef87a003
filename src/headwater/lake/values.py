"""What the lake speaks in: entries, versions, branches, tags and what differs between two versions."""

from __future__ import annotations

import msgspec


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One file of a version: where it stands, the digest of its bytes, and what is known of them.

    ``path`` is relative, parts joined by ``/``. ``size`` is in bytes. ``rows`` is known for tables only.
    """

    path: str
    digest: str
    size: int
    media: str = ""
    rows: int | None = None


class Version(msgspec.Struct, frozen=True, kw_only=True):
    """An immutable state of a dataset.

    ``number`` counts within this project's dataset (``v3``); what travels is ``id``. ``root`` is the digest of the
    manifest's root. ``rows`` sums the files whose rows are known, None where none is. ``changed`` is False only in
    the answer to a commit that would have changed nothing: the version is then the one it started from.
    """

    id: str
    dataset: str
    number: int
    parents: tuple[str, ...]
    root: str
    message: str
    author: str
    source: str
    created_at: int
    files: int
    bytes: int
    rows: int | None = None
    produced_by: str | None = None
    inputs: tuple[str, ...] = ()
    record: str = ""
    changed: bool = True

    @property
    def ref(self) -> str:
        """The text that names this version everywhere in this project: ``flights@v3``."""
        return f"{self.dataset}@v{self.number}"


class Branch(msgspec.Struct, frozen=True, kw_only=True):
    """A name that moves: the version it points to, and whether moving it takes a passing verdict."""

    dataset: str
    name: str
    version: str
    number: int
    protected: bool


class Tag(msgspec.Struct, frozen=True, kw_only=True):
    """A name that does not move."""

    dataset: str
    name: str
    version: str
    number: int


class Dataset(msgspec.Struct, frozen=True, kw_only=True):
    """A named collection of files. ``latest`` is the newest version, published or not; ``head`` that of ``main``."""

    name: str
    description: str
    created_at: int
    created_by: str
    versions: int
    latest: Version | None
    head: Version | None
    branches: tuple[Branch, ...]
    tags: tuple[Tag, ...] = ()


class FilePage(msgspec.Struct, frozen=True, kw_only=True):
    """Some files of a version in the order of their paths' bytes; ``after`` asks for the next page, None at the end.

    ``folders`` is filled when a single folder was asked for.
    """

    version: str
    files: tuple[Entry, ...]
    after: str | None
    folders: tuple[str, ...] = ()


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One path that both versions have, with other bytes (or another media type)."""

    path: str
    before: Entry
    after: Entry


class ColumnChange(msgspec.Struct, frozen=True, kw_only=True):
    """A column that came (``before`` None), went (``after`` None) or changed its type (DuckDB's names of types)."""

    column: str
    before: str | None
    after: str | None


class Diff(msgspec.Struct, frozen=True, kw_only=True):
    """What differs between versions ``a`` and ``b``, paths in order.

    The lists hold at most the asked number of entries each; the counts are of all. ``columns`` compares the tables
    among the files that differ, ``rows_a`` and ``rows_b`` are of the whole versions.
    """

    a: Version
    b: Version
    added: tuple[Entry, ...]
    removed: tuple[Entry, ...]
    changed: tuple[Change, ...]
    added_count: int
    removed_count: int
    changed_count: int
    rows_a: int | None
    rows_b: int | None
    columns: tuple[ColumnChange, ...] = ()

    @property
    def empty(self) -> bool:
        """Whether the two versions hold the same files."""
        return not (self.added_count or self.removed_count or self.changed_count)

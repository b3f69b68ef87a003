"""What differs between two versions: files, and for tables rows and columns."""

from __future__ import annotations

from ..errors import InvalidInputError
from ..operation import operation
from ..project import Project
from .files import entry_of, iter_files
from .manifest import differences
from .media import table_format
from .refs import find_version
from .values import Change, ColumnChange, Diff, Entry, Version


@operation("data.diff", needs="data:read")
def diff(project: Project, a: str, b: str, limit: int = 1000) -> Diff:
    """Return what differs from version ``a`` to version ``b`` (refs); at most ``limit`` files of each kind are listed.

    Ranges of files that both versions share are not read. Columns are compared over the tables that differ.

    Raises:
        NotFoundError: a ref names nothing.
    """
    if not 0 <= limit <= 100_000:
        raise InvalidInputError(f"a diff lists 0 to 100,000 files of each kind, not {limit}.", limit=limit)
    with project.ledger.read() as tx:
        before, after = find_version(tx, a), find_version(tx, b)
    added: list[Entry] = []
    removed: list[Entry] = []
    changed: list[Change] = []
    counts = [0, 0, 0]
    for path, old, new in differences(project.objects, before.root, after.root):
        if old is None and new is not None:
            counts[0] += 1
            if len(added) < limit:
                added.append(entry_of(new))
        elif new is None and old is not None:
            counts[1] += 1
            if len(removed) < limit:
                removed.append(entry_of(old))
        elif old is not None and new is not None:
            counts[2] += 1
            if len(changed) < limit:
                changed.append(Change(path=path.decode(), before=entry_of(old), after=entry_of(new)))
    return Diff(
        a=before,
        b=after,
        added=tuple(added),
        removed=tuple(removed),
        changed=tuple(changed),
        added_count=counts[0],
        removed_count=counts[1],
        changed_count=counts[2],
        rows_a=_rows(project, before),
        rows_b=_rows(project, after),
        columns=_columns(
            project, before, [*removed, *(c.before for c in changed)], [*added, *(c.after for c in changed)]
        ),
    )


def _rows(project: Project, version: Version) -> int | None:
    """Return the rows of a version's tables; where they were not recorded, only small versions are counted."""
    if version.rows is not None or version.files > 1000:
        return version.rows
    from .scanning import count_rows

    return count_rows(project, version)


def _columns(project: Project, a: Version, only_a: list[Entry], only_b: list[Entry]) -> tuple[ColumnChange, ...]:
    """Return the columns that came, went or changed type among the tables that differ."""
    if not any(table_format(entry) for entry in only_b):
        return ()
    from .scanning import schema_of

    old = schema_of(project, only_a or _first_table(project, a))
    new = schema_of(project, only_b)
    if not old or not new:
        return ()
    names = [*old, *(name for name in new if name not in old)]
    return tuple(
        ColumnChange(column=name, before=old.get(name), after=new.get(name))
        for name in names
        if old.get(name) != new.get(name)
    )


def _first_table(project: Project, version: Version) -> list[Entry]:
    """Return the first table of a version: what new files are compared with where none was replaced."""
    return [e for _, e in zip(range(1), (e for e in iter_files(project, version.id) if table_format(e)), strict=False)]

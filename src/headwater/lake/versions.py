"""Versions: committing changes, and history."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

from ..canonical import encode
from ..durable import crash_point
from ..errors import ConflictError, InvalidInputError, NotFoundError
from ..ids import new_id
from ..ledger.packs import count_drops
from ..operation import operation
from ..project import Project
from .catalogue import with_columns
from .collecting import require_kept
from .manifest import apply_changes, find_row
from .names import check_dataset_name, first_few, path_bytes
from .ranges import Reference, Row
from .refs import MAIN, find_version, get_version, require_dataset, versions_where
from .values import Entry, Version

if TYPE_CHECKING:
    from ..ledger import WriteTx
    from ..objects import ObjectStore

RECORD_FORMAT = "headwater.version/1"
_DIGEST = re.compile("[0-9a-f]{64}")


@operation("data.commit", needs="data:write")
def commit(
    project: Project,
    dataset: str,
    *,
    put: Sequence[Entry] = (),
    remove: Sequence[str] = (),
    base: str | None = None,
    message: str = "",
    source: str = "",
    produced_by: str | None = None,
    inputs: Sequence[str] = (),
    allow_empty: bool = False,
) -> Version:
    """Return the version that ``base`` (an id; None is empty) becomes by the changes. Runs no checks, moves no branch.

    The bytes of ``put`` must be in the store already. A dataset that does not exist is made. Where the files would
    be those of ``base``, no version is made: ``base`` comes back with ``changed`` False, unless ``allow_empty``.
    ``produced_by`` is a ref (``run:...``) and ``inputs`` are version ids; both become edges.

    Raises:
        InvalidInputError: a path or digest cannot be used, bytes are missing, or nothing is there to commit.
        NotFoundError: ``base`` or an input does not exist, or a path to remove is not in ``base``.
    """
    return commit_with(
        project,
        dataset,
        put=put,
        remove=remove,
        base=base,
        message=message,
        source=source,
        produced_by=produced_by,
        inputs=inputs,
        allow_empty=allow_empty,
    )


def commit_with(
    project: Project,
    dataset: str,
    *,
    put: Sequence[Entry],
    remove: Sequence[str] = (),
    base: str | None,
    message: str = "",
    source: str = "",
    produced_by: str | None = None,
    inputs: Sequence[str] = (),
    allow_empty: bool = False,
    also: Callable[[WriteTx, Version], None] | None = None,
) -> Version:
    """Do what ``commit`` says; ``also`` records more in the transaction that records the version, if one is made.

    Where an erasure changed the base meanwhile, or packs were given up, the version is built again.
    """
    check_dataset_name(dataset)

    def described(root: Reference, parents: tuple[str, ...]) -> Version:
        return _described(project, dataset, root, parents, message, source, produced_by, inputs)

    while True:
        try:
            return _commit_once(project, dataset, put, remove, base, allow_empty, described, also)
        except _Stale:
            continue


class _Stale(ConflictError):
    """What a version was built from is not as it was: bytes that it names may be gone."""


def _commit_once(
    project: Project,
    dataset: str,
    put: Sequence[Entry],
    remove: Sequence[str],
    base: str | None,
    allow_empty: bool,
    described: Callable[[Reference, tuple[str, ...]], Version],
    also: Callable[[WriteTx, Version], None] | None,
) -> Version:
    with project.ledger.read() as tx:
        drops = count_drops(tx)
    before = _base_version(project, dataset, base)
    changes = _changes(project.objects, put, remove)
    if before is None and not changes and not allow_empty:
        raise InvalidInputError(f"there is nothing to commit to '{dataset}': no file was given.", dataset=dataset)
    if before is not None and remove:
        _require_paths(project.objects, before, remove)
    # Manifest and record are one batch: a commit costs one pack, however many ranges changed.
    with project.objects.batch() as batch:
        root = apply_changes(project.objects, batch.put, before.root if before else None, changes)
        if before is not None and root.digest == before.root and not allow_empty:
            return msgspec.structs.replace(before, changed=False)
        version = described(root, (before.id,) if before else ())
        version = msgspec.structs.replace(version, record=batch.put(record_bytes(version)))
    columns = with_columns(put, remove, before, also)
    return _recorded(project, version, columns, {before.id: before.root} if before else {}, drops)


def record_version(
    project: Project,
    dataset: str,
    root: Reference,
    *,
    parents: Sequence[str],
    message: str = "",
    source: str = "",
    produced_by: str | None = None,
    inputs: Sequence[str] = (),
    built_from: Mapping[str, str] | None = None,
    also: Callable[[WriteTx, Version], None] | None = None,
) -> Version:
    """Record a version whose manifest is durable already: its record as an object, then the fact and its edges.

    ``also`` records more in the same transaction: all of it is recorded, or nothing. ``built_from`` are the ids of
    versions with the roots that the manifest was made from.

    Raises:
        ConflictError: an erasure gave one of them another root since.
    """
    version = _described(project, dataset, root, parents, message, source, produced_by, inputs)
    version = msgspec.structs.replace(version, record=project.objects.put(record_bytes(version)))
    return _recorded(project, version, also, built_from or {})


def _described(
    project: Project,
    dataset: str,
    root: Reference,
    parents: Sequence[str],
    message: str,
    source: str,
    produced_by: str | None,
    inputs: Sequence[str],
) -> Version:
    """Return the version as it will be recorded, but for its number and its record."""
    now = project.clock()
    return Version(
        id=new_id(now),
        dataset=dataset,
        number=0,
        parents=tuple(parents),
        root=root.digest,
        message=message,
        author=project.actor.name,
        source=source,
        created_at=now,
        files=root.files,
        bytes=root.bytes,
        rows=root.rows if root.counted else None,
        produced_by=produced_by,
        inputs=tuple(dict.fromkeys(inputs)),
    )


def _recorded(
    project: Project,
    version: Version,
    also: Callable[[WriteTx, Version], None] | None,
    built_from: Mapping[str, str],
    drops: int | None = None,
) -> Version:
    """Record a version whose manifest and record are durable; return it with its number."""
    crash_point("lake.commit.durable")
    with project.ledger.write() as tx:
        _require_as_built(tx, built_from)
        if drops is not None and count_drops(tx) != drops:
            raise _Stale("packs were collected while this version was being made. Nothing was recorded; run it again.")
        for used in version.inputs:
            get_version(tx, used)
        require_kept(tx, version.parents, version.root)
        version = msgspec.structs.replace(version, number=_next_number(tx, version))
        _insert(tx, version)
        _link(tx, version)
        if also is not None:
            also(tx, version)
        tx.announce("version", f"version:{version.id}")
    crash_point("lake.commit.recorded")
    return version


def _require_as_built(tx: WriteTx, built_from: Mapping[str, str]) -> None:
    for identifier, root in built_from.items():
        found = get_version(tx, identifier)
        if found.root != root:
            raise _Stale(
                f"{found.ref} was changed by an erasure while this was being made from it. Nothing was recorded; run "
                "it again.",
                ref=found.ref,
            )


def restore_version(tx: WriteTx, version: Version) -> None:
    """Record a version that was one before, under its own id and number; its record is in the store already."""
    tx.execute(
        "INSERT INTO datasets (name, description, created_at, created_by, versions) VALUES (?, '', ?, ?, 0) "
        "ON CONFLICT (name) DO NOTHING",
        (version.dataset, version.created_at, version.author),
    )
    highest = "UPDATE datasets SET versions = ? WHERE name = ? AND versions < ?"
    tx.execute(highest, (version.number, version.dataset, version.number))
    _insert(tx, version)
    _link(tx, version)


def record_bytes(version: Version) -> bytes:
    """Return the version's own record: all of it but the number, which is local to this project."""
    fields = msgspec.to_builtins(version)
    kept = {key: value for key, value in fields.items() if key not in ("number", "record", "changed")}
    return encode({"format": RECORD_FORMAT, **kept})


def _next_number(tx: WriteTx, version: Version) -> int:
    tx.execute(
        "INSERT INTO datasets (name, description, created_at, created_by, versions) VALUES (?, '', ?, ?, 0) "
        "ON CONFLICT (name) DO NOTHING",
        (version.dataset, version.created_at, version.author),
    )
    tx.execute("UPDATE datasets SET versions = versions + 1 WHERE name = ?", (version.dataset,))
    return int(tx.value("SELECT versions FROM datasets WHERE name = ?", (version.dataset,)))


def _insert(tx: WriteTx, version: Version) -> None:
    tx.insert(
        "versions",
        id=version.id,
        dataset=version.dataset,
        number=version.number,
        parent=version.parents[0] if version.parents else None,
        parents=" ".join(version.parents),
        root=version.root,
        record=version.record,
        message=version.message,
        author=version.author,
        source=version.source,
        produced_by=version.produced_by,
        inputs=" ".join(version.inputs),
        files=version.files,
        bytes=version.bytes,
        rows=version.rows,
        created_at=version.created_at,
    )


def _link(tx: WriteTx, version: Version) -> None:
    child = f"version:{version.id}"
    for parent in version.parents:
        tx.edge(child, "parent", f"version:{parent}")
    for used in version.inputs:
        tx.edge(child, "input", f"version:{used}")
    if version.source:
        tx.edge(child, "source", f"source:{version.source}")
    if version.produced_by:
        tx.edge(child, "produced_by", version.produced_by)


def _base_version(project: Project, dataset: str, base: str | None) -> Version | None:
    if base is None:
        return None
    with project.ledger.read() as tx:
        before = get_version(tx, base.removeprefix("version:"))
    if before.dataset != dataset:
        raise InvalidInputError(
            f"{before.ref} cannot be the base of a version of '{dataset}': it is of '{before.dataset}'.", base=base
        )
    return before


def _changes(store: ObjectStore, put: Sequence[Entry], remove: Sequence[str]) -> dict[bytes, Row | None]:
    changes: dict[bytes, Row | None] = {path_bytes(path): None for path in remove}
    for entry in put:
        row = row_of(entry)
        if changes.get(row.path) is not None:
            raise InvalidInputError(f"'{entry.path}' was given twice in one commit. Give each path once.")
        changes[row.path] = row
    require_bytes(store, put)
    return changes


def row_of(entry: Entry) -> Row:
    """Return an entry as a manifest's row.

    Raises:
        InvalidInputError: its path, digest, size or number of rows cannot be one.
    """
    path = path_bytes(entry.path)
    if not _DIGEST.fullmatch(entry.digest):
        raise InvalidInputError(f"'{entry.digest}' is not a digest (64 characters of 0-9 and a-f).")
    if entry.size < 0 or (entry.rows is not None and entry.rows < 0):
        raise InvalidInputError(f"'{entry.path}' has a negative size or number of rows.")
    return Row(path, entry.digest, entry.size, entry.media, entry.rows)


def require_bytes(store: ObjectStore, entries: Sequence[Entry]) -> None:
    """Raise InvalidInputError that names the entries whose bytes are not in the store."""
    absent = set(store.missing(list({entry.digest for entry in entries})))
    if absent:
        names = [entry.path for entry in entries if entry.digest in absent]
        raise InvalidInputError(
            f"the bytes of {first_few(names, len(names))} are not in the store. Put them first, then commit; "
            "'hw data add' does both.",
            missing=sorted(absent)[:100],
        )


def _require_paths(store: ObjectStore, before: Version, remove: Iterable[str]) -> None:
    absent = [path for path in remove if find_row(store, before.root, path_bytes(path)) is None]
    if absent:
        raise NotFoundError(
            f"{before.ref} has no file {first_few(absent, len(absent))}, so it cannot be removed. "
            f"'hw data show {before.ref}' lists its files.",
            paths=absent[:100],
        )


@operation("data.version.show", needs="data:read")
def show(project: Project, ref: str) -> Version:
    """Return the version that a ref names; raises as ``resolve`` does."""
    with project.ledger.read() as tx:
        return find_version(tx, ref)


@operation("data.log", needs="data:read")
def log(
    project: Project, dataset: str, branch: str | None = None, limit: int = 50, before: str | None = None
) -> list[Version]:
    """Return versions, newest first: all of a dataset, or those that led to a branch (or other name) of it.

    A branch's history follows first parents. ``before`` is the id of the last version of the page before.

    Raises:
        NotFoundError: there is no such dataset, branch or version.
        InvalidInputError: ``limit`` is not between 1 and 10,000.
    """
    if not 1 <= limit <= 10_000:
        raise InvalidInputError(f"a page of history holds 1 to 10,000 versions, not {limit}.")
    with project.ledger.read() as tx:
        require_dataset(tx, dataset)
        last = get_version(tx, before) if before else None
        if branch is None:
            number = last.number if last else 2**62
            newest = "dataset = ? AND number < ? ORDER BY number DESC LIMIT ?"
            return versions_where(tx, newest, (dataset, number, limit))
        if last is not None:
            start = last.parents[0] if last.parents else None
        else:
            start = find_version(tx, f"{dataset}@{branch or MAIN}").id
        if start is None:
            return []
        return versions_where(
            tx,
            "id IN (WITH RECURSIVE line (id, parent, place) AS (SELECT id, parent, 1 FROM versions WHERE id = ? "
            "UNION ALL SELECT v.id, v.parent, place + 1 FROM line "
            "JOIN versions v ON v.id = line.parent WHERE place < ?) "
            "SELECT id FROM line) ORDER BY number DESC",
            (start, limit),
        )

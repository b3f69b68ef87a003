"""Finding a text in everything that a project holds, decoded: files in the lake, derived bytes, events, facts."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from headwater.errors import CorruptError, HeadwaterError, InvalidInputError, NotFoundError
from headwater.lake.needles import Needles, holds, in_cell
from headwater.objects.backend import PackMissing
from headwater.objects.taking import footer_of
from headwater.objects.values import Location
from headwater.operation import operation
from headwater.project import Project

if TYPE_CHECKING:
    from headwater.lake import Version
    from headwater.objects import ObjectStore

_UNSAID = frozenset({"erasures"})
"""Where the subject of an erasure under way stands until it is done."""


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where a text was found: the kind of store, what in it, and what that is known as."""

    store: str
    what: str
    known_as: str = ""


def objects_with(store: ObjectStore, needles: Needles) -> Iterator[tuple[str, str]]:
    """Yield ``(digest, pack)`` of every object that holds a needle, in every pack that lies there, listed or not."""
    for pack, size, _ in sorted(store.backend.packs()):
        try:
            footer = footer_of(store.backend, pack, size)
        except (CorruptError, PackMissing):
            continue
        for digest, location in footer.locations(pack):
            name = digest.hex()
            if name not in needles.known:
                needles.known[name] = _holds_object(store, name, location, needles)
            if needles.known[name]:
                yield name, pack


def _holds_object(store: ObjectStore, name: str, location: Location, needles: Needles) -> bool:
    try:
        data = store.get(name) if location.kind else store.backend.read(location.pack, location.offset, location.length)
    except HeadwaterError:
        return False  # what cannot be read is named by verify
    return holds(data, needles)


def facts_with(project: Project, needles: Needles) -> Iterator[tuple[str, str, Any]]:
    """Yield ``(table, column, value)`` of every fact that holds a needle; each different value once."""
    with project.ledger.read() as tx:
        for table, columns in tx.tables().items():
            for column in columns if table not in _UNSAID else ():
                for row in tx.stream(f'SELECT DISTINCT "{column}" AS said FROM "{table}" WHERE "{column}" IS NOT NULL'):
                    if isinstance(row.said, str | bytes) and in_cell(row.said, needles, 0):
                        yield table, column, row.said


def events_with(project: Project, needles: Needles) -> Iterator[tuple[str, int]]:
    """Yield each stream with the number of its rows that hold a needle, open or sealed."""
    for stream in project.events.streams():
        rows = project.events.rows(stream)
        texts = ([value for value in row.values() if isinstance(value, str | bytes)] for row in rows)
        count = sum(any(in_cell(value, needles, 0) for value in row) for row in texts)
        if count:
            yield stream, count


def cached_with(project: Any, needles: Needles) -> Iterator[Path]:
    """Yield the files below the project's own folder, apart from its stores, that hold a needle."""
    folder = project.state
    for place in ("cache", "events/.work"):
        for path in sorted((folder / place).rglob("*")):
            if path.is_file() and not path.name.startswith("index.sqlite"):
                with contextlib.suppress(FileNotFoundError):
                    if holds(path.read_bytes(), needles):
                        yield path


@operation("data.find", needs="data:admin")
def find_text(project: Project, *, text: str) -> list[Place]:
    """Return every place of the project that holds a text, decoded; for an erasure before and after.

    Searched are all objects (with statistics of Parquet and the text of PDF files), all facts, all events and the
    cache. That reads everything once.

    Raises:
        InvalidInputError: the text is empty.
    """
    if not text.strip():
        raise InvalidInputError("there is nothing to look for: give a text.")
    return list(places(project, Needles([text])))


def places(project: Project, needles: Needles) -> Iterator[Place]:
    """Yield every place that holds a needle."""
    names = names_of(project)
    for digest, pack in objects_with(project.objects, needles):
        yield Place(store="objects", what=f"object:{digest}", known_as=names.get(digest, f"in pack {pack}"))
    for table, column, _ in facts_with(project, needles):
        yield Place(store="ledger", what=f"{table}.{column}")
    for stream, rows in events_with(project, needles):
        yield Place(store="events", what=f"stream:{stream}", known_as=f"{rows} rows")
    for path in cached_with(project, needles):
        yield Place(store="cache", what=str(path))


def names_of(project: Project) -> dict[str, str]:
    """Return what objects are known as: a file of the newest version that has it, an artefact, a model's file."""
    found: dict[str, str] = {}
    with project.ledger.read() as tx:
        for row in tx.all("SELECT digest, run, name FROM artefacts"):
            found[row.digest] = f"artefact '{row.name}' of run:{row.run}"
        for row in tx.all("SELECT digest, version, name FROM model_files"):
            found[row.digest] = f"'{row.name}' of modelversion:{row.version}"
        for row in tx.all("SELECT digest, stream FROM seals WHERE replaced_by IS NULL"):
            found[row.digest] = f"sealed events of '{row.stream}'"
        for row in tx.all("SELECT id, parts FROM results"):
            for part in msgspec.json.decode(row.parts):
                found.setdefault(part.get("stored") or part["digest"], f"result:{row.id}")
    return found | {digest: f"{version.ref} {path}" for digest, (version, path) in files_of(project).items()}


def files_of(project: Project) -> dict[str, tuple[Version, str]]:
    """Return the digest of each file of any version, with the newest version that has it and its path there."""
    from headwater.lake.manifest import rows_after
    from headwater.lake.refs import COLUMNS, version_of

    with project.ledger.read() as tx:
        versions = [version_of(row) for row in tx.all(f"SELECT {COLUMNS} FROM versions ORDER BY number")]
    found: dict[str, tuple[Version, str]] = {}
    for version in versions:
        with contextlib.suppress(NotFoundError, CorruptError):
            for file in rows_after(project.objects, version.root):
                found[file.digest] = (version, file.path.decode())
    return found

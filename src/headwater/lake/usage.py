"""Who read which version, how often, and how much space each version adds.

What steps and operations read is in the ledger's edges. What people read by ``hw.data``, ``hw data read`` or a
``headwater://`` path is a row of the event stream ``reads``: one for a version, a way and a person in a process and
an hour, so that reading ten thousand images is one row. It is written softly: where it cannot be, reading goes on.
"""

from __future__ import annotations

import logging
import os
import time
from typing import TYPE_CHECKING

import msgspec

from ..errors import GoneError, HeadwaterError, InvalidInputError, NotFoundError
from ..events import declare_stream
from ..ids import is_id, made_at_us
from ..operation import operation
from ..project import Project
from .manifest import differences
from .refs import find_version, require_dataset, versions_where
from .values import Version

if TYPE_CHECKING:
    from ..ledger import Tx
    from ..objects import ObjectStore

WAYS = ("table", "bytes", "files", "filesystem", "command")
AGAIN_S = 3600.0

declare_stream(
    "reads", {"dataset": "VARCHAR", "version": "VARCHAR", "actor": "VARCHAR", "way": "VARCHAR"}, order=("dataset",)
)
_logger = logging.getLogger(__name__)
_noted: dict[tuple[int, str, str, str, str], float] = {}


class Reader(msgspec.Struct, frozen=True, kw_only=True):
    """A person who read versions of a dataset in one way: how many times, how many versions, first and last when."""

    actor: str
    way: str
    times: int
    versions: int
    first_at: int
    last_at: int


class Use(msgspec.Struct, frozen=True, kw_only=True):
    """Something that came of a version (a run, a model, another version, a verdict), in the role the edge gives."""

    ref: str
    role: str
    version: str
    number: int
    at: int | None


class VersionUse(msgspec.Struct, frozen=True, kw_only=True):
    """One version: what it holds and adds, and how often it was used.

    ``added_bytes`` are those of objects and chunks that its parent does not have at the paths that differ; None where
    they were collected. ``reads`` counts what people read, ``uses`` what came of it.
    """

    version: Version
    added_bytes: int | None
    reads: int
    uses: int


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """How a dataset is used. The lists hold at most as many as were asked for, newest first; the counts are of all."""

    dataset: str
    reads: int
    uses: int
    readers: tuple[Reader, ...]
    used_by: tuple[Use, ...]
    versions: tuple[VersionUse, ...]


@operation("data.reads.record", needs="data:read", audited=False)
def record_read(project: Project, version: str, way: str) -> None:
    """Record that the caller read a version: in the stream ``reads``, not waiting for the disk.

    Raises:
        NotFoundError: there is no such version.
        InvalidInputError: ``way`` is none of WAYS.
    """
    if way not in WAYS:
        raise InvalidInputError(f"'{way}' is no way of reading: use {', '.join(WAYS)}.", way=way)
    with project.ledger.read() as tx:
        found = find_version(tx, version)
    row = {"dataset": found.dataset, "version": found.id, "actor": project.actor.name, "way": way}
    project.events.append_soon("reads", [row])


def note_read(project: Project, version: Version, way: str) -> None:
    """Record a read softly, once in an hour of this process."""
    key = (os.getpid(), project.id, project.actor.name, version.id, way)
    now = time.monotonic()
    if now - _noted.get(key, -AGAIN_S) < AGAIN_S:
        return
    _noted[key] = now
    try:
        record_read(project, version.id, way)
    except HeadwaterError as error:
        _logger.warning("the read of %s was not recorded: %s", version.ref, error)


@operation("data.usage", needs="data:read")
def describe_usage(project: Project, dataset: str, limit: int = 20) -> Usage:
    """Return who read which version of a dataset, what came of them, and what each version adds in space.

    Raises:
        NotFoundError: there is no such dataset.
        InvalidInputError: ``limit`` is not between 1 and 1,000.
    """
    if not 1 <= limit <= 1000:
        raise InvalidInputError(f"a list of uses holds 1 to 1,000, not {limit}.", limit=limit)
    project.events.flush()  # what was noted a moment ago counts
    reads = _reads_by_version(project, dataset)
    with project.ledger.read() as tx:
        require_dataset(tx, dataset)
        newest = versions_where(tx, "dataset = ? ORDER BY number DESC LIMIT ?", (dataset, limit))
        uses = _uses_by_version(tx, dataset)
        used_by = _uses(tx, dataset, limit)
        parents = {v.parents[0]: find_version(tx, v.parents[0]) for v in newest if v.parents}
    return Usage(
        dataset=dataset,
        reads=sum(reads.values()),
        uses=sum(uses.values()),
        readers=_readers(project, dataset, limit),
        used_by=used_by,
        versions=tuple(
            VersionUse(
                version=version,
                added_bytes=added_bytes(project, parents[version.parents[0]] if version.parents else None, version),
                reads=reads.get(version.id, 0),
                uses=uses.get(version.id, 0),
            )
            for version in newest
        ),
    )


def added_bytes(project: Project, parent: Version | None, version: Version) -> int | None:
    """Return the bytes of what a version holds and its parent does not, chunk by chunk; None where bytes are gone.

    Only the paths that differ are compared: a copy of a file that stayed counts again, though it takes no space.
    """
    if parent is None:
        return version.bytes
    before: set[str] = set()
    after: set[str] = set()
    try:
        for _, old, new in differences(project.objects, parent.root, version.root):
            if old is not None:
                before.add(old.digest)
            if new is not None:
                after.add(new.digest)
        fresh = _pieces(project.objects, after - before)
        known = _pieces(project.objects, before) if fresh else {}
    except (GoneError, NotFoundError):
        return None
    return sum(size for digest, size in fresh.items() if digest not in known)


def _pieces(store: ObjectStore, digests: set[str]) -> dict[bytes, int]:
    """Return what objects are kept as, chunks or whole, and the size of each in bytes."""
    from ..objects.values import CHUNKED

    keys = [bytes.fromhex(digest) for digest in digests]
    found: dict[bytes, int] = {}
    for key, location in store.locate_many(keys).items():
        if location.kind == CHUNKED:
            found.update((chunk.digest, chunk.size) for chunk in store.reader.chunks(key, location))
        else:
            found[key] = location.size
    return found


_OF = "FROM edges e JOIN versions v ON e.parent = 'version:' || v.id WHERE v.dataset = ? AND e.role <> 'parent'"


def _uses_by_version(tx: Tx, dataset: str) -> dict[str, int]:
    return {row.id: row.n for row in tx.all(f"SELECT v.id AS id, count(*) AS n {_OF} GROUP BY v.id", (dataset,))}


def _uses(tx: Tx, dataset: str, limit: int) -> tuple[Use, ...]:
    """Return the newest uses: ids begin with the time they were made at."""
    rows = tx.all(
        f"SELECT e.child AS ref, e.role AS role, v.id AS id, v.number AS number {_OF} "
        "ORDER BY substr(e.child, length(e.child) - 25) DESC LIMIT ?",
        (dataset, limit),
    )
    return tuple(
        Use(ref=row.ref, role=row.role, version=row.id, number=row.number, at=_made_at(row.ref)) for row in rows
    )


def _made_at(ref: str) -> int | None:
    identifier = ref.rpartition(":")[2]
    return made_at_us(identifier) if is_id(identifier) else None


def _reads_by_version(project: Project, dataset: str) -> dict[str, int]:
    sql = "SELECT version, count(*) AS n FROM reads WHERE dataset = ? GROUP BY version"
    rows = project.events.query(sql, (dataset,), streams=["reads"]).fetchall()
    return {str(version): int(count) for version, count in rows}


def _readers(project: Project, dataset: str, limit: int) -> tuple[Reader, ...]:
    sql = (
        "SELECT actor, way, count(*) AS times, count(DISTINCT version) AS versions, min(occurred_at) AS first_at, "
        "max(occurred_at) AS last_at FROM reads WHERE dataset = ? GROUP BY actor, way ORDER BY last_at DESC, actor, way"
    )
    rows = project.events.query(f"{sql} LIMIT {limit}", (dataset,), streams=["reads"]).dicts()
    return tuple(msgspec.convert(row, Reader) for row in rows)

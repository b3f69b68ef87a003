"""Making a project anew from its objects alone, when the ledger is lost.

Every version's record is an object, and so is every checkpoint of heads: packs give back versions with their parents,
sources and numbers, and branches and tags as of the newest checkpoint. What lived in the ledger alone (runs, models'
facts, people) does not come back: that is what the ledger's own backup is for.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from headwater.canonical import decode
from headwater.errors import CorruptError, NotFoundError
from headwater.lake import Version
from headwater.lake.collecting import walk
from headwater.lake.versions import RECORD_FORMAT, restore_version
from headwater.objects.backend import PackMissing
from headwater.objects.taking import footer_of
from headwater.objects.values import RAW, PackRecord
from headwater.project import create_project

from .heads import FORMAT as CHECKPOINT

if TYPE_CHECKING:
    from headwater.ledger import WriteTx
    from headwater.objects import ObjectStore
    from headwater.project import LocalProject

_LARGEST_RECORD = 8 << 20
_MARKS = (RECORD_FORMAT.encode(), CHECKPOINT.encode())


class Recovered(msgspec.Struct, frozen=True, kw_only=True):
    """What came back. ``head`` is the ``SEQ:HASH`` of the checkpoint used, empty when there was none.

    ``incomplete`` are versions of which files are missing; ``damaged`` are packs that cannot be read.
    """

    folder: str
    datasets: int
    versions: int
    names: int
    packs: int
    head: str
    incomplete: tuple[str, ...] = ()
    damaged: tuple[str, ...] = ()


def recover(
    folder: Path, place: str, *, actor: str | None = None, credentials: dict[str, str] | None = None
) -> Recovered:
    """Make a project in ``folder`` over the objects of a place, with every version that they tell of.

    Raises:
        ConflictError: the folder holds a project already.
        NotFoundError: the place holds no objects.
    """
    where = place if "://" in place else str(Path(place).absolute())
    if "://" not in where and not (Path(where) / "packs").is_dir():
        raise NotFoundError(f"'{place}' holds no objects: it has no folder 'packs'. Give the folder that does.")
    with create_project(folder, objects_url=where, actor=actor, credentials=credentials) as project:
        store = project.objects
        records, damaged = _packs(store)
        with project.ledger.write() as tx:
            for record in records:
                _list_pack(tx, record)
        store.refresh(whole=True)
        versions, checkpoints = _read(store, records)
        newest = max(checkpoints, key=lambda each: (each["at"], each["seq"]), default=None)
        names = _record(project, versions, newest)
        incomplete = tuple(sorted(ref for version in versions.values() if (ref := _lacking(store, version))))
        return Recovered(
            folder=str(project.folder),
            datasets=len({each.dataset for each in versions.values()}),
            versions=len(versions),
            names=names,
            packs=len(records),
            head=f"{newest['seq']}:{newest['hash']}" if newest else "",
            incomplete=incomplete,
            damaged=tuple(damaged),
        )


def _packs(store: ObjectStore) -> tuple[list[PackRecord], list[str]]:
    found, damaged = [], []
    for pack, size, kept_at in sorted(store.backend.packs(), key=lambda each: (each[2], each[0])):
        try:
            footer = footer_of(store.backend, pack, size)
        except (CorruptError, PackMissing):
            damaged.append(pack)
            continue
        found.append(PackRecord(id=pack, size=size, entries=footer.count, footer_digest=pack, created_at=kept_at))
    return found, damaged


def _list_pack(tx: WriteTx, record: PackRecord) -> None:
    if tx.one("SELECT 1 AS one FROM packs WHERE id = ?", (record.id,)) is None:
        tx.insert(
            "packs", seq=tx.next("packs"), id=record.id, size=record.size, entries=record.entries,
            footer_digest=record.footer_digest, created_at=tx.database_now(),
        )  # fmt: skip


def _read(store: ObjectStore, records: list[PackRecord]) -> tuple[dict[str, Version], list[dict[str, Any]]]:
    versions: dict[str, Version] = {}
    checkpoints = []
    for digest, data in _candidates(store, records):
        said = decode(data)
        if said.pop("format") == CHECKPOINT:
            checkpoints.append(said)
        else:
            made = msgspec.convert({**said, "number": 0, "record": digest}, Version)
            versions[made.id] = made
    return versions, checkpoints


def _candidates(store: ObjectStore, records: list[PackRecord]) -> Iterator[tuple[str, bytes]]:
    """Yield the objects that are records of versions or checkpoints."""
    for record in records:
        footer = footer_of(store.backend, record.id, record.size)
        small = [
            digest.hex()
            for digest, location in footer.locations(record.id)
            if location.kind == RAW and location.length <= _LARGEST_RECORD
        ]
        for start in range(0, len(small), 1000):
            for digest, data in store.get_many(small[start : start + 1000]):
                if any(mark in data for mark in _MARKS) and _is_record(data):
                    yield digest, data


def _is_record(data: bytes) -> bool:
    try:
        said = decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
    return isinstance(said, dict) and said.get("format") in (RECORD_FORMAT, CHECKPOINT)


def _record(project: LocalProject, versions: dict[str, Version], newest: dict[str, Any] | None) -> int:
    numbers = {each[1]: each[0] for rows in (newest or {}).get("numbers", {}).values() for each in rows}
    order = sorted(versions.values(), key=lambda each: (numbers.get(each.id, 2**62), each.created_at, each.id))
    last: dict[str, int] = {}
    with project.ledger.write() as tx:
        for version in order:
            number = numbers.get(version.id, last.get(version.dataset, 0) + 1)
            last[version.dataset] = max(number, last.get(version.dataset, 0))
            restore_version(tx, msgspec.structs.replace(version, number=number))
        for dataset, text in (newest or {}).get("descriptions", {}).items():
            tx.execute("UPDATE datasets SET description = ? WHERE name = ?", (text, dataset))
        names = 0
        for kind, name, head in (newest or {}).get("pointers", []):
            if kind in ("branch", "tag") and head in versions:
                tx.move_pointer(kind, name, expected=None, new=head, why="recovered", by=project.actor.name)
                names += 1
        source = {key: newest[key] for key in ("project", "seq", "hash")} if newest else {}
        tx.govern("recover", f"project:{project.id}", {"from": source, "by": project.actor.name, "names": names})
    return names


def _lacking(store: ObjectStore, version: Version) -> str:
    try:
        absent = store.missing(list(walk(store, version.root, set())), rely=False)
    except (CorruptError, NotFoundError):
        return version.id
    return version.id if absent else ""

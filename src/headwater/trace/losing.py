"""Accepting a loss: packs that no backup brings back are written off, by somebody, for a reason, for ever on record.

Until then everything that may give up bytes refuses, since what the lost packs needed is not known.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import msgspec

from headwater.durable import crash_point
from headwater.errors import CorruptError, InvalidInputError, NotFoundError, RefusedError
from headwater.lake.manifest import decoded
from headwater.lake.ranges import Row
from headwater.ledger.packs import LOST
from headwater.objects.backend import PackMissing
from headwater.objects.collecting import HOLDERS, Mark
from headwater.objects.reading import matches
from headwater.objects.taking import footer_of
from headwater.objects.values import CHUNKED, PackRecord
from headwater.objects.verifying import check_pack
from headwater.objects.writer import NewEntry, PackWriter
from headwater.operation import operation
from headwater.project import Project

from .collecting import alone, drop_packs, finish_deleting, plan_of, reindex, take_alone

if TYPE_CHECKING:
    from headwater.ledger import Tx, WriteTx
    from headwater.objects import ObjectStore


class LostPack(msgspec.Struct, frozen=True, kw_only=True):
    """A pack whose loss was accepted: by whom, why and when; ``objects`` is how many needed objects went with it.

    ``by`` and ``why`` are empty where nobody accepted it yet.
    """

    pack: str
    size: int
    entries: int
    by: str = ""
    why: str = ""
    at: int = 0
    objects: int | None = None


@operation("data.loss.list", needs="data:read")
def list_losses(project: Project) -> list[LostPack]:
    """Return the packs that are missing or unreadable, then those whose loss was accepted, oldest first."""
    with project.ledger.read() as tx:
        accepted = accepted_losses(tx)
    broken = _unreadable(project.objects)
    return [*(LostPack(pack=each.id, size=each.size, entries=each.entries) for each in broken.values()), *accepted]


def accepted_losses(tx: Tx) -> list[LostPack]:
    """Return the packs whose loss was accepted, oldest first."""
    rows = tx.all("SELECT pack, size, entries, by, why, at, objects FROM lost_packs ORDER BY at, pack")
    return [LostPack(**row.as_dict()) for row in rows]


@operation("data.loss.accept", needs="data:admin")
def accept_loss(project: Project, packs: Sequence[str], why: str) -> list[LostPack]:
    """Write packs off that are missing or damaged: what of them still reads is kept, the rest is named as lost.

    Each is a link of the governance chain. Afterwards collecting works again, reading a lost object answers "was lost
    on ...", and ``verify`` names the loss as accepted. Bytes that are put again are there again.

    Raises:
        InvalidInputError: there is no reason, or no pack was named.
        NotFoundError: the project needs no such pack.
        RefusedError: a pack is whole; or others are lost too and not named: what they took cannot be told apart.
        ConflictError: a collection or an erasure is under way.
    """
    if not why.strip() or not packs:
        raise InvalidInputError("a loss is accepted by naming its packs and a reason: say what happened to the bytes.")
    with project.ledger.write() as tx:
        lease = take_alone(tx, project)
    with alone(project, lease):
        _write_off(project, list(dict.fromkeys(packs)), why)
        _name_lost(project)
        with project.ledger.read() as tx:
            return [each for each in accepted_losses(tx) if each.pack in packs]


def _write_off(project: Project, packs: list[str], why: str) -> None:
    store = project.objects
    store.refresh(whole=True)
    wanted = {record.id: record for record in store.wanted()}
    with project.ledger.read() as tx:
        written_off = {each.pack for each in accepted_losses(tx)}
    unknown = [pack for pack in packs if pack not in wanted and pack not in written_off]
    if unknown:
        raise NotFoundError(f"the project needs no pack {unknown[0]}. 'hw data accept-loss' lists those that are lost.")
    chosen = [wanted[pack] for pack in packs if pack in wanted]
    whole = [record.id for record in chosen if not check_pack(store.backend, record)[0]]
    if whole:
        raise RefusedError(f"pack {whole[0]} is whole: nothing of it is lost.", packs=whole)
    others = [pack for pack in _unreadable(store) if pack not in packs]
    if others:
        raise RefusedError(
            f"{len(others)} more pack(s) are lost, {others[0]} first: bring them back from a backup, or accept their "
            "loss together with this one.",
            packs=others[:100],
        )
    made = [writer for record in chosen if (writer := _rescued(store, record)) is not None]
    crash_point("trace.losing.rescued")
    store.made(made)
    with project.ledger.write() as tx:
        drop_packs(tx, [(record.id, record.size) for record in chosen])
        for record in chosen:
            _record(tx, project, record, why)
    crash_point("trace.losing.recorded")
    finish_deleting(project)
    reindex(store, {record.id for record in chosen} | {writer.id for writer in made})


def _record(tx: WriteTx, project: Project, record: PackRecord, why: str) -> None:
    who = project.actor
    tx.insert(
        "lost_packs", pack=record.id, size=record.size, entries=record.entries, by=who.name, claimed=int(who.claimed),
        why=why, at=tx.now, objects=None,
    )  # fmt: skip
    said = {"by": who.name, "claimed": who.claimed, "why": why, "size": record.size, "entries": record.entries}
    tx.govern("loss", f"pack:{record.id}", said)
    tx.announce("loss", f"pack:{record.id}")


def _unreadable(store: ObjectStore) -> dict[str, PackRecord]:
    """Return the packs that are missing, cut short, or do not say what they hold."""
    found = {}
    for record in store.wanted():
        try:
            footer_of(store.backend, record.id, record.size)
        except (CorruptError, PackMissing):
            found[record.id] = record
    return found


def _rescued(store: ObjectStore, record: PackRecord) -> PackWriter | None:
    """Write what still reads of a damaged pack into a new one, durable and named; None where nothing does."""
    try:
        entries = list(footer_of(store.backend, record.id, record.size).locations(record.id))
    except (CorruptError, PackMissing):
        return None
    writer: PackWriter | None = None
    for digest, location in sorted(entries, key=lambda item: item[1].offset):
        body = store.backend.read(record.id, location.offset, location.length)
        if matches(digest, location, body):
            writer = writer or PackWriter(store.backend, store.was_dropped)
            check = location.check if location.kind == CHUNKED else None
            writer.append([NewEntry(digest, body, location.size, location.kind, check)])
    if writer is not None:
        writer.close()
        writer.stage()
        writer.publish()
    return writer


def _name_lost(project: Project) -> None:
    """Find out which objects that something needs went with the packs, and record it of each."""
    with project.ledger.read() as tx:
        new = [each for each in accepted_losses(tx) if each.objects is None]
    if not new:
        return
    why = f"pack {new[0].pack} is gone for good, which {new[0].by} accepted: {new[0].why}"
    # What lies below a lost range is not known, so the ranges come first; then every room says what it needs.
    count = _record_lost(project, list(_lost_of_versions(project)), why)
    count += _record_lost(project, list(_lost_of_rooms(project)), why)
    with project.ledger.write() as tx:
        tx.executemany("UPDATE lost_packs SET objects = ? WHERE pack = ?", [(count, each.pack) for each in new])


def _record_lost(project: Project, digests: list[str], why: str) -> int:
    with project.ledger.write() as tx:
        for digest in digests:
            tx.execute(
                "INSERT INTO gone (ref, at, how, why) VALUES (?, ?, ?, ?) ON CONFLICT (ref) DO NOTHING",
                (f"object:{digest}", tx.now, LOST, why),
            )
    crash_point("trace.losing.named")
    return len(digests)


def _lost_of_versions(project: Project) -> Iterator[str]:
    store = project.objects
    with project.ledger.read() as tx:
        gone = {row.ref for row in tx.stream("SELECT ref FROM gone")}
        versions = [row for row in tx.all("SELECT id, root, record FROM versions") if f"version:{row.id}" not in gone]
    yield from store.missing(sorted({row.record for row in versions}), rely=False)
    seen: set[str] = set()
    waiting = [row.root for row in versions]
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        if store.missing([name], rely=False):
            yield name
            continue
        _, items = decoded(store, name)
        files = {item.digest for item in items if isinstance(item, Row)} - seen
        seen |= files
        yield from store.missing(sorted(files), rely=False)
        waiting += [item.digest for item in items if not isinstance(item, Row)]


def _lost_of_rooms(project: Project) -> Iterator[str]:
    store = project.objects
    mark = Mark()
    with project.ledger.read() as tx:
        plan = plan_of(project, tx)
        gone = {row.ref for row in tx.stream("SELECT ref FROM gone")}
        for each in sorted(HOLDERS.values(), key=lambda holder: -holder.floor):
            each.mark(plan, tx, mark)
    needed = {digest.hex() for digest in mark.alive}
    absent = set(store.missing(sorted(needed), rely=False))
    for digest, location in store.index.chunked():
        if digest in mark.alive and digest.hex() not in absent:
            chunks = [chunk.digest.hex() for chunk in store.reader.chunks(digest, location)]
            absent |= {digest.hex()} if store.missing(chunks, rely=False) else set()
    yield from sorted(digest for digest in absent if f"object:{digest}" not in gone)

"""Collecting: giving up the bytes that nothing needs any longer, told before and proved after.

Marking reads the facts of one moment. The packs are given up in one ledger transaction, which commits only if nothing
was named in between; files are deleted after it. A pack is old enough when nobody relied on it for the grace period,
by the database's clock; a writer notes that it relies on an old pack before it names anything in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import msgspec

from headwater.durable import crash_point
from headwater.errors import ConflictError, CorruptError, InvalidInputError
from headwater.events import holding as _events  # noqa: F401  # registers what the events hold
from headwater.flow import holding as _flow  # noqa: F401  # registers what flows hold
from headwater.flow.memory import mark_broken
from headwater.ingest import holding as _ingest  # noqa: F401  # registers what pulls hold
from headwater.lake.collecting import DAY_US, Plan, lacks
from headwater.ledger.keeping import keep_lease
from headwater.ledger.leases import take_lease
from headwater.ledger.packs import DROPS
from headwater.model import holding as _model  # noqa: F401  # registers what models hold
from headwater.objects import collecting as packs
from headwater.objects.collecting import HOLDERS, Mark, PackPlan
from headwater.objects.values import PackRecord
from headwater.objects.verifying import check_pack
from headwater.operation import operation
from headwater.project import Project
from headwater.track import holding as _track  # noqa: F401  # registers what runs hold
from headwater.track.shelving import remove_events

from .collected import Collection, Freed, Kept
from .heads import write_checkpoint

if TYPE_CHECKING:
    from headwater.ledger import Lease, Tx, WriteTx
    from headwater.objects import ObjectStore

LEASE = "collect"
LEASE_S = 600.0
GRACE_HOURS = 24.0
_TRIES = 4
_DIGEST = re.compile(rb"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")
_NO_DIGESTS = frozenset(
    (
        "audit", "chain", "chain_bodies", "checkpoints", "collections", "counters", "cursors", "dropped_packs",
        "erasures", "gone", "holds", "leases", "ledger_meta", "lost_packs", "metric_marks", "metric_summary",
        "pack_uses", "packs", "people", "stray_packs", "tokens", "trigger_states",
    )
)  # fmt: skip
"""Tables that name no object that must be kept."""


@operation("data.collect", needs="data:admin")
def collect(
    project: Project, *, free: bool = False, grace_hours: float | None = None, results_to_bytes: int | None = None
) -> Collection:
    """Free the bytes that nothing needs, or (``free`` False) only tell what would be freed and why the rest stays.

    Kept are: heads and history of branches and tags, what runs within their retention read and made, what any model
    version came from, what is held, quarantine until decided, events, and whatever is younger than the grace period
    (``[retention] grace_hours`` in headwater.toml, 24). Packs that are mostly dead are written anew. With a grace
    below one hour nobody else may be writing meanwhile.

    With ``results_to_bytes``, remembered results that only runs within their retention keep go too, those first that
    took the fewest seconds per byte, until the results left have so many bytes; a later run makes them again. Results
    of impure steps stay, and those of steps that did not give the same when they were made again.

    Raises:
        ConflictError: another collection is under way.
        CorruptError: something that must be kept cannot be read: run 'hw verify' first; nothing is freed.
    """
    grace = _grace_us(project, grace_hours)
    if not free:
        with project.ledger.read() as tx:
            found = _Sweep(project, tx, grace, results_to_bytes)
        return found.report("", {})
    with project.ledger.write() as tx:
        lease = take_alone(tx, project)
    with alone(project, lease):
        return _free(project, grace, results_to_bytes)


def take_alone(tx: WriteTx, project: Project) -> Lease:
    """Take the lease of those who give up bytes: one at a time.

    Raises:
        ConflictError: somebody has it.
    """
    lease = take_lease(tx, LEASE, project.actor.name, ttl_s=LEASE_S)
    if lease is None:
        raise ConflictError("a collection or an erasure is under way: wait until it has ended, then run it again.")
    return lease


@contextmanager
def alone(project: Project, lease: Lease) -> Iterator[None]:
    """Renew the lease while the block runs, and let the block record nothing once somebody else has it."""
    with keep_lease(project.ledger, lease, ttl_s=LEASE_S) as held, project.ledger.fenced(held.name, held.token):
        yield


def _grace_us(project: Project, hours: float | None) -> int:
    given = project.settings.table("retention").get("grace_hours", GRACE_HOURS) if hours is None else hours
    if not isinstance(given, int | float) or given < 0:
        raise InvalidInputError(f"a grace period is a number of hours, 0 or more, not {given}.")
    return int(given * 3600 * 1_000_000)


def _free(project: Project, grace: int, results_to: int | None) -> Collection:
    before = _disk(project.objects)
    remove_events(project)
    finish_deleting(project)
    _see_strays(project)
    for number in range(_TRIES):
        with project.ledger.read() as tx:
            found = _Sweep(project, tx, grace, results_to)
        made = packs.rewrite(project.objects, found.rewritten)
        crash_point("collect.rewritten")
        project.objects.made(made)
        done = _record(project, found, last=number == _TRIES - 1, grace=grace)
        if done is not None:
            break
    assert done is not None  # the last try holds the ledger while it looks
    crash_point("collect.recorded")
    finish_deleting(project)
    reindex(project.objects, {each.id for each in made})
    _forget_files(project, done)
    answer = done.report("freed", {"before": before, "after": _disk(project.objects)}, _prove(project, done, made))
    with project.ledger.write() as tx:
        text = msgspec.json.encode(answer).decode()
        tx.insert(
            "collections", id=tx.new_id(), at=tx.now, by=project.actor.name, objects=answer.objects,
            bytes=answer.bytes, report=text,
        )  # fmt: skip
    write_checkpoint(project)
    return answer


class _Sweep:
    """What is alive, what is dead and what becomes of each pack, by the facts of one moment."""

    def __init__(self, project: Project, tx: Tx, grace: int, results_to: int | None) -> None:
        self.stamp = stamp_of(tx)
        self.results_to = results_to
        self.project, self.store = project, project.objects
        self.plan = msgspec.structs.replace(plan_of(project, tx, grace), results_to_bytes=results_to)
        self.cutoff = self.plan.now - grace
        self.mark = mark_everything(self.store, self.plan, tx)
        rows = listed_packs(tx)
        self.young = {record.id for record, used in rows if used > self.cutoff}
        self.plans = list(
            packs.plan_packs(self.store, [record for record, _ in rows], lambda digest: digest in self.mark.alive)
        )
        _require_read(rows, self.plans)
        self.strays = _old_strays(tx, self.store, {record.id for record, _ in rows}, self.cutoff)

    @property
    def dropped(self) -> list[PackPlan]:
        """The packs that are given up."""
        return [each for each in self.plans if each.do != "keep" and each.record.id not in self.young]

    @property
    def rewritten(self) -> list[PackPlan]:
        """Those of them whose living entries go into new packs."""
        return [each for each in self.dropped if each.do == "rewrite"]

    def lost(self) -> set[bytes]:
        """Return the digests that are nowhere once the packs are gone."""
        dropped = {each.record.id for each in self.dropped}
        dead = {digest for each in self.dropped for digest, _ in each.dead}
        left = {digest for each in self.plans if each.record.id not in dropped for digest, _ in each.dead}
        return dead - left

    def report(self, verb: str, disk: dict[str, int], proof: tuple[str, ...] = ()) -> Collection:
        """Return the report of the sweep."""
        lost, sizes = self.lost(), {d: loc.length for each in self.dropped for d, loc in each.dead}
        groups: dict[int, list[int]] = {}
        for digest in lost:
            groups.setdefault(self.mark.freed.get(digest, -1), []).append(sizes[digest])
        freed = [
            Freed(what=_shown(self.project, ref), why=why, objects=len(groups[number]), bytes=sum(groups[number]))
            for number, (ref, why) in enumerate(self.mark.going)
            if number in groups
        ]
        if -1 in groups:
            why = "bytes that no fact names"
            freed.append(Freed(what="objects", why=why, objects=len(groups[-1]), bytes=sum(groups[-1])))
        stray = sum(size for _, size in self.strays)
        if self.strays:
            why = "packs of writes that were not finished"
            freed.append(Freed(what="packs", why=why, objects=len(self.strays), bytes=stray))
        return Collection(
            freed_already=bool(verb),
            objects=len(lost),
            bytes=sum(sizes[each] for each in lost) + stray,
            freed=tuple(sorted(freed, key=lambda each: -each.bytes)),
            kept=self._kept(),
            packs_dropped=len(self.dropped) - len(self.rewritten) + len(self.strays),
            packs_rewritten=len(self.rewritten),
            disk_before=disk.get("before", _disk(self.store) if not verb else 0),
            disk_after=disk.get("after"),
            problems=proof,
            recompute_s=sum(self.mark.costs.get(ref, 0.0) for n, (ref, _) in enumerate(self.mark.going) if n in groups),
            notes=tuple(self.mark.notes),
        )

    def _kept(self) -> tuple[Kept, ...]:
        counted: dict[str, list[int]] = {}
        gone = {each.record.id for each in self.dropped}
        for each in self.plans:
            for digest, location in each.alive:
                counted.setdefault(self.mark.reasons[self.mark.alive[digest]], []).append(location.length)
            if each.record.id not in gone and each.dead:
                young = each.record.id in self.young
                why = "nothing needs it, but too young" if young else "dead, in packs that are mostly alive"
                counted.setdefault(why, []).extend(location.length for _, location in each.dead)
        found = [Kept(why=why, objects=len(sizes), bytes=sum(sizes)) for why, sizes in counted.items()]
        return tuple(sorted(found, key=lambda each: -each.bytes))


def _require_read(rows: list[tuple[PackRecord, int]], plans: list[PackPlan]) -> None:
    """Raise CorruptError where a listed pack cannot be read: it may list chunks that then look as if nothing did."""
    read = {each.record.id for each in plans}
    lost = [record.id for record, _ in rows if record.id not in read]
    if lost:
        raise CorruptError(
            f"{len(lost)} pack(s) that the project needs are missing or damaged, {lost[0]} first, so what they need is "
            "not known. Nothing was freed. 'hw verify' names them all; bring them back from a backup first; without "
            "one accept the loss with 'hw data accept-loss'.",
            packs=lost[:100],
        )


def mark_everything(store: ObjectStore, plan: Plan, tx: Tx) -> Mark:
    """Return what every room, and every column that no room speaks for, needs of the store, chunks included.

    Raises:
        CorruptError, NotFoundError: something needed cannot be read, so what it needs is not known.
    """
    mark = Mark()
    for each in sorted(HOLDERS.values(), key=lambda holder: -holder.floor):
        each.mark(plan, tx, mark)
    _keep_named(tx, mark, frozenset().union(*(each.speaks_for for each in HOLDERS.values())))
    store.refresh(whole=True)
    packs.keep_chunks(store, mark)
    return mark


def plan_of(project: Project, tx: Tx, grace: int = 0) -> Plan:
    """Return what a collection goes by; a retention that is shorter than the grace lasts as long as the grace."""
    now = tx.database_now()
    table = project.settings.table("retention")
    days = {key: table.get(key, 90) for key in ("runs_days", "versions_days")}
    for key, value in days.items():
        if not isinstance(value, int | float) or value < 0:
            raise InvalidInputError(f"[retention] {key} in headwater.toml is a number of days, 0 or more, not {value}.")
    since = tx.value("SELECT min(started_at) FROM runs WHERE status = 'running'")
    return Plan(
        project=project,
        now=now,
        runs_before=now - max(int(days["runs_days"] * DAY_US), grace),
        versions_before=now - max(int(days["versions_days"] * DAY_US), grace),
        running_since=since,
    )


def stamp_of(tx: Tx) -> tuple[int, ...]:
    """Return numbers that change whenever a fact is recorded that may name something."""
    moves = tx.value("SELECT COALESCE(SUM(moves), 0) FROM pointers")
    counts = [int(tx.value("SELECT COALESCE(MAX(value), 0) FROM counters WHERE name = 'announcements'")), int(moves)]
    for table in ("versions", "artefacts", "results", "model_files", "seals", "holds", "deletions", "runs"):
        counts.append(int(tx.value(f"SELECT COUNT(*) FROM {table}")))
    return tuple(counts)


def _keep_named(tx: Tx, mark: Mark, spoken: frozenset[str]) -> None:
    """Keep what stands in columns that no holder speaks for: a room that forgot to register loses nothing."""
    for table, columns in tx.tables().items():
        if table in _NO_DIGESTS or table in spoken:
            continue
        for column in columns:
            if f"{table}.{column}" in spoken:
                continue
            for row in tx.stream(f'SELECT "{column}" AS said FROM "{table}" WHERE "{column}" IS NOT NULL'):
                said = row.said
                data = said.encode() if isinstance(said, str) else bytes(said) if isinstance(said, bytes) else b""
                found = [each.decode() for each in _DIGEST.findall(data)]
                mark.keep(found, f"named in {table}")


def listed_packs(tx: Tx) -> list[tuple[PackRecord, int]]:
    rows = tx.all(
        "SELECT p.seq, p.id, p.size, p.entries, p.footer_digest, p.created_at, u.used_at FROM packs p "
        "LEFT JOIN pack_uses u ON u.pack = p.id ORDER BY p.seq"
    )
    return [
        (
            PackRecord(
                id=row.id, size=row.size, entries=row.entries, footer_digest=row.footer_digest,
                created_at=row.created_at, seq=row.seq,
            ),
            max(row.created_at, row.used_at or 0),
        )
        for row in rows
    ]  # fmt: skip


def _see_strays(project: Project) -> None:
    """Write down since when a pack that no fact lists has been lying there, by the database's clock."""
    with project.ledger.read() as tx:
        listed = {row.id for row in tx.stream("SELECT id FROM packs")}
        seen = {row.pack for row in tx.stream("SELECT pack FROM stray_packs")}
    lying = {pack for pack, _, _ in project.objects.backend.packs()}
    new, over = lying - listed - seen, seen - lying | (seen & listed)
    if new or over:
        with project.ledger.write() as tx:
            now = tx.database_now()
            rows = [(pack, now) for pack in sorted(new)]
            tx.executemany("INSERT INTO stray_packs (pack, seen_at) VALUES (?, ?) ON CONFLICT DO NOTHING", rows)
            tx.executemany("DELETE FROM stray_packs WHERE pack = ?", [(pack,) for pack in sorted(over)])


def _old_strays(tx: Tx, store: ObjectStore, listed: set[str], cutoff: int) -> list[tuple[str, int]]:
    seen = {row.pack: row.seen_at for row in tx.all("SELECT pack, seen_at FROM stray_packs")}
    made = {record.id for record in store.own_pending()}
    return [
        (pack, size)
        for pack, size, _ in store.backend.packs()
        if pack not in listed and pack not in made and seen.get(pack, cutoff + 1) <= cutoff
    ]


def _record(project: Project, found: _Sweep, *, last: bool, grace: int) -> _Sweep | None:
    """Give the packs up in one transaction; None when something was named since the sweep looked."""
    with project.ledger.write() as tx:
        if stamp_of(tx) != found.stamp:
            if not last:
                return None
            again = _Sweep(project, tx, grace, found.results_to)
            written = {each.record.id for each in found.rewritten}
            again.plans = [each for each in again.plans if each.do != "rewrite" or each.record.id in written]
            _require_written(again, found)
            found = again
        rows = listed_packs(tx)
        found.young |= {record.id for record, used in rows if used > found.cutoff}
        # A commit may have listed a pack since that no fact named when the sweep looked.
        listed = {record.id for record, _ in rows}
        found.strays = [each for each in found.strays if each[0] not in listed]
        drop_packs(tx, [(each.record.id, each.record.size) for each in found.dropped] + found.strays)
        _record_gone(tx, found)
    return found


def _require_written(again: _Sweep, found: _Sweep) -> None:
    """Keep a pack whose living entries grew since they were copied."""
    copied = {each.record.id: {digest for digest, _ in each.alive} for each in found.rewritten}
    again.plans = [
        each for each in again.plans
        if each.do != "rewrite" or {digest for digest, _ in each.alive} <= copied.get(each.record.id, set())
    ]  # fmt: skip


def drop_packs(tx: WriteTx, dropped: list[tuple[str, int]]) -> None:
    """Take packs from the ledger's list; their files go afterwards, and their ids never come back."""
    now = tx.database_now()
    for pack, size in dropped:
        tx.execute("DELETE FROM packs WHERE id = ?", (pack,))
        tx.execute("DELETE FROM pack_uses WHERE pack = ?", (pack,))
        tx.execute("DELETE FROM stray_packs WHERE pack = ?", (pack,))
        tx.execute(
            "INSERT INTO dropped_packs (pack, size, dropped_at, deleted) VALUES (?, ?, ?, 0) "
            "ON CONFLICT (pack) DO UPDATE SET dropped_at = excluded.dropped_at, deleted = 0",  # somebody put it again
            (pack, size, now),
        )
    if dropped:
        tx.next(DROPS)


def _record_gone(tx: WriteTx, found: _Sweep) -> None:
    """Record what went, so that readers are told when and why: a version only where something of it went."""
    lost = found.lost()
    if not lost:
        return
    roots = {f"version:{row.id}": (row.root, row.record) for row in tx.stream("SELECT id, root, record FROM versions")}
    named: dict[int, list[str]] = {}
    for digest, number in found.mark.freed.items():
        if digest in lost:
            named.setdefault(number, []).append(digest.hex())
    for number, digests in named.items():
        ref, why = found.mark.going[number]
        asked_for = digests if ref not in roots else [each for each in roots[ref] if bytes.fromhex(each) in lost]
        for each in asked_for:
            _gone(tx, f"object:{each}", f"it was of {_named(tx, ref)}; {why}")
        if ref.startswith("result:"):
            mark_broken(tx, ref.partition(":")[2], collected=True)
    names = {each.hex() for each in lost}
    known: dict[str, bool] = {}
    for ref, why in found.mark.going:
        if ref in roots:
            root, record = roots[ref]
            if record in names or lacks(found.store, root, names, known):
                _gone(tx, ref, why)


def _named(tx: Tx, ref: str) -> str:
    row = tx.one("SELECT dataset, number FROM versions WHERE id = ?", (ref.partition(":")[2],))
    return f"{row.dataset}@v{row.number}" if row is not None and ref.startswith("version:") else ref


def _gone(tx: WriteTx, ref: str, why: str) -> None:
    tx.execute(
        "INSERT INTO gone (ref, at, how, why) VALUES (?, ?, 'collected', ?) "
        "ON CONFLICT (ref) DO UPDATE SET at = excluded.at, how = excluded.how, why = excluded.why",
        (ref, tx.now, why),
    )


def finish_deleting(project: Project) -> int:
    """Delete the files of packs that were given up, also by a collection that was cut off; returns the bytes."""
    with project.ledger.read() as tx:
        waiting = [row.pack for row in tx.all("SELECT pack FROM dropped_packs WHERE deleted = 0 ORDER BY pack")]
    size = 0
    for pack in waiting:
        size += packs.delete_pack(project.objects, pack)
        crash_point("collect.deleted")
    if waiting:
        with project.ledger.write() as tx:
            tx.executemany("UPDATE dropped_packs SET deleted = 1 WHERE pack = ?", [(pack,) for pack in waiting])
    return size


def reindex(store: ObjectStore, made: set[str]) -> None:
    """Take the new packs in once more: their entries were known at their old places until these went."""
    for pack in made:
        store.forget_pack(pack)
    store.refresh(whole=True)


def _forget_files(project: Project, done: _Sweep) -> None:
    for digest in done.lost():
        project.objects.drop_cached(digest.hex())


def _prove(project: Project, done: _Sweep, made: list[Any]) -> tuple[str, ...]:
    """Return what is wrong afterwards: new packs that do not read back, and living objects that are nowhere."""
    problems = []
    listed = {record.id: record for record in project.objects.packs_since(0)}
    for writer in made:
        if writer.id in listed:
            problems += [each.message for each in check_pack(project.objects.backend, listed[writer.id])[0]]
    stored = {digest.hex() for each in done.plans for digest, _ in each.alive}
    absent = project.objects.missing(sorted(stored), rely=False)
    return (*problems, *(f"object {digest} is needed and not in the store any longer" for digest in absent))


def _disk(store: ObjectStore) -> int:
    return sum(size for _, size, _ in store.backend.packs())


def _shown(project: Project, ref: str) -> str:
    with project.ledger.read() as tx:
        return _named(tx, ref)

"""What the lake keeps and what it gives up: decisions to delete, holds, and which versions' bytes are needed."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from ..errors import ConflictError, GoneError, InvalidInputError, NotFoundError, RefusedError
from ..ledger.packs import LOST
from ..objects.collecting import Mark, holder
from ..operation import operation
from ..project import Project
from .manifest import decoded
from .ranges import Row
from .refs import COLUMNS, find_version, get_version, require_dataset, version_of, versions_where
from .values import Version

if TYPE_CHECKING:
    from ..ledger import Tx, WriteTx
    from ..objects import ObjectStore

DAY_US = 86_400 * 1_000_000


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What a collection goes by. Times are UTC microseconds; ``now`` is the database's clock.

    What ended before ``runs_before`` (runs) or was made before ``versions_before`` (versions that nothing names) need
    not be kept. ``results_to_bytes``: results are given up until the rest of them has so many bytes; None: none is.
    """

    project: Any
    now: int
    runs_before: int
    versions_before: int
    running_since: int | None = None
    results_to_bytes: int | None = None


class Hold(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody wants kept, until it is released."""

    id: str
    ref: str
    why: str
    by: str
    at: int


class Deletion(msgspec.Struct, frozen=True, kw_only=True):
    """The decision that a version's bytes may go. ``at`` is when it was made."""

    version: str
    ref: str
    dataset: str
    why: str
    by: str
    at: int


@operation("data.delete", needs="data:admin")
def delete(project: Project, ref: str, why: str) -> list[Deletion]:
    """Decide that the bytes of a version, or of all versions of a dataset, may go; 'hw data collect' frees them.

    ``ref`` names a version (``flights@v3``) or, without ``@``, a whole dataset, whose branches and tags go with it.
    Facts and lineage stay. What a run, a model version or a hold needs stays until they no longer do.
    Each decision is a link of the governance chain.

    Raises:
        InvalidInputError: there is no reason.
        RefusedError: the version is the head of a branch, or a tag names it.
        NotFoundError: there is no such dataset or version.
    """
    if not why.strip():
        raise InvalidInputError("a deletion needs a reason: say why these bytes may go.")
    with project.ledger.write() as tx:
        if "@" in ref or ref.startswith("version:"):
            chosen = [find_version(tx, ref)]
            _require_unnamed(tx, chosen[0])
        else:
            require_dataset(tx, ref)
            _remove_names(tx, project, ref, why)
            chosen = versions_where(tx, "dataset = ? ORDER BY number", (ref,))
        return [_decide(tx, project, version, why) for version in chosen]


def _require_unnamed(tx: Tx, version: Version) -> None:
    for kind in ("branch", "tag"):
        names = [p.name for p in tx.pointers(kind, f"{version.dataset}/") if p.head == version.id]
        if names:
            raise RefusedError(
                f"{version.ref} is not deleted: the {kind} '{names[0].partition('/')[2]}' points to it. Move or delete "
                f"that {kind} first.",
                version=version.id,
                names=names,
            )


def _remove_names(tx: WriteTx, project: Project, dataset: str, why: str) -> None:
    for kind in ("branch", "tag"):
        for pointer in tx.pointers(kind, f"{dataset}/"):
            tx.remove_pointer(kind, pointer.name, expected=pointer.head, why=why, by=project.actor.name)
            tx.announce(kind, f"{kind}:{pointer.name}")


def _decide(tx: WriteTx, project: Project, version: Version, why: str) -> Deletion:
    who = project.actor
    tx.execute(
        "INSERT INTO deletions (version, dataset, why, by, claimed, at) VALUES (?, ?, ?, ?, ?, ?) "
        "ON CONFLICT (version) DO NOTHING",
        (version.id, version.dataset, why, who.name, int(who.claimed), tx.database_now()),
    )
    tx.govern("delete", f"version:{version.id}", {"by": who.name, "claimed": who.claimed, "why": why})
    tx.announce("deletion", f"version:{version.id}")
    row = tx.one("SELECT * FROM deletions WHERE version = ?", (version.id,))
    assert row is not None  # written above
    return Deletion(version=version.id, ref=version.ref, dataset=row.dataset, why=row.why, by=row.by, at=row.at)


@operation("data.hold", needs="data:write")
def hold(project: Project, ref: str, why: str) -> Hold:
    """Keep the bytes of a version (``flights@v3``) or of what a run read and made (``run:...``), until released.

    Raises:
        InvalidInputError: there is no reason.
        NotFoundError: there is no such version or run.
    """
    if not why.strip():
        raise InvalidInputError("a hold needs a reason: say for what it is kept, so that somebody can release it.")
    with project.ledger.write() as tx:
        if ref.startswith("run:"):
            if tx.one("SELECT 1 AS one FROM runs WHERE id = ?", (ref.partition(":")[2],)) is None:
                raise NotFoundError(f"there is no {ref}. 'hw runs list' shows those there are.", ref=ref)
            full = ref
        else:
            full = f"version:{find_version(tx, ref).id}"
        made = Hold(id=tx.new_id(), ref=full, why=why, by=project.actor.name, at=tx.now)
        tx.insert("holds", **msgspec.structs.asdict(made), released_at=None, released_by=None)
        tx.announce("hold", full)
    return made


@operation("data.hold.release", needs="data:write")
def release_hold(project: Project, identifier: str) -> Hold:
    """Release a hold by its id; what it kept may go when nothing else needs it.

    Raises:
        NotFoundError: there is no such hold, or it was released before.
    """
    with project.ledger.write() as tx:
        row = tx.one("SELECT * FROM holds WHERE id = ? AND released_at IS NULL", (identifier,))
        if row is None:
            raise NotFoundError(f"there is no hold {identifier} in force. 'hw data hold' lists those there are.")
        tx.execute(
            "UPDATE holds SET released_at = ?, released_by = ? WHERE id = ?", (tx.now, project.actor.name, identifier)
        )
        return _hold_of(row)


@operation("data.hold.list", needs="data:read")
def list_holds(project: Project) -> list[Hold]:
    """Return the holds in force, oldest first."""
    with project.ledger.read() as tx:
        return [_hold_of(row) for row in tx.all("SELECT * FROM holds WHERE released_at IS NULL ORDER BY id")]


def _hold_of(row: Any) -> Hold:
    return Hold(id=row.id, ref=row.ref, why=row.why, by=row.by, at=row.at)


def require_kept(tx: Tx, versions: Sequence[str], root: str = "") -> None:
    """Raise ConflictError where a version to build on, or a manifest to name again, was collected meanwhile."""
    refs = [*(f"version:{each}" for each in versions), *([f"object:{root}"] if root else [])]
    for row in tx.all_in("SELECT ref, how, why FROM gone WHERE ref IN (??)", refs):
        if row.ref.startswith("version:") and row.how == "collected":
            raise ConflictError(
                f"{row.ref} was collected while this was being made from it ({row.why}). Start from a version that "
                "is there: 'hw data log' lists them.",
                ref=row.ref,
            )


def ancestors(tx: Tx, refs: Iterable[str], *, past_versions: bool) -> dict[str, str]:
    """Return what these refs descend from by lineage, each with the ref that led there; the refs themselves too.

    A version's parents are its history and no descent. ``past_versions`` False stops at versions.
    """
    found = dict.fromkeys(refs, "")
    level = list(found)
    while level:
        asked = [ref for ref in level if past_versions or not ref.startswith("version:")]
        level = []
        for row in tx.all_in("SELECT child, role, parent FROM edges WHERE child IN (??)", asked):
            versioned = row.child.startswith("version:") and row.role == "parent"
            if not versioned and row.parent not in found:
                found[row.parent] = row.child
                level.append(row.parent)
    return found


@holder(
    "lake",
    floor=10,
    speaks_for=("versions", "edges", "pointers", "pointer_moves", "deletions", "branch_settings", "announcements"),
)
def mark_versions(plan: Plan, tx: Tx, mark: Mark) -> None:
    """Keep what the versions need that something needs, and name the versions that nothing does."""
    versions = [version_of(row) for row in tx.stream(f"SELECT {COLUMNS} FROM versions ORDER BY number")]
    gone = {row.ref for row in tx.stream("SELECT ref FROM gone WHERE how = 'collected'")}
    versions = [each for each in versions if f"version:{each.id}" not in gone]
    judge = _Judge(plan, tx, mark, versions)
    seen: set[str] = set()
    going = []
    for version in versions:
        why = judge.kept(version)
        if why:
            mark.keep([version.record], why)
            mark.keep(walk(plan.project.objects, version.root, seen), why)
        else:
            going.append(version)
    seen = set()
    for version in going:
        named = [version.record, *walk(plan.project.objects, version.root, seen)]
        mark.free(f"version:{version.id}", judge.freed(version), [each for each in named if not mark.holds(each)])


def walk(store: ObjectStore, root: str, seen: set[str]) -> Iterator[str]:
    """Yield the digests of a manifest's ranges and files; ranges in ``seen`` were walked and are left out.

    What lies below a range whose loss somebody accepted is not known to anybody, and left out.

    Raises:
        CorruptError, NotFoundError: a range cannot be read: nothing may be freed by what is not known.
    """
    waiting = [root]
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        yield name
        try:
            _, items = decoded(store, name)
        except GoneError as error:
            if error.values.get("how") != LOST:
                raise
            continue
        for item in items:
            if isinstance(item, Row):
                yield item.digest
            else:
                waiting.append(item.digest)


def lacks(store: ObjectStore, root: str, lost: Container[str], known: dict[str, bool]) -> bool:
    """Tell whether a manifest has a range or a file among the lost; ``known`` keeps the answers by range."""
    if root not in known:
        known[root] = root in lost  # a range of itself there is not, so this ends
        if not known[root]:
            _, items = decoded(store, root)
            known[root] = any(
                item.digest in lost if isinstance(item, Row) else lacks(store, item.digest, lost, known)
                for item in items
            )
    return known[root]


class _Judge:
    """Says of each version why it stays, or why it may go."""

    def __init__(self, plan: Plan, tx: Tx, mark: Mark, versions: Sequence[Version]) -> None:
        self._plan = plan
        self._pinned = mark.pinned
        self._deleted = {row.version: row for row in tx.all("SELECT version, at, why, by FROM deletions")}
        heads = {p.head: f"{kind} {p.name}" for kind in ("tag", "branch") for p in tx.pointers(kind)}
        self._heads = heads
        self._history = _history(heads, {each.id: each for each in versions})
        held = tx.all("SELECT ref, why FROM holds WHERE released_at IS NULL")
        self._held = {row.ref: row.why for row in held}
        self._quarantine = {
            row.version
            for row in tx.all(
                "SELECT v.version FROM verdicts v WHERE v.outcome = 'failed' AND NOT EXISTS "
                "(SELECT 1 FROM verdicts w WHERE w.version = v.version AND w.turn > v.turn)"
            )
        }

    def kept(self, version: Version) -> str:
        """Return why a version stays, empty where it may go."""
        ref = f"version:{version.id}"
        decision = self._deleted.get(version.id)
        since = self._plan.running_since
        if version.id in self._heads:
            return "heads of branches and tags"
        if ref in self._pinned:
            return self._pinned[ref]
        if ref in self._held:
            return f"held: {self._held[ref]}"
        if decision is not None:
            return "deleted while a run was under way that may read it" if since and since <= decision.at else ""
        if version.id in self._history:
            return "history of branches and tags"
        if version.id in self._quarantine:
            return "in quarantine, not decided yet"
        if version.created_at >= self._plan.versions_before:
            return "versions that nothing names yet, too young to go"
        return "unnamed, but a run is under way that may read it" if since else ""

    def freed(self, version: Version) -> str:
        """Return why a version may go."""
        decision = self._deleted.get(version.id)
        if decision is not None:
            return f"deleted by {decision.by}: {decision.why}"
        return "no branch, tag, run or hold names it any longer"


def _history(heads: Iterable[str], versions: dict[str, Version]) -> set[str]:
    found: set[str] = set()
    waiting = list(heads)
    while waiting:
        identifier = waiting.pop()
        if identifier not in found and identifier in versions:
            found.add(identifier)
            waiting.extend(versions[identifier].parents)
    return found


def version_named(tx: Tx, ref: str) -> Version:
    """Return the version of a ``version:<id>`` ref."""
    return get_version(tx, ref.removeprefix("version:"))

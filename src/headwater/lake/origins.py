"""Where versions came from when they came from another project, and what that project says of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from ..operation import operation
from ..project import Project
from .merging import descends
from .refs import COLUMNS, find_version, get_version, version_of
from .values import Version

if TYPE_CHECKING:
    from ..ledger import Tx, WriteTx

LARGEST_PAGE = 1000


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """A project as another one names it: its id and name, and the head of its chain at that moment."""

    project: str
    name: str
    seq: int
    hash: str

    @property
    def ref(self) -> str:
        """The parent of the edge ``import``: ``project:ID@SEQ:HASH``."""
        return f"project:{self.project}@{self.seq}:{self.hash}"


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """A version's newest verdict, which failed; ``released`` is the reason of whoever overruled it, "" where nobody."""

    version: str
    id: str
    turn: int
    declared: str
    baseline: str | None
    results: str
    author: str
    created_at: int
    released: str = ""


class Departed(msgspec.Struct, frozen=True, kw_only=True):
    """A version whose bytes were collected: the fact stays, and says when and why they went."""

    version: str
    at: int
    why: str


@operation("data.origin", needs="data:read")
def get_origin(project: Project) -> Origin:
    """Return what another project writes down when it takes versions from this one."""
    head = project.ledger.export_head()
    return Origin(project=project.id, name=project.name, seq=head.seq, hash=head.hash)


@operation("data.history", needs="data:read")
def list_history(project: Project, ref: str, after: int = 0, limit: int = LARGEST_PAGE) -> list[Version]:
    """Return the version that a ref names and all that it descends from, parents before children.

    ``after`` is the number of the last version of the page before, ``limit`` at most 1,000.

    Raises:
        NotFoundError: the ref names nothing.
    """
    with project.ledger.read() as tx:
        version = find_version(tx, ref)
        rows = tx.all(
            "WITH RECURSIVE line (ref) AS (SELECT parent FROM edges WHERE child = ? AND role = 'parent' UNION "
            "SELECT e.parent FROM line JOIN edges e ON e.child = line.ref AND e.role = 'parent') "
            f"SELECT {COLUMNS} FROM versions WHERE (id = ? OR id IN (SELECT substr(ref, 9) FROM line)) AND number > ? "
            "ORDER BY number LIMIT ?",
            (f"version:{version.id}", version.id, after, min(limit, LARGEST_PAGE)),
        )
        return [version_of(row) for row in rows]


@operation("data.version.unknown", needs="data:read")
def unknown_versions(project: Project, ids: Sequence[str]) -> list[str]:
    """Return those of the ids that name no version here, in the order given."""
    with project.ledger.read() as tx:
        known = {row.id for row in tx.all_in("SELECT id FROM versions WHERE id IN (??)", ids)}
    return [each for each in ids if each not in known]


@operation("data.version.descends", needs="data:read")
def descends_from(project: Project, version: str, ancestor: str) -> bool:
    """Tell whether a version (by id) is, or came from, another; False where one of them is not recorded here."""
    if unknown_versions(project, [version, ancestor]):
        return False
    with project.ledger.read() as tx:
        return descends(tx, get_version(tx, version), ancestor)


@operation("data.version.standing", needs="data:read")
def list_standing(project: Project, ids: Sequence[str]) -> list[Standing]:
    """Return, for those of the versions whose newest verdict failed, that verdict and whether it was overruled."""
    with project.ledger.read() as tx:
        rows = tx.all_in(
            "SELECT v.id, v.version, v.turn, v.declared, v.baseline, v.results, v.author, v.created_at FROM verdicts v "
            "WHERE v.outcome = 'failed' AND "
            "NOT EXISTS (SELECT 1 FROM verdicts w WHERE w.version = v.version AND w.turn > v.turn) "
            "AND v.version IN (??)",
            ids,
        )
        return [
            Standing(
                version=row.version, id=row.id, turn=row.turn, declared=row.declared, baseline=row.baseline,
                results=row.results, author=row.author, created_at=row.created_at, released=_released(tx, row),
            )
            for row in rows
        ]  # fmt: skip


@operation("data.version.departed", needs="data:read")
def list_departed(project: Project, ids: Sequence[str]) -> list[Departed]:
    """Return those of the versions whose bytes were collected, with when and why."""
    with project.ledger.read() as tx:
        return departed_in(tx, ids)


def departed_in(tx: Tx, ids: Sequence[str]) -> list[Departed]:
    """Do what ``list_departed`` says inside a transaction that the caller holds."""
    refs = [f"version:{identifier}" for identifier in ids]
    rows = tx.all_in("SELECT ref, at, why FROM gone WHERE how = 'collected' AND ref IN (??)", refs)
    return [Departed(version=row.ref.partition(":")[2], at=row.at, why=row.why) for row in rows]


def _released(tx: Tx, verdict: object) -> str:
    """Return why a verdict was overruled: by a decision made here, or by one that came with the version."""
    version, identifier = verdict.version, verdict.id  # type: ignore[attr-defined]  # a row has its columns as attributes
    here = tx.value("SELECT reason FROM quarantine_releases WHERE verdict = ? ORDER BY id DESC", (identifier,))
    if here is not None:
        return str(here)
    there = tx.value("SELECT reason FROM imports WHERE version = ? AND standing = 'released'", (version,))
    return str(there or "")


def record_import(
    tx: WriteTx, project: Project, version: Version, origin: Origin, *, kind: str, made_from: str = "",
    standing: Standing | None = None,
) -> None:  # fmt: skip
    """Record in this transaction that a version came from another project: the fact and its edge."""
    tx.insert(
        "imports",
        version=version.id,
        kind=kind,
        dataset=version.dataset,
        project=origin.project,
        name=origin.name,
        head_seq=origin.seq,
        head_hash=origin.hash,
        standing="" if standing is None else "released" if standing.released else "failed",
        reason=standing.released if standing else "",
        origin=made_from,
        author=project.actor.name,
        claimed=int(project.actor.claimed),
        imported_at=tx.now,
    )
    tx.edge(f"version:{version.id}", "import", origin.ref)


def elsewhere(origin: Origin, ref: str) -> str:
    """Return the ref of a fact that another project has and this one has not."""
    return f"elsewhere:{origin.project}/{ref}"

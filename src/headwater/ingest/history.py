"""The rows of pulls: what was recorded, read back, and where the next pull goes on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from ..lake import Version
from ..lake.merging import descends
from ..lake.refs import get_version
from .values import Pull

if TYPE_CHECKING:
    from ..ledger import Row, Tx
    from ..project import Project

_COLUMNS = (
    "id, source, parameters, dataset, branch, kind, origin, version, proof, actor, started_at, ended_at, outcome, "
    "message, files, bytes, removed, (SELECT number FROM versions v WHERE v.id = pulls.version) AS number"
)
_GOES_ON = "('committed', 'published', 'quarantined', 'unchanged')"
_LOOKED_AT = 1000


class Start(msgspec.Struct, frozen=True, kw_only=True):
    """Where a pull goes on: the version it builds on (None: nothing yet) and the state that belongs to it."""

    base: Version | None
    data: bytes | None = None
    place: str | None = None

    def state(self, project: Project) -> dict[str, Any] | None:
        """Return the state, None where there is none: a first pull, or a branch that was set to something else."""
        data = project.objects.get(self.place) if self.place else self.data
        found: dict[str, Any] | None = msgspec.json.decode(data) if data else None
        return found


def spelled(parameters: Mapping[str, str]) -> str:
    """Return parameters as the ledger keeps them."""
    return msgspec.json.encode(dict(sorted(parameters.items()))).decode()


def pull_of(row: Row) -> Pull:
    """Return a pull of its row."""
    found = row.as_dict()
    return Pull(**{**found, "parameters": msgspec.json.decode(found["parameters"])})


def read_pull(tx: Tx, identifier: str) -> Pull | None:
    """Return a pull by its id, None where there is none."""
    row = tx.one(f"SELECT {_COLUMNS} FROM pulls WHERE id = ?", (identifier,))
    return None if row is None else pull_of(row)


def page_of_pulls(
    tx: Tx, source: str | None, parameters: Mapping[str, str] | None, *, limit: int, before: str | None
) -> list[Pull]:
    """Return pulls, newest first: of all sources, or of one, or of one with these parameters."""
    where, values = ["id < ?"], [before or "~"]
    if source is not None:
        where.append("source = ?")
        values.append(source)
    if parameters is not None:
        where.append("parameters = ?")
        values.append(spelled(parameters))
    sql = f"SELECT {_COLUMNS} FROM pulls WHERE {' AND '.join(where)} ORDER BY id DESC LIMIT ?"
    return [pull_of(row) for row in tx.all(sql, (*values, limit))]


def last_pulls(tx: Tx, sources: Sequence[str]) -> dict[str, Pull]:
    """Return the newest pull of each source that has one, whatever its parameters."""
    sql = f"SELECT {_COLUMNS} FROM pulls WHERE id IN (SELECT max(id) FROM pulls WHERE source IN (??) GROUP BY source)"
    return {row.source: pull_of(row) for row in tx.all_in(sql, sources)}


def unsettled(tx: Tx, dataset: str, branch: str) -> list[Pull]:
    """Return the pulls whose version was recorded and whose publishing was not, oldest first."""
    sql = (
        f"SELECT {_COLUMNS} FROM pulls WHERE dataset = ? AND branch = ? AND outcome = 'committed' "
        "AND version IS NOT NULL ORDER BY id"
    )
    return [pull_of(row) for row in tx.all(sql, (dataset, branch))]


def find_start(tx: Tx, source: str, parameters: Mapping[str, str], dataset: str, branch: str) -> Start:
    """Return where the next pull of a source goes on.

    State belongs to a version. The newest pull counts whose version the branch's head came from (the head is built
    on), or which came from the head (it waits in quarantine: it is built on, so that nothing is left out of the
    next). A head that was set to something else brings back the state of an older pull, or none; so does a version
    whose bytes somebody decided to give up.
    """
    head_id = tx.pointer("branch", f"{dataset}/{branch}")
    head = get_version(tx, head_id) if head_id else None
    rows = tx.all(
        f"SELECT version, state, state_object FROM pulls WHERE source = ? AND parameters = ? AND dataset = ? "
        f"AND branch = ? AND outcome IN {_GOES_ON} ORDER BY id DESC LIMIT ?",
        (source, spelled(parameters), dataset, branch, _LOOKED_AT),
    )
    seen: set[str] = set()
    for row in rows:
        data, place = row.state, row.state_object
        if row.version is None:
            if head is None:
                return Start(base=None, data=data, place=place)
            continue
        if row.version in seen:
            continue
        seen.add(row.version)
        if tx.one("SELECT 1 AS one FROM deletions WHERE version = ?", (row.version,)) is not None:
            continue
        version = get_version(tx, row.version)
        if head is None or version.id == head.id or descends(tx, version, head.id):
            return Start(base=version, data=data, place=place)
        if descends(tx, head, version.id):
            return Start(base=head, data=data, place=place)
    return Start(base=head)

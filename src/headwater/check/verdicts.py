"""Verdicts: recorded, found, listed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from ..errors import InvalidInputError, NotFoundError
from ..lake.refs import find_version
from ..operation import operation
from ..project import Project
from .values import CheckResult, Outcome, Verdict

if TYPE_CHECKING:
    from ..ledger import Tx, WriteTx

COLUMNS = "id, version, dataset, outcome, declared, baseline, results, author, created_at"


def record_verdict(
    tx: WriteTx,
    project: Project,
    *,
    version: str,
    dataset: str,
    outcome: Outcome,
    results: tuple[CheckResult, ...],
    declared: str,
    baseline: str | None,
) -> Verdict:
    """Record a verdict as the newest of its version, with the edges to what it judged and compared with."""
    verdict = Verdict(
        id=tx.new_id(),
        version=version,
        dataset=dataset,
        outcome=outcome,
        results=results,
        declared=declared,
        baseline=baseline,
        author=project.actor.name,
        created_at=tx.now,
    )
    turn = tx.value("SELECT COALESCE(MAX(turn), 0) + 1 FROM verdicts WHERE version = ?", (version,))
    tx.insert(
        "verdicts",
        id=verdict.id,
        version=version,
        turn=turn,
        dataset=dataset,
        outcome=outcome,
        declared=declared,
        baseline=baseline,
        results=_text(results),
        author=verdict.author,
        created_at=verdict.created_at,
    )
    tx.edge(f"verdict:{verdict.id}", "checked", f"version:{version}")
    if baseline is not None:
        tx.edge(f"verdict:{verdict.id}", "baseline", f"version:{baseline}")
    tx.announce("verdict", f"verdict:{verdict.id}")
    return verdict


def _text(results: tuple[CheckResult, ...]) -> str:
    # NUL can be in a sample of somebody's text, and Postgres holds none.
    return msgspec.json.encode(results).decode().replace("\\u0000", "\\ufffd")


def verdict_of(row: Any) -> Verdict:
    """Return the verdict of a row of ``COLUMNS``."""
    return Verdict(
        id=row.id,
        version=row.version,
        dataset=row.dataset,
        outcome=row.outcome,
        results=msgspec.json.decode(row.results, type=tuple[CheckResult, ...]),
        declared=row.declared,
        baseline=row.baseline,
        author=row.author,
        created_at=row.created_at,
    )


def newest_verdict(tx: Tx, version: str) -> Verdict | None:
    """Return the verdict that holds for a version, None where it was not checked."""
    row = tx.one(f"SELECT {COLUMNS} FROM verdicts WHERE version = ? ORDER BY turn DESC LIMIT 1", (version,))
    return verdict_of(row) if row is not None else None


@operation("check.verdict.find", needs="data:read")
def find_verdict(project: Project, ref: str) -> Verdict | None:
    """Return the newest verdict of the version that a ref names, None where it was not checked.

    Raises:
        NotFoundError: the ref names nothing.
    """
    with project.ledger.read() as tx:
        return newest_verdict(tx, find_version(tx, ref).id)


@operation("check.verdict.get", needs="data:read")
def get_verdict(project: Project, verdict: str) -> Verdict:
    """Return a verdict by its id.

    Raises:
        NotFoundError: there is none.
    """
    with project.ledger.read() as tx:
        row = tx.one(f"SELECT {COLUMNS} FROM verdicts WHERE id = ?", (verdict.removeprefix("verdict:").upper(),))
    if row is None:
        raise NotFoundError(f"there is no verdict {verdict}. 'hw check --list' shows those there are.", verdict=verdict)
    return verdict_of(row)


@operation("check.verdict.list", needs="data:read")
def list_verdicts(
    project: Project, dataset: str | None = None, version: str | None = None, limit: int = 100, before: str = ""
) -> list[Verdict]:
    """Return verdicts, newest first: of a dataset, of a version's id, or all.

    ``before`` is the id of the last one of the page before.

    Raises:
        InvalidInputError: ``limit`` is not between 1 and 1,000.
    """
    if not 1 <= limit <= 1000:
        raise InvalidInputError(f"a page holds 1 to 1,000 verdicts, not {limit}.")
    tests, params = ["id < ?"], [before or "~"]
    for column, value in (("dataset", dataset), ("version", version)):
        if value is not None:
            tests.append(f"{column} = ?")
            params.append(value)
    with project.ledger.read() as tx:
        rows = tx.all(
            f"SELECT {COLUMNS} FROM verdicts WHERE {' AND '.join(tests)} ORDER BY id DESC LIMIT ?", (*params, limit)
        )
    return [verdict_of(row) for row in rows]

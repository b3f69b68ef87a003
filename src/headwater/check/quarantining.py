"""Quarantine: versions that failed their checks, and the decision to release one all the same."""

from __future__ import annotations

from ..errors import ConflictError, InvalidInputError
from ..lake.branches import move_branch
from ..lake.merging import descends
from ..lake.refs import MAIN, find_version, get_version
from ..lake.values import Branch
from ..operation import operation
from ..project import Project
from .values import Quarantined
from .verdicts import COLUMNS, newest_verdict, verdict_of


@operation("data.quarantine.list", needs="data:read")
def quarantine(project: Project, dataset: str | None = None, limit: int = 100, before: str = "") -> list[Quarantined]:
    """Return versions whose newest verdict is failed and was not overruled, newest verdict first.

    ``before`` is the verdict's id of the last one of the page before.

    Raises:
        InvalidInputError: ``limit`` is not between 1 and 1,000.
    """
    if not 1 <= limit <= 1000:
        raise InvalidInputError(f"a page holds 1 to 1,000 versions, not {limit}.")
    where = "AND dataset = ?" if dataset is not None else ""
    params = [before or "~", *([dataset] if dataset is not None else []), limit]
    with project.ledger.read() as tx:
        rows = tx.all(
            f"SELECT {COLUMNS} FROM verdicts v WHERE outcome = 'failed' AND id < ? {where} "
            "AND NOT EXISTS (SELECT 1 FROM verdicts w WHERE w.version = v.version AND w.turn > v.turn) "
            "AND NOT EXISTS (SELECT 1 FROM quarantine_releases r WHERE r.verdict = v.id) "
            "ORDER BY id DESC LIMIT ?",
            params,
        )
        return [Quarantined(version=get_version(tx, row.version), verdict=verdict_of(row)) for row in rows]


@operation("data.quarantine.release", needs="data:approve")
def release_from_quarantine(project: Project, version: str, reason: str, *, branch: str = MAIN) -> Branch:
    """Move a branch to a version (id or ref) that failed, by a decision that is recorded with its reason.

    The decision is a link of the governance chain. It holds for this verdict: once checked again, the version needs
    another.

    Raises:
        InvalidInputError: there is no reason, or the version did not fail.
        ConflictError: the branch has what this version does not build on, or moved meanwhile.
        NotFoundError: there is no such version.
    """
    if not reason.strip():
        raise InvalidInputError("a release from quarantine needs a reason: say why the failed checks do not matter.")
    with project.ledger.write() as tx:
        chosen = find_version(tx, version)
        verdict = newest_verdict(tx, chosen.id)
        if verdict is None or verdict.outcome != "failed":
            state = "was not checked" if verdict is None else f"has {verdict.outcome} its checks"
            raise InvalidInputError(f"{chosen.ref} is not in quarantine: it {state}. Publish it.", version=chosen.id)
        head = tx.pointer("branch", f"{chosen.dataset}/{branch}")
        if head is not None and not descends(tx, chosen, head):
            raise ConflictError(
                f"{chosen.ref} does not build on {get_version(tx, head).ref}, which branch '{branch}' points to: merge "
                f"first ('hw data merge {chosen.dataset} v{chosen.number}'), then publish that.",
                version=chosen.id,
                head=head,
            )
        decision = tx.new_id()
        tx.insert(
            "quarantine_releases",
            id=decision,
            version=chosen.id,
            dataset=chosen.dataset,
            branch=branch,
            verdict=verdict.id,
            reason=reason.strip(),
            author=project.actor.name,
            created_at=tx.now,
        )
        tx.govern(
            "quarantine.release",
            f"version:{chosen.id}",
            {
                "decision": decision,
                "branch": branch,
                "verdict": verdict.id,
                "reason": reason.strip(),
                "by": project.actor.name,
                "claimed": project.actor.claimed,
            },
        )
        return move_branch(tx, project, branch, chosen, expected=head, why=reason.strip())

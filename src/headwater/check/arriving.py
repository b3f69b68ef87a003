"""A branch on the receiving side of a push or pull: moved by compare-and-swap, under this project's own rules."""

from __future__ import annotations

from ..errors import ConflictError, NotPublishableError
from ..lake import find_head
from ..lake.declared import is_protected
from ..lake.merging import descends
from ..lake.refs import get_version
from ..lake.values import Version
from ..operation import operation
from ..project import Project
from .publishing import publish
from .values import Publication


@operation("data.arrive", needs="data:write")
def arrive(
    project: Project, dataset: str, version: str, branch: str, *, expected: str | None, why: str = ""
) -> Publication:
    """Move a branch to a version (by id) that came from another project, if it still points to ``expected``.

    The checks declared here run, whatever the sender's said. A version that waits in quarantine moves no branch;
    one that was released from it over there may be what an unprotected branch points to. Where the branch contains
    the version already, it stays.

    Raises:
        ConflictError: the branch moved meanwhile, or has what this version does not build on.
        NotPublishableError: the version failed its checks, here or where it came from.
        NotFoundError: there is no such version.
    """
    head = find_head(project, dataset, branch)
    with project.ledger.read() as tx:
        chosen = get_version(tx, version)
        if head is not None and head.id != chosen.id and descends(tx, head, chosen.id):
            text = f"branch '{branch}' contains {chosen.ref} already and has gone on to {head.ref}"
            return Publication(version=head, verdicts=(), published=True, branch=branch, message=text)
    if head is not None and head.id != chosen.id and head.id != expected:
        raise ConflictError(
            f"branch '{branch}' of '{dataset}' in '{project.name}' moved to {head.ref} ({head.id}) while this was on "
            "its way. The versions are there; run it again to see what to do.",
            head=head.id,
            expected=expected,
        )
    _require_not_quarantined(project, chosen, branch)
    return publish(project, dataset, version=chosen.id, branch=branch, why=why)


def _require_not_quarantined(project: Project, version: Version, branch: str) -> None:
    with project.ledger.read() as tx:
        verdict = tx.one("SELECT id, outcome FROM verdicts WHERE version = ? ORDER BY turn DESC LIMIT 1", (version.id,))
        if verdict is None or verdict.outcome != "failed":
            return
        here = tx.one("SELECT 1 AS one FROM quarantine_releases WHERE verdict = ? AND branch = ?", (verdict.id, branch))
        brought = tx.one("SELECT name, standing, reason FROM imports WHERE version = ?", (version.id,))
        there = ""
        if brought is not None and brought.standing == "released":
            there = f" It was released in '{brought.name}' ({brought.reason}); that does not count here."
        if here is not None or (there and not is_protected(tx, project, version.dataset, branch)):
            return
    raise NotPublishableError(
        f"{version.ref} of '{project.name}' waits in quarantine: it failed its checks (verdict {verdict.id}).{there} "
        f"Branch '{branch}' did not move. Decide here with a reason: hw check release {version.ref} --reason ...",
        version=version.id,
        verdict=verdict.id,
    )

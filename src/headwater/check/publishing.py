"""Publishing: commit, run the checks, move the branch. What fails waits in quarantine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..durable import crash_point
from ..errors import ConflictError, InvalidInputError
from ..lake import Entry, Version, add_files, commit, find_head, put_table
from ..lake.branches import move_branch, pick_version
from ..lake.declared import find_declared, is_protected
from ..lake.merging import descends
from ..lake.refs import MAIN
from ..operation import operation
from ..project import Project
from .running import run_checks
from .values import Publication, Verdict


@operation("data.publish", needs="data:write")
def publish(
    project: Project,
    dataset: str,
    *,
    version: str | None = None,
    put: Sequence[Entry] = (),
    remove: Sequence[str] = (),
    branch: str = MAIN,
    base: str | None = None,
    message: str = "",
    source: str = "",
    produced_by: str | None = None,
    inputs: Sequence[str] = (),
    why: str = "",
) -> Publication:
    """Publish a version (an id, a ref, or what follows its ``@``), or the changes given, which are committed first.

    Changes start from ``base`` (an id), else from the branch's head. All checks declared for the dataset run; the
    branch moves where none failed. A version that failed stays readable in quarantine, with its verdict; the answer
    then has ``published`` False.

    Raises:
        ConflictError: the branch has what this version does not build on, or moved meanwhile; the version and its
            verdict stay.
        InvalidInputError: both a version and changes were given, or a declaration cannot be used.
        NotFoundError: there is no such dataset or version.
    """
    if version is not None and (put or remove):
        raise InvalidInputError("give a version to publish, or changes to commit and publish, not both.")
    head = find_head(project, dataset, branch)
    if version is None:
        start = base if base is not None else head.id if head else None
        chosen = commit(
            project,
            dataset,
            put=put,
            remove=remove,
            base=start,
            message=message,
            source=source,
            produced_by=produced_by,
            inputs=inputs,
        )
    else:
        with project.ledger.read() as tx:
            chosen = pick_version(tx, dataset, version)
    if head is not None and head.id == chosen.id:
        text = f"branch '{branch}' points to {chosen.ref} already: nothing changed"
        return Publication(version=chosen, verdicts=(), published=True, branch=branch, message=text)
    _require_descent(project, chosen, head, branch)
    crash_point("check.publish.committed")
    return _checked_and_moved(project, chosen, head, branch, why)


def _checked_and_moved(project: Project, chosen: Version, head: Version | None, branch: str, why: str) -> Publication:
    verdicts: tuple[Verdict, ...] = ()
    with project.ledger.read() as tx:
        protected = is_protected(tx, project, chosen.dataset, branch)
    if protected or find_declared(project, chosen.dataset) is not None:
        verdicts = (run_checks(project, chosen.id, branch=branch),)
    crash_point("check.publish.checked")
    if verdicts and verdicts[0].outcome == "failed":
        failed = verdicts[0].failures
        names = ", ".join(result.name for result in failed[:5])
        text = (
            f"{chosen.ref} waits in quarantine: {len(failed)} of {len(verdicts[0].results)} checks failed ({names}). "
            f"Branch '{branch}' did not move. Correct the data and publish again; 'hw check quarantine' lists them."
        )
        return Publication(version=chosen, verdicts=verdicts, published=False, branch=branch, message=text)
    try:
        with project.ledger.write() as tx:
            move_branch(tx, project, branch, chosen, expected=head.id if head else None, why=why or chosen.message)
    except ConflictError as error:
        raise ConflictError(
            f"{chosen.ref} was committed and passed, but branch '{branch}' of '{chosen.dataset}' moved meanwhile. "
            f"Nothing is lost: merge it with 'hw data merge {chosen.dataset} v{chosen.number}', then publish that.",
            version=chosen.id,
            **{key: value for key, value in error.values.items() if key == "head"},
        ) from error
    text = f"branch '{branch}' of '{chosen.dataset}' points to v{chosen.number}"
    return Publication(version=chosen, verdicts=verdicts, published=True, branch=branch, message=text)


def _require_descent(project: Project, version: Version, head: Version | None, branch: str) -> None:
    """Refuse to publish over work that the version does not contain."""
    if head is None:
        return
    with project.ledger.read() as tx:
        if descends(tx, version, head.id):
            return
    raise ConflictError(
        f"{version.ref} does not build on {head.ref}, which branch '{branch}' points to: publishing it would drop what "
        f"is there. Merge first ('hw data merge {version.dataset} v{version.number}'), or go back on purpose with "
        "'hw data revert'.",
        version=version.id,
        head=head.id,
    )


def publish_files(
    project: Project,
    dataset: str,
    paths: str | Path | Sequence[str | Path],
    *,
    branch: str = MAIN,
    **options: Any,
) -> Publication:
    """Add local files and publish the version: ``lake.add_files`` (whose options it takes), then ``publish``."""
    version = add_files(project, dataset, paths, branch=branch, **options)
    return publish(project, dataset, version=version.id, branch=branch)


def publish_tables(
    project: Project,
    dataset: str,
    tables: Mapping[str, Any],
    *,
    branch: str = MAIN,
    message: str = "",
    source: str = "",
    produced_by: str | None = None,
    inputs: Sequence[str] = (),
) -> Publication:
    """Add tables by name (each what ``lake.add_table`` takes, kept as ``<name>.parquet``) and publish the version."""
    return publish(
        project,
        dataset,
        put=[put_table(project, name, table) for name, table in tables.items()],
        branch=branch,
        message=message,
        source=source,
        produced_by=produced_by,
        inputs=inputs,
    )

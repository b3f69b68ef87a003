"""Publishing: commit, run the checks, move the branch. What fails waits in quarantine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..durable import crash_point
from ..errors import ConflictError, InvalidInputError
from ..lake import Entry, Version, add_files, find_head, put_table
from ..lake.branches import pick_version
from ..lake.merging import descends
from ..lake.refs import MAIN
from ..operation import operation
from ..project import Project
from .moving import Changes, checked_and_moved, nothing_changed, publish_changes, publish_joined
from .values import Publication


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
    merge: bool = False,
) -> Publication:
    """Publish a version (an id, a ref, or what follows its ``@``), or the changes given, which are committed first.

    Changes are put on the branch's head as it is when their turn comes, so that writers at once lose nothing. Who
    looked at an earlier state gives it as ``base`` (an id): what others published since is kept, and where they
    changed one of the same paths differently it is a conflict. All checks declared for the dataset run; the branch
    moves where none failed. A version that failed stays readable in quarantine, with its verdict; the answer then
    has ``published`` False. ``merge`` joins a given version, path by path, with what the branch has besides.

    Raises:
        ConflictError: others changed the same paths since ``base``, or since what a given version came from; or,
            without ``merge``, the branch has what that does not build on, or moved meanwhile: it and its verdict stay.
        InvalidInputError: both a version and changes were given, or a declaration cannot be used.
        NotFoundError: there is no such dataset or version, or a path to remove is not there.
    """
    if version is None:
        changes = Changes(put, remove, base, message, source, produced_by, tuple(inputs), why)
        return publish_changes(project, dataset, changes, branch)
    if put or remove:
        raise InvalidInputError("give a version to publish, or changes to commit and publish, not both.")
    with project.ledger.read() as tx:
        chosen = pick_version(tx, dataset, version)
    if merge:
        return publish_joined(project, chosen, branch, why)
    head = find_head(project, dataset, branch)
    if head is not None and head.id == chosen.id:
        return nothing_changed(chosen, branch)
    _require_descent(project, chosen, head, branch)
    crash_point("check.publish.committed")
    return _checked_and_moved(project, chosen, head, branch, why)


def _checked_and_moved(project: Project, chosen: Version, head: Version | None, branch: str, why: str) -> Publication:
    try:
        return checked_and_moved(project, chosen, head, branch, why)
    except ConflictError as error:
        raise ConflictError(
            f"{chosen.ref} was committed and passed, but branch '{branch}' of '{chosen.dataset}' moved meanwhile. "
            f"Nothing is lost: merge it with 'hw data merge {chosen.dataset} v{chosen.number}', then publish that.",
            version=chosen.id,
            **{key: value for key, value in error.values.items() if key == "head"},
        ) from error


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
    return publish(project, dataset, version=version.id, branch=branch, merge=True)


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

"""Putting changes onto a branch that others write to as well: none is lost, and only the same path is a conflict."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from ..durable import crash_point
from ..errors import ConflictError
from ..lake import Entry, Version, find_head
from ..lake.branches import move_branch
from ..lake.declared import find_declared, is_protected
from ..lake.manifest import differences
from ..lake.merging import merge
from ..lake.names import first_few, path_bytes
from ..lake.refs import MAIN, get_version
from ..lake.turns import in_turn
from ..lake.versions import commit_with
from ..project import Project
from .values import Publication, Verdict

if TYPE_CHECKING:
    from ..ledger import WriteTx

TRIES = 50
_LONGEST_WAIT_S = 0.5


class Changes(NamedTuple):
    """What is to be published: files put and paths removed, and what ``publish`` was told about them."""

    put: Sequence[Entry]
    remove: Sequence[str]
    base: str | None
    message: str
    source: str
    produced_by: str | None
    inputs: tuple[str, ...]
    why: str


def publish_changes(project: Project, dataset: str, changes: Changes, branch: str) -> Publication:
    """Commit changes on the branch's head and move the branch, again on the new head where somebody was faster.

    Raises:
        ConflictError: others changed the same paths since ``changes.base``, or were faster in all of ``TRIES`` tries.
    """
    checked = _is_checked(project, dataset, branch)

    def on(head: Version | None) -> Publication:
        start = _start(project, dataset, changes, head)
        publish = _published_with_checks if checked else _published
        return publish(project, dataset, changes, start, head, branch)

    return _again_and_again(project, dataset, branch, on)


def publish_joined(project: Project, chosen: Version, branch: str, why: str) -> Publication:
    """Move the branch to a version, or to the join of the two where the branch has what the version has not.

    Raises:
        ConflictError: both changed the same paths, or others were faster in all of ``TRIES`` tries.
    """

    def on(head: Version | None) -> Publication:
        joined = chosen if head is None else merge(project, chosen.dataset, chosen.id, branch)
        if head is not None and joined.id == head.id:
            return nothing_changed(head, branch)
        crash_point("check.publish.committed")
        # What nothing had to be joined with is new to the branch, though merging made nothing of it.
        final = chosen if joined.id == chosen.id else joined
        return checked_and_moved(project, final, head, branch, why or chosen.message)

    return _again_and_again(project, chosen.dataset, branch, on)


def _again_and_again(
    project: Project, dataset: str, branch: str, publish: Callable[[Version | None], Publication]
) -> Publication:
    """Publish on the branch's head, in turn with others of this machine, until the head was still the head."""
    for number in range(TRIES):
        with in_turn(project, dataset, branch):
            head = find_head(project, dataset, branch)
            try:
                return publish(head)
            except ConflictError as error:
                if "head" not in error.values:
                    raise
                lost = error
        time.sleep(random.uniform(0, min(_LONGEST_WAIT_S, 0.002 * 2 ** min(number, 10))))
    raise ConflictError(
        f"branch '{branch}' of '{dataset}' was moved by others each of the {TRIES} times that this was to be "
        "published. Nothing of it is on the branch; its bytes are in the store. Run it again when fewer write.",
        **lost.values,
    ) from lost


def _is_checked(project: Project, dataset: str, branch: str) -> bool:
    with project.ledger.read() as tx:
        protected = is_protected(tx, project, dataset, branch)
    return protected or find_declared(project, dataset) is not None


def _start(project: Project, dataset: str, changes: Changes, head: Version | None) -> str | None:
    """Return the id of the version that the changes are put on.

    Raises:
        ConflictError: since ``changes.base`` the branch got other content at one of the paths.
    """
    if changes.base is None or head is None or changes.base.removeprefix("version:") == head.id:
        return head.id if head else changes.base
    with project.ledger.read() as tx:
        base = get_version(tx, changes.base.removeprefix("version:"))
    wanted = {path_bytes(path): None for path in changes.remove} | {
        path_bytes(entry.path): entry.digest for entry in changes.put
    }
    theirs = [
        path.decode()
        for path, _, after in differences(project.objects, base.root, head.root)
        if path in wanted and wanted[path] != (after.digest if after else None)
    ]
    if theirs:
        raise ConflictError(
            f"since {base.ref}, on which these changes were made, {head.ref} changed {first_few(theirs, len(theirs))} "
            f"too, differently. Look at 'hw data diff {base.ref} {head.ref}', settle those paths, then publish on "
            f"{head.ref}.",
            paths=theirs[:1000],
            count=len(theirs),
        )
    return head.id


def _committed(
    project: Project,
    dataset: str,
    changes: Changes,
    start: str | None,
    also: Callable[[WriteTx, Version], None] | None = None,
) -> Version:
    return commit_with(
        project,
        dataset,
        put=changes.put,
        remove=changes.remove,
        base=start,
        message=changes.message,
        source=changes.source,
        produced_by=changes.produced_by,
        inputs=changes.inputs,
        also=also,
    )


def _published(
    project: Project, dataset: str, changes: Changes, start: str | None, head: Version | None, branch: str
) -> Publication:
    """Record the version and move the branch in one transaction: who is too late records nothing."""

    def move(tx: WriteTx, version: Version) -> None:
        expected = head.id if head else None
        move_branch(tx, project, branch, version, expected=expected, why=changes.why or changes.message)

    version = _committed(project, dataset, changes, start, move)
    if _is_head(version, head):
        return nothing_changed(version, branch)
    return moved(version, (), branch, new=head is None)


def _published_with_checks(
    project: Project, dataset: str, changes: Changes, start: str | None, head: Version | None, branch: str
) -> Publication:
    version = _committed(project, dataset, changes, start)
    if _is_head(version, head):
        return nothing_changed(version, branch)
    crash_point("check.publish.committed")
    return checked_and_moved(project, version, head, branch, changes.why)


def checked_and_moved(project: Project, chosen: Version, head: Version | None, branch: str, why: str) -> Publication:
    """Run the checks declared for a version, and move the branch where none failed.

    Raises:
        ConflictError: the branch does not point to ``head`` any longer.
    """
    verdicts: tuple[Verdict, ...] = ()
    if _is_checked(project, chosen.dataset, branch):
        from .running import run_checks

        verdicts = (run_checks(project, chosen.id, branch=branch),)
    crash_point("check.publish.checked")
    if verdicts and verdicts[0].outcome == "failed":
        return _quarantined(chosen, verdicts, branch)
    with project.ledger.write() as tx:
        move_branch(tx, project, branch, chosen, expected=head.id if head else None, why=why or chosen.message)
    return moved(chosen, verdicts, branch, new=head is None)


def moved(version: Version, verdicts: tuple[Verdict, ...], branch: str, new: bool) -> Publication:
    """Return what is told where the branch moved, or began (``new``)."""
    what = f"new branch '{branch}'" if new and branch != MAIN else f"branch '{branch}'"
    text = f"{what} of '{version.dataset}' points to v{version.number}"
    return Publication(version=version, verdicts=verdicts, published=True, branch=branch, message=text)


def nothing_changed(version: Version, branch: str) -> Publication:
    """Return what is told where the branch holds these files already."""
    text = f"branch '{branch}' points to {version.ref} already: nothing changed"
    version = msgspec.structs.replace(version, changed=False)
    return Publication(version=version, verdicts=(), published=True, branch=branch, message=text)


def _quarantined(version: Version, verdicts: tuple[Verdict, ...], branch: str) -> Publication:
    failed = verdicts[0].failures
    names = ", ".join(result.name for result in failed[:5])
    text = (
        f"{version.ref} waits in quarantine: {len(failed)} of {len(verdicts[0].results)} checks failed ({names}). "
        f"Branch '{branch}' did not move. Correct the data and publish again; 'hw check quarantine' lists them."
    )
    return Publication(version=version, verdicts=verdicts, published=False, branch=branch, message=text)


def _is_head(version: Version, head: Version | None) -> bool:
    return head is not None and head.id == version.id

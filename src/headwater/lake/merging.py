"""Merging two lines of versions by path, and going back to an earlier state."""

from __future__ import annotations

import re
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING, Literal, get_args

import msgspec

from ..errors import InvalidInputError, MergeConflictError
from ..operation import operation
from ..project import Project
from .branches import pick_version
from .manifest import apply_changes, differences
from .names import first_few
from .ranges import Reference, Row
from .refs import MAIN, get_version, require_dataset
from .values import Version
from .versions import record_version

if TYPE_CHECKING:
    from ..ledger import Tx

Take = Literal["", "ours", "theirs"]
_SIDES = get_args(Take)


@operation("data.merge", needs="data:write")
def merge(
    project: Project, dataset: str, source: str, target: str = MAIN, *, message: str = "", take: Take = ""
) -> Version:
    """Return the version that joins two lines, path by path, since their nearest common version; moves no branch.

    ``source`` and ``target`` are ids, refs, or what follows their ``@``. Where one side contains the other, that
    side's version comes back, with ``changed`` False. Its parents are the target's version, then the source's.
    ``take`` decides paths that both sides changed differently: ``ours`` keeps the target's state of them, ``theirs``
    takes the source's.

    Raises:
        MergeConflictError: both sides changed the same paths differently; the message names them.
        InvalidInputError: ``take`` is no side.
        NotFoundError: there is no such dataset or version.
    """
    if take not in _SIDES:
        raise InvalidInputError(f"'{take}' is no side to take: it is 'ours' or 'theirs'.", take=take)
    with project.ledger.read() as tx:
        require_dataset(tx, dataset)
        ours, theirs = pick_version(tx, dataset, target), pick_version(tx, dataset, source)
        base = _nearest_common(tx, ours, theirs)
    if base is not None and base.id == theirs.id:
        return _same(ours)
    if base is not None and base.id == ours.id:
        return _same(theirs)
    changes, both = _three_ways(project, base, ours, theirs)
    if both and not take:
        raise _conflict(ours, theirs, base, [path.decode() for path in both], target)
    changes |= both if take == "theirs" else {}
    with project.objects.batch() as batch:
        root = apply_changes(project.objects, batch.put, ours.root, changes)
    text = message or f"merge {theirs.ref} into {ours.ref}"
    built_from = {each.id: each.root for each in (ours, theirs, base) if each is not None}
    return record_version(project, dataset, root, parents=(ours.id, theirs.id), message=text, built_from=built_from)


def _conflict(
    ours: Version, theirs: Version, base: Version | None, paths: list[str], target: str
) -> MergeConflictError:
    named = target not in (MAIN, ours.id) and not re.fullmatch(r"v\d+", target)
    command = f"hw data merge {ours.dataset} v{theirs.number}{f' --into {target}' if named else ''} --take"
    return MergeConflictError(
        f"{theirs.ref} and {ours.ref} both changed {first_few(paths, len(paths))} since "
        f"{base.ref if base else 'they began'}, differently. 'hw data diff {ours.ref} {theirs.ref}' shows how. "
        f"'{command} theirs' takes v{theirs.number}'s state of them, '{command} ours' keeps v{ours.number}'s; or put "
        "the same state of these files on both, then merge again.",
        paths=paths[:1000],
        count=len(paths),
        version=theirs.id,
        onto=ours.id,
    )


def _same(version: Version) -> Version:
    return msgspec.structs.replace(version, changed=False)


def _three_ways(
    project: Project, base: Version | None, ours: Version, theirs: Version
) -> tuple[dict[bytes, Row | None], dict[bytes, Row | None]]:
    """Return what their side changed and ours did not, and their state of the paths that both changed differently."""
    store = project.objects
    changes: dict[bytes, Row | None] = {}
    conflicts: dict[bytes, Row | None] = {}
    if base is None:
        for path, before, other in differences(store, ours.root, theirs.root):
            if other is not None:
                (changes if before is None else conflicts)[path] = other
        return changes, conflicts
    mine = {path: after for path, _, after in differences(store, base.root, ours.root)}
    for path, _, after in differences(store, base.root, theirs.root):
        if path in mine and mine[path] != after:
            conflicts[path] = after
        elif path not in mine:
            changes[path] = after
    return changes, conflicts


def _nearest_common(tx: Tx, a: Version, b: Version) -> Version | None:
    """Return the newest version that both descend from (or are), None where they share no past."""
    seen: dict[str, set[int]] = {}
    waiting = [(-a.number, a.id, 0), (-b.number, b.id, 1)]
    heapify(waiting)
    while waiting:
        _, identifier, side = heappop(waiting)
        sides = seen.setdefault(identifier, set())
        if side in sides:
            continue
        sides.add(side)
        version = get_version(tx, identifier)
        if len(sides) == 2:
            return version
        for parent in version.parents:
            heappush(waiting, (-get_version(tx, parent).number, parent, side))
    return None


def descends(tx: Tx, version: Version, ancestor: str) -> bool:
    """Tell whether a version is, or came from, the version of id ``ancestor``."""
    found = get_version(tx, ancestor)
    common = _nearest_common(tx, version, found) if found.dataset == version.dataset else None
    return common is not None and common.id == ancestor


@operation("data.revert", needs="data:write")
def revert(project: Project, dataset: str, to: str, *, branch: str = MAIN, message: str = "") -> Version:
    """Return a new version after the head of ``branch`` that holds the files of version ``to``; moves no branch.

    History is kept: what was reverted stays readable. Where the head holds these files already, it comes back with
    ``changed`` False.

    Raises:
        NotFoundError: there is no such dataset, branch or version.
    """
    with project.ledger.read() as tx:
        require_dataset(tx, dataset)
        head, wanted = pick_version(tx, dataset, branch), pick_version(tx, dataset, to)
    if head.root == wanted.root:
        return _same(head)
    return record_version(
        project,
        dataset,
        _root_of(wanted),
        parents=(head.id,),
        built_from={wanted.id: wanted.root},
        message=message or f"revert to v{wanted.number}",
    )


def _root_of(version: Version) -> Reference:
    """Return the reference to a recorded version's manifest."""
    known = version.rows is not None
    return Reference(b"", version.root, 0, version.files, version.bytes, version.rows or 0, int(known))

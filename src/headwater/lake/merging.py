"""Merging two lines of versions by path, and going back to an earlier state."""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING

import msgspec

from ..errors import ConflictError
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


@operation("data.merge", needs="data:write")
def merge(project: Project, dataset: str, source: str, target: str = MAIN, *, message: str = "") -> Version:
    """Return the version that joins two lines, path by path, since their nearest common version; moves no branch.

    ``source`` and ``target`` are ids, refs, or what follows their ``@``. Where one side contains the other, that
    side's version comes back, with ``changed`` False. Its parents are the target's version, then the source's.

    Raises:
        ConflictError: both sides changed the same paths differently; the message names them.
        NotFoundError: there is no such dataset or version.
    """
    with project.ledger.read() as tx:
        require_dataset(tx, dataset)
        ours, theirs = pick_version(tx, dataset, target), pick_version(tx, dataset, source)
        base = _nearest_common(tx, ours, theirs)
    if base is not None and base.id == theirs.id:
        return _same(ours)
    if base is not None and base.id == ours.id:
        return _same(theirs)
    changes, conflicts = _three_ways(project, base, ours, theirs)
    if conflicts:
        raise ConflictError(
            f"{theirs.ref} and {ours.ref} both changed {first_few(conflicts, len(conflicts))} since "
            f"{base.ref if base else 'they began'}, differently. Put the same state of these files on both, then "
            f"merge again; to add a folder, check out {ours.ref} into it first and change them there.",
            paths=conflicts[:1000],
            count=len(conflicts),
        )
    with project.objects.batch() as batch:
        root = apply_changes(project.objects, batch.put, ours.root, changes)
    text = message or f"merge {theirs.ref} into {ours.ref}"
    built_from = {each.id: each.root for each in (ours, theirs, base) if each is not None}
    return record_version(project, dataset, root, parents=(ours.id, theirs.id), message=text, built_from=built_from)


def _same(version: Version) -> Version:
    return msgspec.structs.replace(version, changed=False)


def _three_ways(
    project: Project, base: Version | None, ours: Version, theirs: Version
) -> tuple[dict[bytes, Row | None], list[str]]:
    """Return what their side changed and ours did not, and the paths that both changed differently."""
    store = project.objects
    if base is None:
        both = list(differences(store, ours.root, theirs.root))
        conflicts = [path.decode() for path, mine, other in both if mine is not None and other is not None]
        return {path: other for path, _, other in both if other is not None}, conflicts
    mine = {path: after for path, _, after in differences(store, base.root, ours.root)}
    changes: dict[bytes, Row | None] = {}
    conflicts = []
    for path, _, after in differences(store, base.root, theirs.root):
        if path in mine and mine[path] != after:
            conflicts.append(path.decode())
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

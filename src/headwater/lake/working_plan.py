"""What a checkout must write and remove in a folder, which local changes it would lose, and what is in its way."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

from ..project import LocalProject, Project
from ..working.comparing import Comparison
from .files import entry_of, get_entry, iter_files
from .manifest import differences
from .values import Entry, Version

_FEW = 50

Target = dict[str, Entry | None]
"""Path in the folder to what it shall be; None: not there."""


@dataclass(slots=True)
class Plan:
    """What to write and remove, and in which folders files were that the version lacks.

    ``lost`` are local changes that would be overwritten, ``kept`` those that stay, ``in_the_way`` what cannot go.
    """

    write: dict[str, Entry] = field(default_factory=dict)
    remove: list[str] = field(default_factory=list)
    emptied: set[str] = field(default_factory=set)
    lost: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    in_the_way: list[str] = field(default_factory=list)


def targets(project: Project, a: Version | None, before: str, b: Version, after: str) -> Target:
    """Return what differs from ``a`` below the prefix ``before`` to ``b`` below ``after``, by path in the folder."""
    if a is not None and before == after and isinstance(project, LocalProject):
        found: Target = {}
        cut, raw = len(after), after.encode()
        for path, _, row in differences(project.objects, a.root, b.root):
            if path.startswith(raw):
                found[path.decode()[cut:]] = entry_of(row) if row is not None else None
        return found
    old = {e.path[len(before) :]: e.digest for e in iter_files(project, a.id, before)} if a is not None else {}
    new = {e.path[len(after) :]: e for e in iter_files(project, b.id, after)}
    changed: Target = {path: entry for path, entry in new.items() if old.get(path) != entry.digest}
    return {**changed, **dict.fromkeys(old.keys() - new.keys())}


def plan_for(
    project: Project,
    version: Version,
    prefix: str,
    wanted: Target,
    found: Comparison,
    ours: Mapping[str, bytes],
    force: bool,
) -> Plan:
    """Return the plan that brings a folder to a version: ``wanted`` is what differs from the one it came from.

    ``ours`` are digests by path that an unfinished checkout may have left there: they are nobody's changes. A file
    that is missing is written; a change at a path that the version does not touch stays, unless ``force``.
    """
    plan = Plan(emptied={path.rpartition("/")[0] for path, entry in wanted.items() if entry is None})
    have = found.have()
    for path, entry in wanted.items():
        here = have.get(path, b"")
        if path in have and (here.hex() if here is not None else None) == (entry.digest if entry else None):
            continue
        if here and not force and ours.get(path) != here:
            plan.lost.append(path)
        elif entry is not None:
            plan.write[path] = entry
        elif path not in have or here:
            plan.remove.append(path)
    restore = [path for path in found.removed if path not in wanted]
    changed = [path for path in found.changed if path not in wanted]
    restore += changed if force else [path for path in changed if ours.get(path) == have.get(path)]
    plan.kept = sorted([*(set(changed) - set(restore)), *(path for path in found.added if path not in wanted)])
    plan.write.update(_entries(project, version, prefix, restore))
    plan.lost.sort()
    plan.in_the_way = sorted(_in_the_way(found, plan))
    return plan


def _entries(project: Project, version: Version, prefix: str, paths: list[str]) -> Iterator[tuple[str, Entry]]:
    if len(paths) <= _FEW:
        yield from ((path, get_entry(project, version.id, prefix + path)) for path in paths)
        return
    asked = set(paths)
    for entry in iter_files(project, version.id, prefix):
        if entry.path[len(prefix) :] in asked:
            yield entry.path[len(prefix) :], entry


def _in_the_way(found: Comparison, plan: Plan) -> set[str]:
    """Return the paths of what would have to be a folder and is not, or a file and is a folder that stays."""
    removing = set(plan.remove)
    blocked = {path for path in found.odd if path in plan.write or path in removing}
    checked = {""}
    for path in plan.write:
        if _is_folder(f"{found.folder}/{path}") and not _all_removed(found.folder, path, removing):
            blocked.add(path)
        parent = path.rpartition("/")[0]
        while parent not in checked:
            checked.add(parent)
            place = f"{found.folder}/{parent}"
            # A link is no folder of ours: what would be written below it would land elsewhere.
            if os.path.lexists(place) and not _is_folder(place) and parent not in removing:
                blocked.add(parent)
            parent = parent.rpartition("/")[0]
    return blocked


def _is_folder(place: str) -> bool:
    try:
        return stat.S_ISDIR(os.lstat(place).st_mode)
    except OSError:
        return False


def _all_removed(folder: str, path: str, removing: Collection[str]) -> bool:
    for place, _, names in os.walk(f"{folder}/{path}"):
        below = os.path.relpath(place, folder)
        if any(f"{below}/{name}" not in removing for name in names):
            return False
    return True

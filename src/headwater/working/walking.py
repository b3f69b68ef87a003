"""Looking at every file of a folder once, and telling those that are as the index last saw them from the others."""

from __future__ import annotations

import errno
import marshal
import os
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .statindex import Stat, StatIndex

SKIPPED = frozenset({".headwater", ".git"})
PATH_BYTES = 1024
# Below this many known files a second process costs more than it saves (measured: 2 ms, against 3.5 us a file).
FORK_FILES = 4000


@dataclass(slots=True)
class Walk:
    """What a look at a folder found, against an index. Paths are relative, parts joined by ``/``.

    ``same`` counts the files whose stat the index has; ``changed`` and ``new`` are files of another stat and files
    that it has not; ``gone`` those that are not there any more; ``touched`` are links to the shared cache of which
    only the time of the inode's change differs, which any other link to it moves. ``odd`` says of what cannot be a
    file of a version, why. ``started_ns`` is the clock before the first look.
    """

    started_ns: int
    same: int = 0
    changed: dict[str, Stat] = field(default_factory=dict)
    new: dict[str, Stat] = field(default_factory=dict)
    touched: dict[str, Stat] = field(default_factory=dict)
    gone: list[str] = field(default_factory=list)
    odd: dict[str, str] = field(default_factory=dict)

    def take(self, other: Walk) -> None:
        """Add what another look, at other folders below the same one, found."""
        self.same += other.same
        self.changed |= other.changed
        self.new |= other.new
        self.touched |= other.touched
        self.gone += other.gone
        self.odd |= other.odd


def walk(root: str, index: StatIndex) -> Walk:
    """Look at every file below a folder. Links to files within it are followed; ``.git`` and ``.headwater`` are not.

    With many known files in several folders, a second process looks at half of them.
    """
    started = time.time_ns()
    real = os.path.realpath(root)
    folders = index.folders or [""]
    every = frozenset(folders) | {""}
    mine, others = _halves(index)
    look = _Look(real, index, every, started)
    found = _both(look, mine, others) if others else look.over(sorted(every))
    # Below a folder that became a link nothing is part of this one any more, though its old paths still lead somewhere.
    links = tuple(f"{path}/" for path in found.odd)
    if links and any(folder.startswith(links) for folder in folders):
        return _Look(real, index, every, started, links).over(sorted(every))
    return found


def _halves(index: StatIndex) -> tuple[list[str], list[str]]:
    """Return the folders for this process and for a second one; none for the second where it would not pay."""
    folders = index.folders
    if index.files < FORK_FILES or len(folders) < 2 or not _may_fork():
        return folders, []
    at = 0
    while at < len(folders) - 1 and index.ends[at] < index.files // 2:
        at += 1
    rest = folders[at + 1 :]
    mine = folders[: at + 1]
    return (mine if "" in mine or "" in rest else ["", *mine]), rest


def _may_fork() -> bool:
    """Tell whether a child may be forked: this process has one thread, and there is another core for it."""
    try:
        return len(os.listdir("/proc/self/task")) == 1 and len(os.sched_getaffinity(0)) > 1
    except (OSError, AttributeError):
        return False


def _both(look: _Look, mine: list[str], others: list[str]) -> Walk:
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:  # pragma: no cover  # another process
        code = 1
        try:
            os.close(reader)
            found = look.over(others)
            parts = (found.same, found.changed, found.new, found.touched, found.gone, found.odd)
            with os.fdopen(writer, "wb") as out:
                out.write(marshal.dumps(parts))
            code = 0
        finally:
            os._exit(code)
    os.close(writer)
    try:
        with os.fdopen(reader, "rb") as answer:
            found = look.over(mine)
            data = answer.read()
    finally:
        _, status = os.waitpid(child, 0)
    # A child that was killed has looked at nothing: this process looks instead.
    found.take(Walk(look.started_ns, *marshal.loads(data)) if status == 0 else look.over(others))
    return found


class _Look:
    """One pass over some of the folders; those that nobody knew yet are added as they are found."""

    def __init__(
        self, root: str, index: StatIndex, every: frozenset[str], started_ns: int, links: tuple[str, ...] = ()
    ) -> None:
        self.root = root
        self.index = index
        self.every = every
        self.started_ns = started_ns
        self.links = links

    def over(self, folders: list[str]) -> Walk:
        found = Walk(self.started_ns)
        waiting = folders[::-1]
        while waiting:
            self._folder(waiting.pop(), found, waiting)
        return found

    def _folder(self, folder: str, found: Walk, waiting: list[str]) -> None:
        known = self.index.known(folder)
        if self.links and folder.startswith(self.links):
            found.gone += [folder + name for name in known]
            return
        try:
            # Not followed: a folder that became a link is no longer part of this one.
            descriptor = os.open(f"{self.root}/{folder}", os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError):
            found.gone += [folder + name for name in known]
            return
        except OSError as error:
            if error.errno == errno.ELOOP:  # a link
                found.gone += [folder + name for name in known]
            else:
                found.odd[folder or "."] = f"the folder cannot be read: {error.strerror}"
            return
        try:
            with os.scandir(descriptor) as entries:
                self._entries(folder, known, entries, found, waiting)
        except OSError as error:
            found.odd[folder or "."] = f"the folder cannot be read: {error.strerror}"
            return
        finally:
            os.close(descriptor)
        found.gone += [folder + name for name in known]

    def _entries(
        self,
        folder: str,
        known: dict[str, Stat],
        entries: Iterator[os.DirEntry[str]],
        found: Walk,
        waiting: list[str],
    ) -> None:
        """Compare the entries of one folder; ``known`` keeps what was not met."""
        pop = known.pop
        new = found.new
        same = 0
        # What can be printed is UTF-8 and holds no line break: the usual name needs no closer look, if it is short.
        room = PATH_BYTES // 4 - len(folder) if folder.isprintable() else 0
        for entry in entries:
            name = entry.name
            try:
                at = entry.stat(follow_symlinks=False)
            except FileNotFoundError:  # went away since it was listed
                continue
            was = pop(name, None)
            if was == (at.st_mtime_ns, at.st_size, at.st_ctime_ns, at.st_ino):
                same += 1
            elif was is None and stat.S_ISREG(at.st_mode) and len(name) <= room and name.isprintable():
                new[folder + name] = (at.st_mtime_ns, at.st_size, at.st_ctime_ns, at.st_ino)
            elif stat.S_ISDIR(at.st_mode):
                if was is not None:
                    found.gone.append(folder + name)
                below = f"{folder}{name}/"
                if name not in SKIPPED and below not in self.every:
                    waiting.append(below)
            else:
                self._other(folder + name, was, at, found)
        found.same += same

    def _other(self, path: str, was: Stat | None, at: os.stat_result, found: Walk) -> None:
        """Take in what is no folder and not as the index knows it."""
        if stat.S_ISLNK(at.st_mode):
            target = self._target(path)
            if isinstance(target, str):
                found.odd[_shown(path)] = target
                return
            at = target
        why = _no_file(path, at)
        if why:
            found.odd[_shown(path)] = why
            return
        now = (at.st_mtime_ns, at.st_size, at.st_ctime_ns, at.st_ino)
        if was is None:
            found.new[path] = now
        elif was == now:
            found.same += 1
        elif unchanged(was, at, self.index.stamp_ns):
            found.touched[path] = now
        else:
            found.changed[path] = now

    def _target(self, link: str) -> os.stat_result | str:
        """Return the stat of what a link leads to, or why it cannot stand for a file."""
        place = f"{self.root}/{link}"
        target = os.path.realpath(place)
        if os.path.commonpath([target, self.root]) != self.root:
            return (
                f"it is a link that leads out of its folder, to '{target}'. Add that file itself, or replace the "
                "link by a copy"
            )
        try:
            at = os.stat(place)
        except OSError as error:
            what = "it leads to itself" if error.errno == errno.ELOOP else "its target is missing"
            return f"it is a link that cannot be read: {what}"
        if stat.S_ISDIR(at.st_mode):
            return "it is not a plain file but a link to a folder: add that folder itself"
        return at


def unchanged(was: Stat, at: os.stat_result, stamp_ns: int) -> bool:
    """Tell whether a file is as it was: of the same stat, or the same link to the shared cache, never written to."""
    if was == (at.st_mtime_ns, at.st_size, at.st_ctime_ns, at.st_ino):
        return True
    is_link = stamp_ns == at.st_mtime_ns and not at.st_mode & 0o222
    return is_link and was[:2] == (at.st_mtime_ns, at.st_size) and was[3] == at.st_ino


def _no_file(path: str, at: os.stat_result) -> str:
    """Return why something cannot be a file of a version, "" where it can."""
    if not stat.S_ISREG(at.st_mode):
        return "it is not a plain file but a device, pipe or socket"
    try:
        raw = path.encode()
    except UnicodeEncodeError:
        return "its name is not UTF-8, so it cannot be shown on every machine: rename it"
    if b"\n" in raw or b"\r" in raw:
        return "its name holds a line break: rename it"
    if len(raw) > PATH_BYTES:
        return f"its path is longer than {PATH_BYTES:,} bytes"
    return ""


def _shown(path: str) -> str:
    return path.encode("utf-8", "backslashreplace").decode()

"""What a folder has that the version it came from has not, and the other way round."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field

from .ignoring import ignored_in
from .statindex import Stat, StatIndex
from .walking import Walk, walk

_MAPPED_BYTES = 2**20
# A status writes its findings down only where reading them again would cost more than that.
_WORTH_FILES = 2000
_WORTH_BYTES = 2**24


@dataclass(slots=True)
class Comparison:
    """A folder against the version of its index. ``read`` holds the files whose bytes were read, with what was seen.

    ``added``, ``changed`` and ``removed`` are paths, in order; ``odd`` says of what cannot be in a version, why.
    ``ignored`` would be added, if ``.headwaterignore`` did not name them.
    """

    folder: str
    index: StatIndex
    walk: Walk
    files: int
    added: list[str]
    changed: list[str]
    removed: list[str]
    odd: dict[str, str]
    read: dict[str, tuple[Stat, bytes]] = field(default_factory=dict)
    ignored: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        """Whether the folder holds what the version holds."""
        return not (self.added or self.changed or self.removed or self.odd)

    def differs(self) -> dict[str, bytes | None]:
        """Return the version's digest of every path at which folder and version differ, None where it has none."""
        base = _base_of(self.index, [*self.changed, *self.removed])
        there = [*self.added, *self.ignored]
        known = self.index.digests_of(there)
        return {**{path: None for path in there if path in known or path in self.read}, **base}

    def have(self) -> dict[str, bytes | None]:
        """Return the folder's digest of every path at which it differs, None where the file is not there.

        Files that nobody asked to read are left out.
        """
        known = self.index.digests_of([*self.changed, *self.added])
        found: dict[str, bytes | None] = {}
        for path in (*self.changed, *self.added):
            if path in self.read:
                found[path] = self.read[path][1]
            elif path in known:
                found[path] = known[path]
        return {**found, **dict.fromkeys(self.removed)}

    def stats_of(self, paths: Sequence[str]) -> dict[str, Stat]:
        """Return the stats that at least these files had when they were looked at."""
        met = {**self.walk.changed, **self.walk.new, **self.walk.touched}
        return {**self.index.stats_of([path for path in paths if path not in met]), **met}

    def refreshed(self) -> StatIndex:
        """Return the index with what was found; files that were not read are left out."""
        put = dict(self.read)
        if self.walk.touched:
            known = self.index.digests_of(self.walk.touched)
            put.update((path, (at, known[path])) for path, at in self.walk.touched.items())
        gone = [*self.walk.gone, *(path for path in self.walk.changed if path not in put)]
        return self.index.patched(gone, put, self.walk.started_ns, self.differs())

    def worth_keeping(self) -> bool:
        """Tell whether writing the refreshed index down saves more than it costs."""
        size = sum(at[1] for at, _ in self.read.values())
        return len(self.read) + len(self.walk.touched) > _WORTH_FILES or size > _WORTH_BYTES


def compare(
    folder: str,
    index: StatIndex,
    *,
    read_also: Collection[str] = (),
    read_none: bool = False,
    ignoring: bool = False,
) -> Comparison:
    """Compare a folder with the version its index is of, reading the files whose stat is not the one it was read with.

    New files are read where the version has that path, or ``read_also`` does. ``read_none`` takes what has another
    stat for changed, unread. ``ignoring`` leaves out what is new and named by the folder's ``.headwaterignore``.

    Raises:
        InvalidInputError: a line of ``.headwaterignore`` is no pattern.
    """
    found = walk(folder, index)
    odd = dict(found.odd)
    asked = {path: found.new[path] for path in _asked(found, index, read_also)}
    read: dict[str, tuple[Stat, bytes]] = {}
    gone = set(found.gone)
    for path, at in ({} if read_none else {**found.changed, **asked}).items():
        try:
            read[path] = (at, digest_of(f"{folder}/{path}", at[1]))
        except FileNotFoundError:
            gone.add(path)
        except OSError as error:
            odd[path] = f"it cannot be read: {error.strerror}"
    base = _base_of(index, [*found.changed, *gone])
    # Nothing is known of most new files: they are added.
    added = found.new.keys() - index.differs.keys() - gone
    changed: set[str] = set()
    removed = {path for path in gone if base.get(path) is not None}
    for path in (*found.changed, *(found.new.keys() & index.differs.keys())):
        if path not in gone:
            before = base.get(path) if path in found.changed else index.differs.get(path)
            if before is None:
                added.add(path)
            elif read_none or (path in read and read[path][1] != before):
                changed.add(path)
    # Where folder and version differed before, and the folder is still as it was.
    still = [path for path in index.differs if path not in found.changed and path not in found.new and path not in gone]
    have = index.digests_of(still)
    for path in still:
        if path in have:
            (added if index.differs[path] is None else changed).add(path)
        elif index.differs[path] is not None:
            removed.add(path)
    count = found.same + len(found.touched) + len((found.changed.keys() | found.new.keys()) - gone)
    ignored = ignored_in(folder, [*added, *odd]) if ignoring else set()
    odd = {path: why for path, why in odd.items() if path not in ignored}
    return Comparison(
        folder=folder,
        index=index,
        walk=found,
        files=count,
        added=sorted(added - odd.keys() - ignored),
        ignored=sorted(ignored & added),
        changed=sorted(changed - odd.keys()),
        removed=sorted(removed - odd.keys()),
        odd=odd,
        read=read,
    )


def _asked(found: Walk, index: StatIndex, read_also: Collection[str]) -> Iterator[str]:
    """Yield the new files that must be read, in the order in which they were found."""
    if index.differs or read_also:
        yield from (path for path in found.new if index.differs.get(path) or path in read_also)


def _base_of(index: StatIndex, paths: list[str]) -> dict[str, bytes | None]:
    """Return the digests that the version has at these paths; None where it is known to have none."""
    found: dict[str, bytes | None] = dict(index.digests_of(paths))
    found.update((path, index.differs[path]) for path in paths if path in index.differs)
    return found


def digest_of(path: str, size: int) -> bytes:
    """Return the digest of a file's bytes as they are now."""
    from blake3 import blake3

    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if size < _MAPPED_BYTES:
            data = os.read(descriptor, size + 1)
            if len(data) == size:
                return blake3(data).digest()
            hasher = blake3(data)
            while data := os.read(descriptor, _MAPPED_BYTES):
                hasher.update(data)
            return hasher.digest()
        hasher = blake3(max_threads=blake3.AUTO)
        while data := os.read(descriptor, 8 * _MAPPED_BYTES):
            hasher.update(data)
        return hasher.digest()
    finally:
        os.close(descriptor)

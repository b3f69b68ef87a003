"""The index of a working folder: of each file its stat when it was read, and the digest of what was read.

One binary file, read whole in a few milliseconds and replaced at once. It is a cache: damaged, of another machine or
gone, the files are read again. A file that was changed as the index was taken may have the very stat it was read
with (git calls it racily clean), so such a stat is kept as one that nothing has.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import zlib
from array import array
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

Stat: TypeAlias = tuple[int, int, int, int]
"""Time of modification in ns, size in bytes, time of the inode's change in ns, number of the inode."""

MAGIC = b"HWSTATS1"
NONE = bytes(32)
NO_STAT: Stat = (-1, -1, -1, 0)
"""The stat of no file: what has it is read again."""
# Times of files move in steps: of 10 ms at most where they have parts of a second, of up to 2 s where they have none.
_STEP_NS = 20_000_000
_LONG_STEP_NS = 2_000_000_000


class StatIndex:
    """The files of a folder as they were last read, and how they differ from the version ``base``.

    ``folders`` are in order, each but the first ("") ending with ``/``; ``ends`` are how many files lie up to the end
    of each. ``differs`` holds the paths at which folder and version differ, with the version's digest (None where it
    has no such file).
    """

    def __init__(self, base: str = "", prefix: str = "", stamp_ns: int = 0) -> None:
        self.base = base
        self.prefix = prefix
        self.stamp_ns = stamp_ns
        self.folders: list[str] = []
        self.ends = array("q")
        self.differs: dict[str, bytes | None] = {}
        self._names: list[str] = []
        self._stats: tuple[array[int], array[int], array[int], array[int]] = (
            array("q"),
            array("q"),
            array("q"),
            array("Q"),
        )
        self._digests = b""
        self._place: dict[str, int] | None = None
        self._inside: dict[str, dict[str, int]] = {}  # of folders asked for: names to places

    @property
    def files(self) -> int:
        """How many files the index knows."""
        return len(self._names)

    def known(self, folder: str) -> dict[str, Stat]:
        """Return the stats of the files directly in a folder, by name."""
        place = self._places().get(folder)
        if place is None:
            return {}
        start, end = (self.ends[place - 1] if place else 0), self.ends[place]
        columns = [column[start:end] for column in self._stats]
        return dict(zip(self._names[start:end], zip(*columns, strict=True), strict=True))

    def _places(self) -> dict[str, int]:
        if self._place is None:
            self._place = {folder: place for place, folder in enumerate(self.folders)}
        return self._place

    def digests(self) -> dict[str, bytes]:
        """Return the digest of every file, by path."""
        found: dict[str, bytes] = {}
        at = 0
        for folder, end in zip(self.folders, self.ends, strict=True):
            while at < end:
                found[folder + self._names[at]] = self._digests[32 * at : 32 * at + 32]
                at += 1
        return found

    def digests_of(self, paths: Iterable[str]) -> dict[str, bytes]:
        """Return the digests of those of the paths that the index knows."""
        return {path: self._digests[32 * at : 32 * at + 32] for path, at in self._positions(paths).items()}

    def stats_of(self, paths: Iterable[str]) -> dict[str, Stat]:
        """Return the stats of those of the paths that the index knows."""
        one, two, three, four = self._stats
        return {path: (one[at], two[at], three[at], four[at]) for path, at in self._positions(paths).items()}

    def _positions(self, paths: Iterable[str]) -> dict[str, int]:
        if not self._names:
            return {}
        inside: dict[str, list[str]] = {}
        for path in paths:
            cut = path.rfind("/") + 1
            inside.setdefault(path[:cut], []).append(path[cut:])
        found: dict[str, int] = {}
        for folder, names in inside.items():
            here = self._names_in(folder)
            found.update((folder + name, here[name]) for name in names if name in here)
        return found

    def _names_in(self, folder: str) -> dict[str, int]:
        """Return the places of the files directly in a folder, by name."""
        here = self._inside.get(folder)
        if here is None:
            place = self._places().get(folder)
            start, end = (0, 0) if place is None else (self.ends[place - 1] if place else 0, self.ends[place])
            here = self._inside[folder] = dict(zip(self._names[start:end], range(start, end), strict=True))
        return here

    def stats(self) -> dict[str, Stat]:
        """Return the stat of every file, by path."""
        return {folder + name: at for folder in self.folders for name, at in self.known(folder).items()}

    def rebased(self, base: str, prefix: str, rows: Mapping[str, bytes]) -> StatIndex:
        """Return the same files against another version, whose files (path to digest) are ``rows``."""
        other = StatIndex(base, prefix, self.stamp_ns)
        other.folders, other.ends = self.folders, self.ends
        other._names, other._stats, other._digests = self._names, self._stats, self._digests
        have = self.digests()
        other.differs = {path: digest for path, digest in rows.items() if have.get(path) != digest}
        other.differs |= dict.fromkeys(have.keys() - rows.keys())
        return other

    def patched(
        self,
        gone: Sequence[str],
        put: Mapping[str, tuple[Stat, bytes]],
        started_ns: int,
        differs: Mapping[str, bytes | None],
    ) -> StatIndex:
        """Return the index without the files ``gone``, and with those ``put`` as they were looked at.

        Where only known files are put, this index is changed and returned itself.
        """
        if not gone and len(self.digests_of(put)) == len(put):
            return self._overwritten(put, started_ns, differs)
        digests, stats = self.digests(), self.stats()
        for path in gone:
            digests.pop(path, None)
        files = {path: (stats[path], digest) for path, digest in digests.items()}
        files.update(put)
        return StatIndex.of(
            files,
            base=self.base,
            prefix=self.prefix,
            stamp_ns=self.stamp_ns,
            started_ns=started_ns,
            differs=differs,
        )

    def _overwritten(
        self, put: Mapping[str, tuple[Stat, bytes]], started_ns: int, differs: Mapping[str, bytes | None]
    ) -> StatIndex:
        digests = bytearray(self._digests)
        for path, at in self._positions(put).items():
            seen, digest = put[path]
            kept = seen if settled(seen, self.stamp_ns, started_ns) else NO_STAT
            for column, value in zip(self._stats, kept, strict=True):
                column[at] = value
            digests[32 * at : 32 * at + 32] = digest
        self._digests = bytes(digests)
        self.differs = dict(differs)
        return self

    @classmethod
    def of(
        cls,
        files: Mapping[str, tuple[Stat, bytes]],
        *,
        base: str,
        prefix: str,
        stamp_ns: int,
        started_ns: int,
        differs: Mapping[str, bytes | None] | None = None,
    ) -> StatIndex:
        """Return the index of files (path to stat and digest) that were looked at from ``started_ns`` on."""
        index = cls(base, prefix, stamp_ns)
        index.differs = dict(differs or {})
        inside: dict[str, list[str]] = {}
        for path in files:
            inside.setdefault(path[: path.rfind("/") + 1], []).append(path)
        digests: list[bytes] = []
        stats: list[Stat] = []
        for folder in sorted(inside):
            index.folders.append(folder)
            cut = len(folder)
            index._names += [path[cut:] for path in inside[folder]]
            here = [files[path] for path in inside[folder]]
            stats += [at if settled(at, stamp_ns, started_ns) else NO_STAT for at, _ in here]
            digests += [digest for _, digest in here]
            index.ends.append(len(stats))
        if stats:
            modified, sizes, changed, numbers = zip(*stats, strict=True)
            index._stats = (array("q", modified), array("q", sizes), array("q", changed), array("Q", numbers))
        index._digests = b"".join(digests)
        return index

    def write(self, path: Path) -> None:
        """Replace the file of the index; where it cannot be written, there is none."""
        head = {
            "base": self.base,
            "prefix": self.prefix,
            "stamp_ns": self.stamp_ns,
            "order": sys.byteorder,
            "files": len(self._names),
            "folders": len(self.folders),
            "differs": len(self.differs),
        }
        parts = [
            json.dumps(head).encode(),
            "\0".join(self.folders).encode(),
            self.ends.tobytes(),
            "\0".join(self._names).encode(),
            *(column.tobytes() for column in self._stats),
            self._digests,
            "\0".join(self.differs).encode(),
            b"".join(digest or NONE for digest in self.differs.values()),
        ]
        body = array("q", [len(part) for part in parts]).tobytes() + b"".join(parts)
        temporary = path.with_name(f"{path.name}.{os.getpid()}.{os.urandom(4).hex()}.tmp")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_bytes(MAGIC + zlib.crc32(body).to_bytes(4, "little") + body)
            os.replace(temporary, path)
        except OSError:
            for each in (temporary, path):  # an index of an earlier state is right too, but costs more than none
                with contextlib.suppress(OSError):
                    each.unlink(missing_ok=True)

    @classmethod
    def read(cls, path: Path) -> StatIndex:
        """Return the index of a file; an empty one where there is none, or it is damaged or of another machine."""
        try:
            data = path.read_bytes()
            return cls._decoded(data)
        except (OSError, ValueError, KeyError, IndexError, TypeError):
            return cls()

    @classmethod
    def _decoded(cls, data: bytes) -> StatIndex:
        view = memoryview(data)
        body = view[12:]
        if data[:8] != MAGIC or zlib.crc32(body).to_bytes(4, "little") != data[8:12]:
            raise ValueError("not an index")
        lengths = array("q", bytes(body[: 8 * 11]))
        parts = []
        at = 8 * 11
        for length in lengths:
            parts.append(body[at : at + length])
            at += length
        head = json.loads(bytes(parts[0]))
        if head["order"] != sys.byteorder:
            raise ValueError("of another machine")
        index = cls(head["base"], head["prefix"], head["stamp_ns"])
        index.folders = bytes(parts[1]).decode().split("\0") if head["folders"] else []
        index.ends.frombytes(parts[2])
        index._names = bytes(parts[3]).decode().split("\0") if head["files"] else []
        for column, part in zip(index._stats, parts[4:8], strict=True):
            column.frombytes(part)
        index._digests = bytes(parts[8])
        if head["differs"]:
            texts = bytes(parts[9]).decode().split("\0")
            digests = bytes(parts[10])
            for place, text in enumerate(texts):
                digest = digests[32 * place : 32 * place + 32]
                index.differs[text] = None if digest == NONE else digest
        if not (len(index._names) == head["files"] == len(index._stats[3]) == len(index._digests) // 32):
            raise ValueError("columns of different lengths")
        return index


def settled(at: Stat, stamp_ns: int, started_ns: int) -> bool:
    """Tell whether a file of this stat, looked at from ``started_ns`` on, cannot change again without another stat."""
    if stamp_ns and at[0] == stamp_ns:
        return True  # a link to the shared cache: writing to it moves this time, which is long past
    latest = at[0] if at[0] > at[2] else at[2]
    if latest < started_ns - _LONG_STEP_NS:
        return True
    step = _LONG_STEP_NS if latest % 1_000_000_000 == 0 else _STEP_NS
    return latest < started_ns - step

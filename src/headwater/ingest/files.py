"""Files of this machine: folders, single files and patterns, read again only where they changed."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import msgspec

from ..errors import InvalidInputError, NotFoundError
from ..lake import Entry
from ..lake.gathering import gather
from .source import Pulled, Source, read_settings
from .values import Planned

if TYPE_CHECKING:
    from .intake import Intake

# A file that was written this shortly before it was looked at may be written again within the same tick of its clock.
_UNSURE_NS = 2_000_000_000
_TRIES = 3


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """``path`` or ``paths``: folders, files or patterns (``**``), relative to the project's folder.

    ``mode``: ``mirror`` also removes what is gone; ``append`` never removes.
    """

    path: str = ""
    paths: list[str] = []
    mode: Literal["mirror", "append"] = "mirror"


class FilesSource(Source):
    """Takes in files whose size, time or inode changed since the last pull, and digests only those."""

    kind: ClassVar[str] = "files"

    def __init__(self, settings: Settings, root: Path) -> None:
        self._given = [settings.path, *settings.paths] if settings.path else list(settings.paths)
        self._mode = settings.mode
        self._root = root

    @classmethod
    def from_settings(cls, settings: dict[str, Any], *, root: Path) -> Self:
        found = read_settings(cls.kind, settings, Settings)
        if not found.path and not found.paths:
            raise InvalidInputError("a source of kind 'files' needs path = \"FOLDER, FILE OR PATTERN\".")
        return cls(found, root)

    @property
    def text(self) -> str:
        """The paths as declared."""
        return ", ".join(self._given)

    def pull(self, since: dict[str, Any] | None, into: Intake) -> Pulled:
        before = (since or {}).get("files", {})
        found = self._gathered()
        into.expect(len(found))
        state: dict[str, list[int]] = {}
        for path, file in found.items():
            stat = _stat(file)
            if _same(before.get(path), stat) and path in into.current:
                into.keep(path)
                state[path] = before[path]
            else:
                state[path] = _put(into, path, file)
        gone = [path for path in before if path not in found and path in into.current]
        if self._mode == "mirror":
            for path in gone:
                into.remove(path)
        return Pulled(state={"files": state})

    def plan(self, since: dict[str, Any] | None, current: Mapping[str, Entry]) -> list[Planned]:
        before = (since or {}).get("files", {})
        found = self._gathered()
        planned = [
            Planned(act="fetch", what=path, why="changed" if path in before else "new")
            for path, file in found.items()
            if not (_same(before.get(path), _stat(file)) and path in current)
        ]
        if self._mode == "mirror":
            gone = [path for path in before if path not in found and path in current]
            planned += [Planned(act="remove", what=path, why="it is gone") for path in gone]
        return planned

    def test(self) -> str:
        found = self._gathered()
        size = sum(_stat(file).st_size for file in found.values())
        return f"{len(found):,} files, {size:,} bytes"

    def _gathered(self) -> dict[str, Path]:
        """Return the files that are there; for a mirror, none at all is an error: the disk may not be mounted."""
        try:
            return gather([self._root / given for given in self._given])
        except NotFoundError:
            if self._mode == "append":
                return {}
            raise


def _put(into: Intake, path: str, file: Path) -> list[int]:
    """Put a file that nobody wrote to meanwhile, and return what tells whether it changes."""
    for _ in range(_TRIES):
        looked_at = time.time_ns()
        before = _stat(file)
        into.put_file(path, file, proof={"path_there": str(file), "modified_ns": before.st_mtime_ns})
        after = _stat(file)
        if _marks(before) == _marks(after):
            sure = looked_at - after.st_mtime_ns > _UNSURE_NS
            return [*_marks(after), 1 if sure else 0]
    raise InvalidInputError(
        f"'{file}' changes while it is read ({_TRIES} tries). Pull when it is complete; whoever writes it can write "
        "beside it and rename.",
        path=str(file),
    )


def _stat(file: Path) -> os.stat_result:
    try:
        return file.stat()
    except OSError as error:
        raise InvalidInputError(
            f"'{file}' went away, or cannot be read, while it was being pulled: {error.strerror}. Pull again.",
            path=str(file),
        ) from error


def _marks(stat: os.stat_result) -> list[int]:
    return [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]


def _same(before: list[int] | None, stat: os.stat_result) -> bool:
    """Tell whether a file is as it was; one that was written just before it was looked at is read again."""
    return before is not None and before[:4] == _marks(stat) and before[4] == 1

"""Finding the files that a person means by folders, files and patterns, before any byte is read."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from ..errors import InvalidInputError, NotFoundError
from ..working.ignoring import ignored_in
from ..working.statindex import Stat, StatIndex
from ..working.walking import SKIPPED, walk
from .names import first_few, path_bytes

_WILD = frozenset("*?[")


class LocalFile(NamedTuple):
    """Where a file lies on this machine, and the stat it had when it was found (None: it was not looked at)."""

    place: str
    at: Stat | None = None


def gather(paths: Sequence[str | Path], under: str = "") -> dict[str, Path]:
    """Return path in the dataset to local file; finds and raises as ``gather_files`` does."""
    return {path: Path(file.place) for path, file in gather_files(paths, under).items()}


def gather_files(paths: Sequence[str | Path], under: str = "") -> dict[str, LocalFile]:
    """Return path in the dataset to local file, in order, for folders (walked), files and patterns (``*``, ``**``).

    A folder's files keep their place in it; a pattern's files keep theirs below its first wild part; ``under`` goes
    before. ``.git``, ``.headwater`` and what a folder's ``.headwaterignore`` names are left out. Links within a folder
    are followed, to files only.

    Raises:
        NotFoundError: a path or pattern names nothing, or a folder holds no file.
        InvalidInputError: a link leads out of its folder, a file cannot be read or is no plain file, a name cannot
            be a path, or two files would have one path.
    """
    prefix = prefix_of(under)
    found: dict[str, LocalFile] = {}
    for given in paths:
        for relative, file in _of(str(given)):
            path = prefix + relative
            path_bytes(path)
            before = found.setdefault(path, file)
            if before is not file and os.path.realpath(before.place) != os.path.realpath(file.place):
                raise InvalidInputError(
                    f"'{before.place}' and '{file.place}' would both be '{path}'. Add them one by one, each under its "
                    "own folder."
                )
    if not found:
        raise NotFoundError("no file was given to add.")
    return found


def prefix_of(under: str) -> str:
    """Return what stands before the paths of files that are put under a folder of the dataset."""
    return f"{under.strip('/')}/" if under.strip("/") else ""


def refuse_odd(folder: str, odd: Mapping[str, str]) -> None:
    """Raise InvalidInputError that names what in a folder cannot be added, and why."""
    if not odd:
        return
    said = "; ".join(f"'{folder}/{path}': {why}" for path, why in sorted(odd.items())[:5])
    more = f"; and {len(odd) - 5:,} more" if len(odd) > 5 else ""
    raise InvalidInputError(f"nothing was added, because some of it cannot be: {said}{more}.", paths=sorted(odd)[:100])


def _of(given: str) -> Iterator[tuple[str, LocalFile]]:
    if os.path.isdir(given):
        yield from _in_folder(given)
    elif os.path.lexists(given):
        yield os.path.basename(given), _plain(given)
    elif _WILD & set(given):
        yield from _matching(given)
    else:
        raise NotFoundError(f"there is no file or folder '{given}' (looked in '{Path.cwd()}').", path=given)


def _in_folder(given: str) -> Iterator[tuple[str, LocalFile]]:
    found = walk(given, StatIndex())
    ignored = ignored_in(given, [*found.new, *found.odd])
    refuse_odd(given, {path: why for path, why in found.odd.items() if path not in ignored})
    new = sorted(found.new.keys() - ignored)
    if not new:
        raise NotFoundError(f"'{given}' holds no file. Check the folder, or add the files by name.", path=given)
    base = given.rstrip("/") or "/"
    for relative in new:
        yield relative, LocalFile(f"{base}/{relative}", found.new[relative])


def _matching(given: str) -> Iterator[tuple[str, LocalFile]]:
    parts = Path(given).parts
    fixed = next(index for index, part in enumerate(parts) if _WILD & set(part))
    base = Path(*parts[:fixed]) if fixed else Path()
    files = sorted(p for p in base.glob(str(Path(*parts[fixed:]))) if not p.is_dir())
    files = [p for p in files if not SKIPPED & set(p.relative_to(base).parts)]
    if not files:
        raise NotFoundError(f"no file matches '{given}' (looked in '{base.absolute()}').", path=given)
    inside = base.resolve()
    for file in files:
        if file.is_symlink():
            _require_inside(file, inside)
        yield file.relative_to(base).as_posix(), _plain(str(file))


def _require_inside(link: Path, root: Path) -> None:
    target = Path(os.path.realpath(link))
    if not target.is_relative_to(root):
        raise InvalidInputError(
            f"'{link}' is a link that leads out of its folder, to '{target}'. Add that file itself, or replace the "
            "link by a copy.",
            path=str(link),
        )


def _plain(path: str) -> LocalFile:
    try:
        at = os.stat(path)
    except OSError as error:
        raise InvalidInputError(
            f"'{path}' cannot be read: {error.strerror}. If it is a link, its target is missing, or it leads to "
            "itself.",
            path=path,
        ) from error
    if not stat.S_ISREG(at.st_mode):
        what = "a link to a folder: add that folder itself" if stat.S_ISDIR(at.st_mode) else "a device, pipe or socket"
        raise InvalidInputError(f"'{path}' is not a plain file but {what}.", path=path)
    return LocalFile(path, (at.st_mtime_ns, at.st_size, at.st_ctime_ns, at.st_ino))


def refuse_closed(places: Sequence[str]) -> None:
    """Raise InvalidInputError that names files that this user may not read."""
    raise InvalidInputError(
        f"this user may not read {first_few(places, len(places))}. Change their permissions, or leave them out. "
        "Nothing was added.",
        paths=list(places[:100]),
    )

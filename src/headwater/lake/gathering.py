"""Finding the files that a person means by folders, files and patterns, before any byte is read."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from ..errors import InvalidInputError, NotFoundError
from .names import first_few, path_bytes

_SKIPPED = frozenset({".headwater", ".git"})
_WILD = frozenset("*?[")


def gather(paths: Sequence[str | Path], under: str = "") -> dict[str, Path]:
    """Return path in the dataset to local file, in order, for folders (walked), files and patterns (``*``, ``**``).

    A folder's files keep their place in it; a pattern's files keep theirs below its first wild part; ``under`` goes
    before. ``.git`` and ``.headwater`` are left out. Links within a folder are followed, to files only.

    Raises:
        NotFoundError: a path or pattern names nothing, or a folder holds no file.
        InvalidInputError: a link leads out of its folder, a file cannot be read or is no plain file, a name cannot
            be a path, or two files would have one path.
    """
    prefix = f"{under.strip('/')}/" if under.strip("/") else ""
    found: dict[str, Path] = {}
    for given in paths:
        for relative, file in _of(str(given)):
            path = prefix + relative
            path_bytes(path)
            before = found.setdefault(path, file)
            if before is not file and os.path.realpath(before) != os.path.realpath(file):
                raise InvalidInputError(
                    f"'{before}' and '{file}' would both be '{path}'. Add them one by one, each under its own folder."
                )
    if not found:
        raise NotFoundError("no file was given to add.")
    return found


def _of(given: str) -> Iterator[tuple[str, Path]]:
    path = Path(given)
    if path.is_dir():
        files = sorted(_walk(path, path.resolve()))
        if not files:
            raise NotFoundError(f"'{given}' holds no file. Check the folder, or add the files by name.", path=given)
        yield from ((relative, path / relative) for relative in files)
    elif path.exists() or path.is_symlink():
        _require_file(path)
        yield path.name, path
    elif _WILD & set(given):
        yield from _matching(given)
    else:
        raise NotFoundError(f"there is no file or folder '{given}' (looked in '{Path.cwd()}').", path=given)


def _matching(given: str) -> Iterator[tuple[str, Path]]:
    parts = Path(given).parts
    fixed = next(index for index, part in enumerate(parts) if _WILD & set(part))
    base = Path(*parts[:fixed]) if fixed else Path()
    files = sorted(p for p in base.glob(str(Path(*parts[fixed:]))) if not p.is_dir())
    files = [p for p in files if not _SKIPPED & set(p.relative_to(base).parts)]
    if not files:
        raise NotFoundError(f"no file matches '{given}' (looked in '{base.absolute()}').", path=given)
    inside = base.resolve()
    for file in files:
        if file.is_symlink():
            _require_inside(file, inside)
        _require_file(file)
        yield file.relative_to(base).as_posix(), file


def _walk(folder: Path, root: Path) -> Iterator[str]:
    """Yield the relative paths of the files below a folder."""
    waiting = [""]
    while waiting:
        relative = waiting.pop()
        try:
            entries = list(os.scandir(folder / relative))
        except OSError as error:
            raise InvalidInputError(
                f"the folder '{folder / relative}' cannot be read: {error.strerror}. Check its permissions."
            ) from error
        for entry in entries:
            path = relative + entry.name
            if entry.is_symlink():
                _require_inside(Path(entry.path), root)
                _require_file(Path(entry.path))
                yield path
            elif entry.is_dir(follow_symlinks=False):
                if entry.name not in _SKIPPED:
                    waiting.append(path + "/")
            else:
                if not entry.is_file(follow_symlinks=False):
                    _require_file(Path(entry.path))
                yield path


def _require_inside(link: Path, root: Path) -> None:
    target = Path(os.path.realpath(link))
    if not target.is_relative_to(root):
        raise InvalidInputError(
            f"'{link}' is a link that leads out of its folder, to '{target}'. Add that file itself, or replace the "
            "link by a copy.",
            path=str(link),
        )


def _require_file(path: Path) -> None:
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise InvalidInputError(
            f"'{path}' cannot be read: {error.strerror}. If it is a link, its target is missing.", path=str(path)
        ) from error
    if not stat.S_ISREG(mode):
        what = "a link to a folder: add that folder itself" if stat.S_ISDIR(mode) else "a device, pipe or socket"
        raise InvalidInputError(f"'{path}' is not a plain file but {what}.", path=str(path))


def require_readable(files: Sequence[Path]) -> None:
    """Raise InvalidInputError that names the files that this user may not read."""
    closed = [str(file) for file in files if not os.access(file, os.R_OK)]
    if closed:
        raise InvalidInputError(
            f"this user may not read {first_few(closed, len(closed))}. Change their permissions, or leave them out.",
            paths=closed[:100],
        )

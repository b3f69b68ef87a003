"""Files of a version made on the local disk: as links to the shared cache, as clones, or as copies."""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Literal, get_args

from ..durable import crash_point, disk_error
from ..errors import ConflictError, InvalidInputError
from ..project import Project
from .files import iter_files
from .names import first_few
from .values import Entry, Version

Mode = Literal["link", "reflink", "copy"]
MODES: tuple[str, ...] = get_args(Mode)
Placed = Callable[[int, int], None]
"""Called with the files and bytes placed since the last call."""

_PAGE = 20_000
_WHOLE_BYTES = 4 * 2**20  # an object of more is never held whole


def place(project: Project, wanted: Mapping[str, Entry], mode: str, placed: Placed | None = None) -> None:
    """Make a file at each of the places (which must not exist, and whose folders must) with the bytes of its entry.

    ``link``: a read-only hard link to the shared cache (a read-only copy on another file system); ``reflink``: the
    user's own file that shares the cache's blocks until written to (a copy where the file system cannot); ``copy``:
    the user's own file.

    Raises:
        OSError: the disk is full, or the folder cannot be written.
        GoneError: bytes were collected.
    """
    if mode == "copy":
        _copy(project, wanted, placed)
        return
    from ..objects.cached import clone_file, link_file

    make = link_file if mode == "link" else clone_file
    sources = project.objects.cache_many({entry.digest: entry.size for entry in wanted.values()})
    for at, entry in wanted.items():
        make(sources[entry.digest], at)
        if placed is not None:
            placed(1, entry.size)


def _copy(project: Project, wanted: Mapping[str, Entry], placed: Placed | None) -> None:
    places: dict[str, list[str]] = {}
    for at, entry in wanted.items():
        if entry.size > _WHOLE_BYTES:
            project.objects.materialise(entry.digest, Path(at), mode="copy")
            if placed is not None:
                placed(1, entry.size)
        else:
            places.setdefault(entry.digest, []).append(at)
    for digest, data in project.objects.get_many(list(places)):
        for at in places[digest]:
            with open(at, "xb", buffering=0) as file:
                rest = memoryview(data)
                while rest:
                    rest = rest[file.write(rest) :]
            if placed is not None:
                placed(1, len(data))


def appear(
    project: Project,
    version: Version,
    target: Path,
    prefix: str,
    mode: str,
    *,
    cut: int = 0,
    placed: Placed | None = None,
) -> dict[str, str]:
    """Make a folder with the files of a version whose paths begin with ``prefix``; return path to digest.

    The folder (which may exist, but holds nothing) appears at once, when everything is in place. The first ``cut``
    characters of the paths are left out.

    Raises:
        InvalidInputError: one path of the version is also a folder of another, or differs from it by case alone where
            the disk does not tell them apart.
        StorageError: the disk is full, or the folder above cannot be written.
    """
    digests: dict[str, str] = {}
    at = ""
    try:
        with _partial(target) as partial:
            blind = ignores_case(partial)
            made = {""}
            for page in _pages(iter_files(project, version.id, prefix)):
                wanted: dict[str, Entry] = {}
                for entry in page:
                    at = entry.path[cut:]
                    folder = at.rpartition("/")[0]
                    if folder not in made:
                        os.makedirs(f"{partial}/{folder}", exist_ok=True)
                        made.add(folder)
                    wanted[f"{partial}/{at}"] = entry
                    digests[at] = entry.digest
                if blind:
                    refuse_same_but_case(version.ref, digests)
                place(project, wanted, mode, placed)
                crash_point("working.filled")
            if target.exists():
                target.rmdir()
            partial.rename(target)
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        where = os.path.relpath(str(error.filename2 or error.filename or at), str(partial)) if at else at
        raise InvalidInputError(
            f"{version.ref} cannot be a folder: '{where}' is a file there and also a folder of other files. "
            "Read it by path instead."
        ) from error
    except OSError as error:
        raise disk_error(error, target) from error
    return digests


def _pages(entries: Iterable[Entry]) -> Iterator[list[Entry]]:
    entries = iter(entries)
    while page := list(itertools.islice(entries, _PAGE)):
        yield page


@contextlib.contextmanager
def _partial(target: Path) -> Iterator[Path]:
    """Give a folder beside the target, in use as long as it is locked; it is gone afterwards, unless it was renamed."""
    target.parent.mkdir(parents=True, exist_ok=True)
    _sweep(target)
    partial = target.parent / f".{target.name}.{os.getpid()}.{os.urandom(4).hex()}.partial"
    partial.mkdir()
    descriptor = os.open(partial, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield partial
    finally:
        os.close(descriptor)
        if partial.exists():
            import shutil

            shutil.rmtree(partial, ignore_errors=True)


def _sweep(target: Path) -> None:
    """Remove what those who died left beside the target."""
    for left in target.parent.glob(f".{_literally(target.name)}.*.partial"):
        import shutil

        with contextlib.suppress(OSError):
            descriptor = os.open(left, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(left, ignore_errors=True)
            finally:
                os.close(descriptor)


def _literally(name: str) -> str:
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)


def ignores_case(folder: Path | str) -> bool:
    """Tell whether the disk takes two names for one that differ by case alone."""
    probe = f"{folder}/.headwater-case-{os.urandom(4).hex()}"
    os.close(os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    try:
        return os.path.lexists(f"{folder}/{os.path.basename(probe).upper()}")
    finally:
        os.unlink(probe)


def refuse_same_but_case(ref: str, paths: Iterable[str]) -> None:
    """Raise ConflictError that names paths, or folders of them, that differ by case alone."""
    spelt: dict[str, str] = {}
    pairs: list[str] = []
    done: set[str] = set()
    for path in paths:
        parts = path.split("/")
        for count in range(len(parts), 0, -1):
            part = "/".join(parts[:count])
            if part in done:
                break
            done.add(part)
            other = spelt.setdefault(part.casefold(), part)
            if other != part:
                pairs.append(f"{other}' and '{part}")
    if pairs:
        raise ConflictError(
            f"{ref} cannot be checked out here: {first_few(pairs, len(pairs))} differ by case alone, and this disk "
            "does not tell them apart. Choose a folder on another disk, or rename one of each.",
            paths=pairs[:100],
        )

"""A version as a folder of read-only files, for tools that want files."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from ..durable import disk_error
from ..errors import ConflictError, InvalidInputError
from ..project import Project
from .files import iter_files
from .reading import Read, tell
from .refs import resolve


def materialise(project: Project, ref: str, folder: str | Path, *, prefix: str = "") -> int:
    """Make ``folder`` hold the files of a version (those whose paths begin with ``prefix``); return how many.

    Files are read-only links to the shared cache, never to the store's own bytes. The folder appears at once, when
    everything is in place.

    Raises:
        ConflictError: the folder exists and is not empty.
        InvalidInputError: one path of the version is also a folder of another.
        NotFoundError: the ref names nothing.
    """
    target = Path(folder).absolute()
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ConflictError(f"'{target}' exists and is not an empty folder. Choose another, or remove it first.")
    version = resolve(project, ref)
    partial = target.parent / f".{target.name}.{os.getpid()}.{os.urandom(4).hex()}.partial"
    count = 0
    made: set[Path] = set()
    try:
        partial.mkdir(parents=True)
        for entry in iter_files(project, version.id, prefix):
            place = partial / entry.path
            if place.parent not in made:
                place.parent.mkdir(parents=True, exist_ok=True)
                made.add(place.parent)
            project.objects.materialise(entry.digest, place, mode="link")
            count += 1
        if target.exists():
            target.rmdir()
        partial.rename(target)
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        raise InvalidInputError(
            f"{version.ref} cannot be a folder: '{entry.path}' is a file there and also a folder of other files. "
            "Read it by path instead."
        ) from error
    except OSError as error:
        raise disk_error(error, target) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    paths = None if not prefix else (prefix + "*",)
    tell(Read(ref=ref, version=version.id, dataset=version.dataset, root=version.root, paths=paths))
    return count

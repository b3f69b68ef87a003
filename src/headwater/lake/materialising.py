"""A version as a folder of read-only files, for tools that want files."""

from __future__ import annotations

from pathlib import Path

from ..errors import ConflictError
from ..project import Project
from .placing import appear
from .reading import Read, tell
from .refs import resolve


def materialise(project: Project, ref: str, folder: str | Path, *, prefix: str = "") -> int:
    """Make ``folder`` hold the files of a version (those whose paths begin with ``prefix``); return how many.

    Files are read-only links to the shared cache, never to the store's own bytes. The folder appears at once, when
    everything is in place. Nothing is kept of it: for a folder to work in, see ``checkout``.

    Raises:
        ConflictError: the folder exists and is not empty.
        InvalidInputError: one path of the version is also a folder of another.
        NotFoundError: the ref names nothing.
    """
    target = Path(folder).absolute()
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ConflictError(f"'{target}' exists and is not an empty folder. Choose another, or remove it first.")
    version = resolve(project, ref)
    count = len(appear(project, version, target, prefix, "link"))
    paths = None if not prefix else (prefix + "*",)
    tell(Read(ref=ref, version=version.id, dataset=version.dataset, root=version.root, paths=paths))
    return count

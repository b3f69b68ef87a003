"""Changing a dataset without its files at hand: removing and moving paths, each a new version that is published."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from ..errors import ConflictError, InvalidInputError, NotFoundError
from ..lake import Entry, Version, iter_files, resolve
from ..lake.refs import MAIN
from ..project import Project
from .publishing import publish
from .values import Publication


def remove_paths(
    project: Project,
    dataset: str,
    paths: Sequence[str],
    *,
    folders: bool = False,
    branch: str = MAIN,
    message: str = "",
) -> Publication:
    """Publish a version without these files; with ``folders`` a path may be a folder, and all below it goes.

    Raises:
        NotFoundError: there is no such dataset, branch or path.
        InvalidInputError: a path is a folder, and ``folders`` is False.
        ConflictError: others changed one of the paths meanwhile.
    """
    head = resolve(project, f"{dataset}@{branch}")
    gone = [entry.path for path in paths for entry in _at(project, head, path, folders)]
    said = message or f"remove {', '.join(paths[:5])}" + (f" and {len(paths) - 5:,} more" if len(paths) > 5 else "")
    return publish(project, dataset, remove=list(dict.fromkeys(gone)), branch=branch, base=head.id, message=said)


def move_paths(
    project: Project,
    dataset: str,
    paths: Sequence[str],
    to: str,
    *,
    replace: bool = False,
    branch: str = MAIN,
    message: str = "",
) -> Publication:
    """Publish a version with files or folders elsewhere: renamed to ``to``, or into it where it is a folder.

    ``to`` is a folder where it ends with a slash or the version has it as one; several paths need one. No byte is
    copied.

    Raises:
        NotFoundError: there is no such dataset, branch or path.
        InvalidInputError: several paths were given and ``to`` is no folder, or a folder would go into itself.
        ConflictError: something is at the new path and ``replace`` is False; or others changed a path meanwhile.
    """
    head = resolve(project, f"{dataset}@{branch}")
    folder = to.rstrip("/")
    into = to.endswith("/") or next(iter_files(project, head.id, f"{folder}/"), None) is not None
    if len(paths) > 1 and not into:
        raise InvalidInputError(
            f"'{to}' is no folder of {head.ref}: to move several paths into a new one, end it with '/'."
        )
    put: dict[str, Entry] = {}
    gone: list[str] = []
    for path in paths:
        old = path.rstrip("/")
        new = f"{folder}/{old.rpartition('/')[2]}" if into else folder
        if f"{new}/".startswith(f"{old}/"):
            raise InvalidInputError(f"'{old}' cannot go to '{new}': that is the same place, or within it.")
        for entry in _at(project, head, old, True):
            target = new + entry.path[len(old) :]
            put[target] = msgspec.structs.replace(entry, path=target)
            gone.append(entry.path)
    _require_free(project, head, put, set(gone), replace)
    said = message or f"move {', '.join(paths[:5])} to {to}"
    left = [path for path in gone if path not in put]
    return publish(project, dataset, put=list(put.values()), remove=left, branch=branch, base=head.id, message=said)


def _at(project: Project, head: Version, path: str, folders: bool) -> Iterator[Entry]:
    """Yield the file of a path, or all of a folder."""
    plain = path.rstrip("/")
    below = False
    if not path.endswith("/"):
        found = next(iter_files(project, head.id, plain), None)
        if found is not None and found.path == plain:
            yield found
            return
    for entry in iter_files(project, head.id, f"{plain}/"):
        if not folders:
            raise InvalidInputError(f"'{plain}' is a folder of {head.ref}: --recursive removes all that is below it.")
        below = True
        yield entry
    if not below:
        raise NotFoundError(f"{head.ref} has no file or folder '{path}'. 'hw data ls {head.ref}' lists those it has.")


def _require_free(project: Project, head: Version, put: dict[str, Entry], gone: set[str], replace: bool) -> None:
    for path in put:
        there = next(iter_files(project, head.id, path), None)
        if there is not None and there.path == path and path not in gone and not replace:
            raise ConflictError(
                f"{head.ref} has '{path}' already. Choose another path, or replace it with --force.", path=path
            )

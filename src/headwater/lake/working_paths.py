"""Bringing single paths of a version into a working folder; the rest of it stays as it is."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from ..durable import disk_error
from ..errors import ConflictError, InvalidInputError, NotFoundError
from ..project import Project
from ..working.comparing import digest_of
from ..working.records import find_record, only_one
from .files import iter_files
from .names import first_few
from .placing import place
from .refs import resolve
from .values import Entry, Version
from .working import require_record, state_folder
from .working_checkout import CheckedOut


def checkout_paths(
    project: Project, ref: str, folder: str | Path, paths: Sequence[str], *, force: bool = False
) -> CheckedOut:
    """Put files, or all files of folders, of a version into a working folder; paths are those of the folder.

    The folder stays one of the version that it holds: where ``ref`` is another, those paths differ from it. ``force``
    overwrites local changes.

    Raises:
        ConflictError: local changes would be overwritten (they are named), or a checkout into it is under way.
        InvalidInputError: ``ref`` is of another dataset.
        NotFoundError: the ref names nothing, its version has no such path, or the folder is no working folder.
        StorageError: the disk is full or cannot be written.
    """
    version = resolve(project, ref)
    state = state_folder(project)
    record = require_record(state, folder)
    if record.dataset != version.dataset:
        raise InvalidInputError(f"'{folder}' holds files of '{record.dataset}', not of '{version.dataset}'.")
    with only_one(state, record.folder):
        record = find_record(state, record.folder) or record
        prefix = record.to_prefix if record.to else record.prefix
        held = record.to or record.version
        wanted: dict[str, Entry] = {}
        for path in paths:
            wanted |= _entries(project, version, prefix, path)
        known = {path: entry.digest for path in paths for path, entry in _held(project, held, prefix, path).items()}
        write = _to_write(record.folder, wanted, known, force)
        _write(project, record.folder, write, record.mode)
    return CheckedOut(
        folder=record.folder,
        version=version.id,
        ref=version.ref,
        files=len(wanted),
        written=len(write),
        removed=0,
        kept=(),
        mode=record.mode,
    )


def _entries(project: Project, version: Version, prefix: str, path: str) -> dict[str, Entry]:
    found = _held(project, version.id, prefix, path)
    if not found:
        raise NotFoundError(
            f"{version.ref} has no file or folder '{prefix}{path}'. 'hw data ls {version.ref}' lists those it has.",
            path=path,
        )
    return found


def _held(project: Project, version: str, prefix: str, path: str) -> dict[str, Entry]:
    """Return the file of a path, or those of a folder, by path in the working folder."""
    plain = os.path.normpath(path)
    whole = prefix + plain
    every = prefix if plain == "." else f"{whole}/"
    first = next(iter_files(project, version, whole), None)
    if first is not None and first.path == whole:
        return {plain: first}
    return {entry.path[len(prefix) :]: entry for entry in iter_files(project, version, every)}


def _to_write(real: str, wanted: dict[str, Entry], known: dict[str, str], force: bool) -> dict[str, Entry]:
    """Return what is not there already, and refuse to lose what was never made a version of."""
    write, lost = {}, []
    for path, entry in wanted.items():
        target = f"{real}/{path}"
        if os.path.realpath(target) != target or (os.path.lexists(target) and not os.path.isfile(target)):
            raise ConflictError(f"'{target}' is a folder or a link, or lies behind one: move it away first.", path=path)
        if os.path.exists(target):
            digest = digest_of(target, os.stat(target).st_size).hex()
            if digest == entry.digest:
                continue
            if digest != known.get(path) and not force:
                lost.append(path)
        write[path] = entry
    if lost:
        raise ConflictError(
            f"local changes in '{real}' would be overwritten: {first_few(lost, len(lost))}. Nothing was changed; give "
            "--force to lose them.",
            paths=lost[:100],
        )
    return write


def _write(project: Project, real: str, write: dict[str, Entry], mode: str) -> None:
    """Make the files beside their places, then move each in at once."""
    waiting = {path: f"{real}/{os.path.dirname(path)}/.{os.urandom(6).hex()}.tmp" for path in write}
    try:
        for path in write:
            os.makedirs(os.path.dirname(f"{real}/{path}"), exist_ok=True)
        place(project, {waiting[path]: entry for path, entry in write.items()}, mode)
        for path in write:
            os.replace(waiting[path], f"{real}/{path}")
    except OSError as error:
        raise disk_error(error, Path(error.filename2 or error.filename or real)) from error
    finally:
        for at in waiting.values():
            Path(at).unlink(missing_ok=True)

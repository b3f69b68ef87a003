"""Bringing a folder to a version: a new one at once, one that holds another version by what differs."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import msgspec

from ..durable import crash_point, disk_error
from ..errors import ConflictError, InvalidInputError, NotFoundError
from ..project import LocalProject, Project
from ..working.comparing import Comparison, compare
from ..working.records import Record, find_record, index_path, only_one, write_record
from ..working.statindex import Stat, StatIndex
from ..working.walking import unchanged, walk
from .files import iter_files
from .gathering import prefix_of
from .names import first_few
from .placing import MODES, Placed, appear, ignores_case, place, refuse_same_but_case
from .reading import Read, tell
from .refs import resolve
from .values import Version
from .working import digests_in, prefix_held, stamp_of, state_folder
from .working_plan import Plan, Target, plan_for, targets

_STAGE = ".headwater"


class CheckedOut(msgspec.Struct, frozen=True, kw_only=True):
    """A folder that holds a version: how many files were written and removed, and which local changes were kept."""

    folder: str
    version: str
    ref: str
    files: int
    written: int
    removed: int
    kept: tuple[str, ...]
    mode: str


def checkout(
    project: Project,
    ref: str,
    folder: str | Path,
    *,
    mode: str = "",
    under: str | None = None,
    force: bool = False,
    placed: Placed | None = None,
) -> CheckedOut:
    """Make a folder hold the files of a version (those ``under`` a folder of it), and keep it as a working folder.

    A folder that is not there, or empty, appears at once. One that holds another version gets what differs, loses
    what the version lacks, and keeps local changes at paths that the two versions share. ``mode`` is ``link`` (hard
    links to the shared read-only cache), ``reflink`` or ``copy`` (files of the user's own), by default as before,
    else ``link``; it applies to the files written. ``under`` too is by default as before, else the whole dataset.
    ``force`` overwrites local changes.

    Raises:
        ConflictError: local changes would be overwritten (they are named), something is in the way, the folder holds
            files and no version of this project, or another checkout into it is under way.
        InvalidInputError: there is no such mode, or the folder is the project's own.
        NotFoundError: the ref names nothing, or its version has no file ``under`` that folder.
        StorageError: the disk is full or cannot be written; the folder is then as it was.
    """
    if mode and mode not in MODES:
        raise InvalidInputError(f"'{mode}' is no way to place files: it is one of {', '.join(MODES)}.", mode=mode)
    version = resolve(project, ref)
    real = os.path.realpath(folder)
    _refuse_own(project, real)
    state = state_folder(project)
    with only_one(state, real):
        record = find_record(state, real)
        prefix = prefix_held(record, version.dataset) if under is None else prefix_of(under)
        _require_some(project, version, prefix)
        way = mode or (record.mode if record else "link")
        after = Record(
            folder=real, dataset=version.dataset, version=version.id, ref=version.ref, prefix=prefix, mode=way
        )
        if not os.path.lexists(real) or (os.path.isdir(real) and not _names_in(real)):
            done = _fresh(project, version, after, state, placed)
        else:
            _require_known(folder, real, record, force)
            done = _in_place(project, version, record, after, state, force, placed)
    paths = None if not prefix else (prefix + "*",)
    tell(Read(ref=ref, version=version.id, dataset=version.dataset, root=version.root, paths=paths))
    return done


def _refuse_own(project: Project, real: str) -> None:
    if not isinstance(project, LocalProject):
        return
    root, state = os.path.realpath(project.folder), os.path.realpath(project.state)
    if real in (root, state) or real.startswith(state + "/"):
        raise InvalidInputError(
            f"'{real}' is the project's own folder. Choose one of its own for the files, such as '{root}/files'.",
            folder=real,
        )


def _require_some(project: Project, version: Version, prefix: str) -> None:
    if prefix and next(iter_files(project, version.id, prefix), None) is None:
        raise NotFoundError(
            f"{version.ref} has no file under '{prefix}'. 'hw data show {version.ref}' lists its files; --under '' "
            "takes all of them.",
            path=prefix,
        )


def _names_in(real: str) -> list[str]:
    return [name for name in os.listdir(real) if name != _STAGE]


def _require_known(folder: str | Path, real: str, record: Record | None, force: bool) -> None:
    if not os.path.isdir(real):
        raise ConflictError(f"'{folder}' exists and is not a folder. Choose another, or remove it first.")
    if record is None and not force:
        raise ConflictError(
            f"'{folder}' exists and is not an empty folder, nor one that holds a version of this project. Choose "
            "another, or remove it first; --force puts the version among what is there, and overwrites what has its "
            "paths.",
            folder=real,
        )


def _fresh(project: Project, version: Version, after: Record, state: Path, placed: Placed | None) -> CheckedOut:
    target = Path(after.folder)
    if target.is_dir():
        _clear(f"{target}/{_STAGE}")
    cut = len(after.prefix)
    digests = appear(project, version, target, after.prefix, after.mode, cut=cut, placed=placed)
    crash_point("working.appeared")
    found = walk(after.folder, StatIndex())
    files: dict[str, tuple[Stat, bytes]] = {
        path: (at, bytes.fromhex(digests[path])) for path, at in found.new.items() if path in digests
    }
    index = StatIndex.of(
        files,
        base=version.id,
        prefix=after.prefix,
        stamp_ns=stamp_of(after),
        started_ns=found.started_ns,
    )
    index.write(index_path(state, after.folder))
    write_record(state, after, durable=False)
    return _answer(version, after, len(digests), len(digests), 0, [])


def _in_place(
    project: Project,
    version: Version,
    record: Record | None,
    after: Record,
    state: Path,
    force: bool,
    placed: Placed | None,
) -> CheckedOut:
    """Bring a folder from the version it came from to another: stage what is new, then move it in."""
    real, path = after.folder, index_path(state, after.folder)
    before, index = _came_from(project, record, StatIndex.read(path), force)
    wanted = targets(project, before, record.prefix if record else "", version, after.prefix)
    found = compare(real, index, read_also={each for each, entry in wanted.items() if entry is not None})
    ours = digests_in(project, record.to, record.to_prefix) if record and record.to not in ("", version.id) else {}
    plan = plan_for(project, version, after.prefix, wanted, found, ours, force)
    _refuse(plan, real, version)
    if plan.write or plan.remove:
        with _staged(project, real, plan, after.mode, placed) as stage:
            if ignores_case(f"{real}/{_STAGE}"):
                refuse_same_but_case(version.ref, digests_in(project, version.id, after.prefix))
            crash_point("working.staged")
            _begin(state, record, after)
            _move_in(real, stage, plan, found)
    put = _looked_at(real, plan)
    index = _index_after(found, plan, wanted, put)
    index.base, index.prefix = version.id, after.prefix
    index.stamp_ns = stamp_of(after) or index.stamp_ns
    index.write(path)
    crash_point("working.placed")
    write_record(state, after, durable=False)
    return _answer(version, after, found.files, len(plan.write), len(plan.remove), plan.kept)


def _came_from(
    project: Project, record: Record | None, index: StatIndex, force: bool
) -> tuple[Version | None, StatIndex]:
    """Return the version that a folder came from, and its index against that version."""
    if record is None:
        return None, index.rebased("", "", {})
    try:
        before = resolve(project, record.version)
        if index.base != record.version or index.prefix != record.prefix:
            stamp_ns = index.stamp_ns or stamp_of(record)
            index = index.rebased(record.version, record.prefix, digests_in(project, record.version, record.prefix))
            index.stamp_ns = stamp_ns
    except NotFoundError as error:
        if not force:
            raise NotFoundError(
                f"the version that '{record.folder}' came from cannot be read, so its local changes cannot be told: "
                f"{error.message} Check out into another folder, or give --force to overwrite what is there."
            ) from error
        return None, index.rebased("", "", {})
    return before, index


def _refuse(plan: Plan, real: str, version: Version) -> None:
    if plan.lost:
        raise ConflictError(
            f"local changes in '{real}' would be overwritten: {first_few(plan.lost, len(plan.lost))}. Nothing was "
            f"changed. Make a version of them first ('hw data add {version.dataset} {real}'), or give --force to lose "
            "them.",
            paths=plan.lost[:100],
        )
    if plan.in_the_way:
        raise ConflictError(
            f"{first_few(plan.in_the_way, len(plan.in_the_way))} in '{real}' stands in the way of {version.ref}: a "
            "file where a folder must be, a folder where a file must be, or a link. Move it away, then run it again.",
            paths=plan.in_the_way[:100],
        )


@contextlib.contextmanager
def _staged(project: Project, real: str, plan: Plan, mode: str, placed: Placed | None) -> Iterator[dict[str, str]]:
    """Make the new files beside the folder's own, where a failure changes nothing; give path to where each is."""
    stage = f"{real}/{_STAGE}"
    try:
        _clear(stage)
        os.mkdir(stage)
        staged = {path: f"{stage}/{number}" for number, path in enumerate(plan.write)}
        place(project, {staged[path]: entry for path, entry in plan.write.items()}, mode, placed)
        yield staged
    except OSError as error:
        raise disk_error(error, Path(error.filename2 or error.filename or real)) from error
    finally:
        _clear(stage)


def _clear(stage: str) -> None:
    """Remove the folder of staged files, with what a checkout that ended early left in it."""
    try:
        os.rmdir(stage)  # mostly all was moved out of it, or it is not there
    except FileNotFoundError:
        return
    except OSError:
        import shutil

        shutil.rmtree(stage, ignore_errors=True)


def _begin(state: Path, record: Record | None, after: Record) -> None:
    """Keep, durably, that the folder is on its way: until it arrives, its status is told against the new version."""
    start = record or after
    write_record(state, replace(start, to=after.version, to_ref=after.ref, to_prefix=after.prefix, mode=after.mode))
    crash_point("working.begun")


def _move_in(real: str, stage: dict[str, str], plan: Plan, found: Comparison) -> None:
    stats = found.stats_of([*plan.remove, *plan.write])
    for path in plan.remove:
        _require_unchanged(real, path, stats)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{real}/{path}")
        crash_point("working.removed")
    _prune(real, plan.emptied)
    made = {""}
    for path in plan.write:
        folder = path.rpartition("/")[0]
        if folder not in made:
            os.makedirs(f"{real}/{folder}", exist_ok=True)
            made.add(folder)
        if os.path.isdir(f"{real}/{path}"):
            _prune(real, {place[len(real) + 1 :] for place, _, _ in os.walk(f"{real}/{path}")})
        _require_unchanged(real, path, stats)
        os.replace(stage[path], f"{real}/{path}")
        crash_point("working.moved")


def _require_unchanged(real: str, path: str, stats: dict[str, Stat]) -> None:
    """Refuse to lose what was written to a file since it was looked at."""
    from ..objects.cached import STAMP_NS

    try:
        at = os.stat(f"{real}/{path}")
    except FileNotFoundError:
        return
    was = stats.get(path)
    if was is None or not unchanged(was, at, STAMP_NS):
        raise ConflictError(
            f"'{real}/{path}' was changed while the checkout was under way, so it was not overwritten, and the "
            "checkout is not complete. Look at that file, then run it again.",
            path=path,
        )


def _prune(real: str, folders: set[str]) -> None:
    """Remove folders that hold nothing any more, and those above them."""
    for folder in sorted(folders, key=len, reverse=True):
        while folder:
            try:
                os.rmdir(f"{real}/{folder}")
            except OSError:
                break
            folder = folder.rpartition("/")[0]


def _looked_at(real: str, plan: Plan) -> dict[str, tuple[Stat, bytes]]:
    put: dict[str, tuple[Stat, bytes]] = {}
    for path, entry in plan.write.items():
        at = os.lstat(f"{real}/{path}")
        put[path] = ((at.st_mtime_ns, at.st_size, at.st_ctime_ns, at.st_ino), bytes.fromhex(entry.digest))
    return put


def _index_after(found: Comparison, plan: Plan, wanted: Target, put: dict[str, tuple[Stat, bytes]]) -> StatIndex:
    """Return the index of the folder as it is now, against the version it was brought to."""
    differs = {
        path: digest for path, digest in found.differs().items() if path not in wanted and path not in plan.write
    }
    known = found.index.digests_of(found.walk.touched)
    now = {path: (at, known[path]) for path, at in found.walk.touched.items()} | found.read | put
    for path in plan.remove:
        now.pop(path, None)
    gone = [path for path in (*found.walk.gone, *plan.remove, *found.walk.changed) if path not in now]
    return found.index.patched(gone, now, found.walk.started_ns, differs)


def _answer(version: Version, after: Record, files: int, written: int, removed: int, kept: list[str]) -> CheckedOut:
    return CheckedOut(
        folder=after.folder,
        version=version.id,
        ref=version.ref,
        files=files,
        written=written,
        removed=removed,
        kept=tuple(kept),
        mode=after.mode,
    )

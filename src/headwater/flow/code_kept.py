"""The code of a run as it ran: the project's modules, the files that steps read, git's state and the packages.

Modules are kept with the first run of a tree, files that steps declared or read with each run that used them, by
content. A file of more than ``LARGEST_READ`` bytes that no step declared is not kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from headwater.errors import GoneError, InvalidInputError, NotFoundError
from headwater.ledger.values import escape_text, unescape_text
from headwater.operation import operation
from headwater.track.runs import get_run

from .reads import ABSENT

if TYPE_CHECKING:
    from headwater.project import Project

    from .engine import Engine

LARGEST_READ = 16 << 20
LARGEST_SHOWN = 200_000


class KeptFile(msgspec.Struct, frozen=True, kw_only=True):
    """One file of a run's code or data: its path below the project's folder, and the digest of its bytes."""

    path: str
    digest: str


class RunCode(msgspec.Struct, frozen=True, kw_only=True):
    """What a run ran. ``diff`` is the uncommitted part of git's state as text, ``packages`` are all that were
    installed (``name==version``), ``libraries`` those that the code of its steps reaches, by distribution.
    """

    run: str
    flow: str
    commit: str
    branch: str
    python: str
    modules: tuple[KeptFile, ...]
    files: tuple[KeptFile, ...]
    libraries: dict[str, str]
    packages: tuple[str, ...]
    diff: str = ""


@operation("run.code", needs="run:read")
def get_run_code(project: Project, run: str) -> RunCode:
    """Return the code, the files and the packages that a run of a flow ran with.

    Raises:
        NotFoundError: there is no such run, or no code was kept of it.
        GoneError: its code was collected.
    """
    found = get_run(project, run)
    environment = found.environment
    return RunCode(
        run=found.id,
        flow=found.flow,
        commit=environment.get("commit", ""),
        branch=environment.get("branch", ""),
        python=environment.get("python", ""),
        modules=tuple(KeptFile(path=path, digest=digest) for path, digest in _modules(project, found.code, run)),
        files=files_of(project, found.id),
        libraries=libraries_of(project, found.id),
        packages=packages_of(project, environment),
        diff=_text(project, environment.get("diff", ""))[:LARGEST_SHOWN],
    )


def find_run_code(project: Project, run: str) -> RunCode | None:
    """Return what a run ran, None where no code was kept of it or it was collected."""
    try:
        return get_run_code(project, run)
    except NotFoundError:
        return None


def write_code(project: Project, run: str, folder: Path) -> RunCode:
    """Write a run's modules and files into a folder, as they lay in the project's, and return what they were.

    Raises:
        NotFoundError: there is no such run, or no code was kept of it.
        GoneError: some of it was collected.
        InvalidInputError: the folder is not empty.
    """
    if folder.is_dir() and any(folder.iterdir()):
        raise InvalidInputError(f"'{folder}' is not empty. Name a folder that is, or one that is not there yet.")
    code = get_run_code(project, run)
    for each in (*code.modules, *code.files):
        project.objects.materialise(each.digest, folder / each.path, mode="copy")
    return code


def files_of(project: Project, run: str) -> tuple[KeptFile, ...]:
    """Return the files that a run's steps read and that were kept, by path."""
    with project.ledger.read() as tx:
        rows = tx.all("SELECT path, digest FROM run_files WHERE run = ? ORDER BY path", (run,))
    return tuple(KeptFile(path=unescape_text(row.path), digest=row.digest) for row in rows)


def libraries_of(project: Project, run: str) -> dict[str, str]:
    """Return the distributions that the code of a run's steps reaches, with their versions then."""
    with project.ledger.read() as tx:
        rows = tx.all(
            "SELECT body FROM ingredients WHERE digest IN (SELECT DISTINCT r.ingredients FROM tasks t "
            "JOIN results r ON r.id = t.result WHERE t.run = ?)",
            (run,),
        )
    found: dict[str, str] = {}
    for row in rows:
        found |= msgspec.json.decode(row.body, type=_Libraries).libraries
    return dict(sorted(found.items()))


def packages_of(project: Project, environment: dict[str, str]) -> tuple[str, ...]:
    """Return what was installed as ``name==version``, () where the list was not kept or is gone."""
    return tuple(_text(project, environment.get("packages", "")).split())


class _Libraries(msgspec.Struct):
    libraries: dict[str, str]


def _modules(project: Project, code: str, run: str) -> list[tuple[str, str]]:
    with project.ledger.read() as tx:
        manifest = tx.value("SELECT manifest FROM snapshots WHERE digest = ?", (code,)) if code else None
    if manifest is None:
        raise NotFoundError(f"no code was kept of {run}: only runs of flows keep theirs.", run=run)
    return msgspec.json.decode(project.objects.get(str(manifest)), type=list[tuple[str, str]])


def _text(project: Project, name: str) -> str:
    """Return a kept text, "" where there is none (any more)."""
    if not name:
        return ""
    try:
        return project.objects.get(name).decode("utf-8", "replace")
    except (NotFoundError, GoneError):
        return ""


# -- keeping -----------------------------------------------------------------------------------------------------


def put_files(engine: Engine) -> list[tuple[str, str, int]]:
    """Keep what a run's tasks read of files, as far as it is still as they read it; return path, digest, bytes."""
    wanted: dict[str, tuple[str, bool]] = {}
    for name, digest, declared in _read_files(engine):
        before = wanted.get(name)
        wanted[name] = (digest, declared or (before is not None and before[1]))
    if not wanted:
        return []
    objects = engine.project.objects
    missing = set(objects.missing([digest for digest, _ in wanted.values()]))
    kept = []
    for name, (digest, declared) in wanted.items():
        path = engine.root / name
        if digest in missing:
            size = path.stat().st_size if path.is_file() else -1
            if size < 0 or (size > LARGEST_READ and not declared) or objects.put_file(path)[0] != digest:
                continue
        kept.append((escape_text(name), digest, objects.size(digest)))
    return kept


def _read_files(engine: Engine) -> Iterator[tuple[str, str, bool]]:
    """Yield name below the folder, digest, and whether it was declared, of each file that a task read."""
    for task in engine.tasks:
        if task.call is not None and task.call.files:
            for name, digest in task.call.files.items():
                if digest != ABSENT and _below(name):
                    yield name, digest, True
        for read in task.result.reads if task.result is not None else ():
            if read.kind == "file" and read.digest != ABSENT and _below(read.name):
                yield read.name, read.digest, False


def _below(name: str) -> bool:
    return not name.startswith("/") and ".." not in name.split("/")


def write_files(tx: Any, run: str, files: list[tuple[str, str, int]]) -> None:
    """Write down which files a run's tasks read."""
    for path, digest, size in files:
        tx.execute(
            "INSERT INTO run_files (run, path, digest, size) VALUES (?, ?, ?, ?) "
            "ON CONFLICT (run, path) DO UPDATE SET digest = excluded.digest, size = excluded.size",
            (run, path, digest, size),
        )

"""What runs on a Dask worker: it opens the project's stores, fetches what a task needs, and has a child run the task.

One process of a worker serves one snapshot after another; for each it keeps a pool of children's parents, driven by a
thread of its own, until the run says that it is over.
"""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections import deque
from collections.abc import Mapping
from concurrent.futures import Future
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from headwater.errors import HeadwaterError, InvalidInputError

from .executors import Job, Setup
from .places import Needs, machine
from .pool import Pool, environment

if TYPE_CHECKING:
    from headwater.project import LocalProject

_PATIENCE_S = 0.25
_guard = threading.RLock()
_projects: dict[str, LocalProject] = {}
_runners: dict[str, _Runner] = {}


def look(place: dict[str, Any]) -> str:
    """Return why steps of a project cannot run here, "" when they can."""
    here = version("headwater")
    if place["version"] != here:
        return f"Headwater {here} is installed there, and the run is of {place['version']}"
    try:
        _open(place)
    except (HeadwaterError, OSError) as error:
        return str(error)
    return ""


def run_job(setup: dict[str, Any], sent: bytes) -> bytes:
    """Run one task here and return its answer: its result lies in the store when this returns.

    Raises:
        HeadwaterError: what it needs cannot be read, or what it made cannot be written.
    """
    job = msgspec.msgpack.decode(sent)
    with _guard:
        runner = _runners.get(setup["digest"])
        if runner is None:
            runner = _runners[setup["digest"]] = _Runner(setup)
    return msgspec.msgpack.encode(runner.run(job))


def end_job(identifier: str) -> None:
    """End a task, if it runs here."""
    for runner in list(_runners.values()):
        runner.cancel(identifier)


def forget(digest: str) -> None:
    """Let go of what was kept for the runs of a snapshot, unless another's task runs."""
    with _guard:
        runner = _runners.get(digest)
        if runner is not None and not runner.busy:
            del _runners[digest]
            runner.stop()


class _Runner:
    """A pool for one snapshot and the thread that drives it."""

    def __init__(self, setup: dict[str, Any]) -> None:
        self.project = _open(setup["place"])
        self.work = Path(tempfile.mkdtemp(prefix="headwater-dask-"))
        self.busy = 0
        self._new: deque[Job] = deque()
        self._ended: deque[str] = deque()
        self._stopping = False
        code = self.work / "code.msgpack"
        code.write_bytes(self.project.objects.get(setup["snapshot"]))
        root = self._root(setup, code)
        known = {name: setup[name] for name in ("digest", "modules", "also", "strict")}
        made = Setup(root=root, work=str(self.work), snapshot=str(code), **known)
        self.pool = Pool(made, environment(Path(root), str(self.project.root)), machine(_threads()))
        self._thread = threading.Thread(target=self._drive, name="headwater-dask", daemon=True)
        self._thread.start()

    def _root(self, setup: dict[str, Any], code: Path) -> str:
        """Return the folder that the steps run in: the project's own where it is here, else one of its code."""
        if Path(setup["root"]).is_dir():
            return str(setup["root"])
        root = self.work / "project"
        for _, name, source in msgspec.msgpack.decode(code.read_bytes(), type=list[tuple[str, str, bytes]]):
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(source)
        return str(root)

    def run(self, sent: Mapping[str, Any]) -> dict[str, Any]:
        """Run one task to its end."""
        lines: list[tuple[str, str]] = []
        answer: Future[dict[str, Any]] = Future()
        with _guard:
            self.busy += 1
        try:
            job = Job(
                id=sent["id"], step=sent["step"], code=sent["code"], imports=sent["imports"],
                request=self._request(sent["request"]), timeout_s=sent["timeout_s"],
                needs=msgspec.convert(sent["needs"], Needs), ended=answer.set_result,
                said=lambda level, text: lines.append((level, text)),
            )  # fmt: skip
            self._new.append(job)
            self.pool.wake()
            found = answer.result()
            if not sent["request"]["forced"]:
                self._keep(found)
            else:
                self._inline(found)
        finally:
            with _guard:
                self.busy -= 1
        return {**found, "lines": lines}

    def _request(self, given: dict[str, Any]) -> dict[str, Any]:
        objects = self.project.objects
        contents = dict(objects.get_many(given["small"])) if given["small"] else {}
        paths = {digest: str(objects.cached_path(stored)) for digest, stored in given["large"].items()}
        environ = {**given["environ"], "HEADWATER_WORK": str(self.work)}
        return {**given, "contents": contents, "paths": paths, "environ": environ}

    def _keep(self, answer: dict[str, Any]) -> None:
        """Put what a task made into the store, durably and where other machines see it."""
        if not answer.get("contents") and not answer.get("files"):
            return
        with self.project.objects.batch() as batch:
            for data in answer["contents"].values():
                batch.put(data)
            for path in answer["files"].values():
                batch.put_file(Path(path))
                Path(path).unlink(missing_ok=True)
        answer["contents"], answer["files"] = {}, {}
        if self.project.objects.pending():
            with self.project.ledger.write():
                return

    def _inline(self, answer: dict[str, Any]) -> None:
        """Send along what a task made: the store holds its bytes damaged, so the run puts them apart."""
        for digest, path in answer.get("files", {}).items():
            answer["contents"][digest] = Path(path).read_bytes()
            Path(path).unlink(missing_ok=True)
        answer["files"] = {}

    def cancel(self, identifier: str) -> None:
        self._ended.append(identifier)
        self.pool.wake()

    def stop(self) -> None:
        self._stopping = True
        self.pool.wake()

    def _drive(self) -> None:
        try:
            while not self._stopping and self.pool.failure is None:
                while self._new:
                    self._add(self._new.popleft())
                while self._ended:
                    self.pool.cancel(self._ended.popleft(), "it was cancelled")
                self.pool.poll(_PATIENCE_S if self.pool.busy else None)
        finally:
            self._fail_all()
            self.pool.close()
            shutil.rmtree(self.work, ignore_errors=True)

    def _add(self, job: Job) -> None:
        try:
            self.pool.add(job)
        except InvalidInputError as error:
            job.ended({"error": error.message, "kinds": ["InvalidInputError"], "traceback": "", "refused": True})

    def _fail_all(self) -> None:
        failure = self.pool.failure
        said = failure.message if failure is not None else "the run was over"
        text = getattr(failure, "traceback", "")
        with _guard:
            for key in [key for key, each in _runners.items() if each is self]:
                del _runners[key]
        for job in [*(each.job for each in self.pool.running), *self.pool.line, *self._new]:
            job.ended({"error": said, "kinds": ["UserCodeError"], "traceback": text, "refused": True})


def _open(place: dict[str, Any]) -> LocalProject:
    """Open a project once per process: by its folder where that is here, else by its settings."""
    from headwater.project.local import open_folder

    with _guard:
        key = f"{place['id']}:{place['actor']}"
        if key not in _projects:
            root = Path(place["root"])
            if not (root / "headwater.toml").is_file():
                root = _folder_of(place)
            project = open_folder(root, actor=place["actor"])
            if project.id != place["id"]:
                project.close()
                raise InvalidInputError(f"'{root}' there is another project ({project.id})")
            _projects[key] = project
        return _projects[key]


def _folder_of(place: dict[str, Any]) -> Path:
    """Make a folder of the project's settings: its stores are reached by URL."""
    if not place["settings"]:
        raise InvalidInputError(f"there is no project at '{place['root']}' there, and its stores are files")
    root = Path(tempfile.mkdtemp(prefix="headwater-project-"))
    (root / "headwater.toml").write_text(place["settings"], encoding="utf-8")
    return root


def _threads() -> int:
    from distributed import get_worker

    return int(get_worker().state.nthreads)

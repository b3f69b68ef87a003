"""What runs the steps of a run: one small interface, and the names by which a person chooses.

An executor takes jobs and calls each back with its answer. Executors that exist already speak
``concurrent.futures`` (threads, a Dask client); ``Futures`` makes any of those one of ours.
"""

from __future__ import annotations

import queue
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from typing import TYPE_CHECKING, Any

import msgspec

from headwater.errors import HeadwaterError, InvalidInputError

from .places import Line, Needs, Places, Taken

if TYPE_CHECKING:
    from headwater.project import Project

    from .engine import Engine

# How many jobs wait ready made, among which what fits free places is looked for.
_MADE_AHEAD = 256
NAMES = ("processes", "warm", "threads", "dask")


class Setup(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker is told first: where the snapshot lies, what to import, which modules count as imported.

    ``fork``: each task runs in a child of its own; without it tasks run in the worker itself, one after another, or
    as many ``threads`` at once.
    """

    root: str
    work: str
    snapshot: str
    digest: str
    modules: list[str]
    also: list[str]
    strict: bool
    fork: bool = True
    threads: int = 0


class Job(msgspec.Struct, kw_only=True, eq=False):
    """One task as an executor takes it. ``ended`` gets the answer; ``said`` gets lines and where they were written.

    ``started`` is called when it starts to run, ``progressed`` with parts done, parts in all (0: not known) and a text.

    The memory that it needs is also the most that it may have: a process tree that grows above is killed.
    """

    id: str
    step: str
    code: str
    imports: list[str]
    request: dict[str, Any]
    timeout_s: float | None
    ended: Callable[[dict[str, Any]], None]
    said: Callable[[str, str], None]
    started: Callable[[], None] = lambda: None
    progressed: Callable[[float, float, str], None] = lambda done, total, text: None
    needs: Needs = Needs()


class Executor(ABC):
    """Runs jobs. All but ``wake`` is called from one thread, and so are the jobs' ``ended`` and ``said``.

    ``failure`` is set when nothing can run here any more: the project's code cannot be imported, say.
    """

    failure: HeadwaterError | None = None

    @property
    @abstractmethod
    def busy(self) -> bool:
        """Whether a job waits or runs."""

    @property
    @abstractmethod
    def waiting(self) -> int:
        """How many jobs wait for a place."""

    @property
    def idle_places(self) -> bool:
        """Whether more could run now than does: a result that is waited for should not wait to be written."""
        return not self.waiting

    @property
    def hungry(self) -> bool:
        """Whether more jobs should be made: a job holds its arguments, so not all of a long map are made at once."""
        return self.waiting < _MADE_AHEAD

    @abstractmethod
    def add(self, job: Job) -> None:
        """Take a job; it starts when a place is free.

        Raises:
            InvalidInputError: it asks for more than there is.
        """

    @abstractmethod
    def poll(self, timeout_s: float | None) -> None:
        """Wait for something to happen, at most ``timeout_s`` (None: until ``wake``), and take it in."""

    @abstractmethod
    def wake(self) -> None:
        """Let ``poll`` return soon; from any thread."""

    @abstractmethod
    def cancel(self, identifier: str, why: str) -> None:
        """End a job, if it has not ended: its answer is ``{"killed": why}``."""

    @abstractmethod
    def close(self) -> None:
        """End everything at once."""


class Futures(Executor):
    """An executor made of one of ``concurrent.futures``: jobs go to it as calls, their futures give the answers."""

    def __init__(self, submit: Callable[[Job], Future[dict[str, Any]]], places: Places) -> None:
        self._submit = submit
        self._line: Line[Job] = Line(places)
        self._running: dict[str, tuple[Job, Taken, Future[dict[str, Any]], float]] = {}
        self._heard: queue.SimpleQueue[tuple[Job, Future[dict[str, Any]]] | None] = queue.SimpleQueue()

    @property
    def busy(self) -> bool:
        return bool(self._running or self._line)

    @property
    def waiting(self) -> int:
        return len(self._line)

    def add(self, job: Job) -> None:
        self._line.add(job)
        self._hand_out()

    def _hand_out(self) -> None:
        while self._line and (found := self._line.take()) is not None:
            job, taken = found
            future = self._submit(job)
            self._running[job.id] = (job, taken, future, time.monotonic())
            future.add_done_callback(lambda done, job=job: self._heard.put((job, done)))  # type: ignore[misc]

    def poll(self, timeout_s: float | None) -> None:
        ends = [at + job.timeout_s for job, _, _, at in self._running.values() if job.timeout_s is not None]
        if ends:
            left = max(0.0, min(ends) - time.monotonic())
            timeout_s = left if timeout_s is None else min(timeout_s, left)
        try:
            heard = self._heard.get(timeout=timeout_s)
            while True:
                if heard is not None:
                    self._take(*heard)
                heard = self._heard.get_nowait()
        except queue.Empty:
            pass
        now = time.monotonic()
        for job, _, _, at in list(self._running.values()):
            if job.timeout_s is not None and now >= at + job.timeout_s:
                self.too_long(job)
        self._hand_out()

    def _take(self, job: Job, future: Future[dict[str, Any]]) -> None:
        if self._running.get(job.id, (None,))[0] is not job:
            return  # it was given up before
        try:
            answer = future.result()
        except (CancelledError, Exception) as error:  # noqa: BLE001  # whatever a pool may raise ends one job
            answer = self.lost(job, error)
        self._end(job, answer)

    def _end(self, job: Job, answer: dict[str, Any]) -> None:
        self._line.places.give_back(self._running.pop(job.id)[1])
        for level, text in answer.pop("lines", ()):
            job.said(level, text)
        job.ended(answer)

    def too_long(self, job: Job) -> None:
        """Give up a job that ran longer than its timeout."""
        self._give_up(job, f"it ran longer than its timeout of {job.timeout_s:g} s")

    def _give_up(self, job: Job, why: str) -> None:
        _, _, future, _ = self._running[job.id]
        future.cancel()
        self.abandon(job)
        self._end(job, {"killed": why})

    def abandon(self, job: Job) -> None:
        """Do what can be done to end a job that runs, whose answer counts no more."""

    def lost(self, job: Job, error: BaseException) -> dict[str, Any]:
        """Return the answer of a job whose future raised: what it runs in broke, not the step."""
        return {"killed": f"what ran it broke ({type(error).__name__}: {error})"}

    def wake(self) -> None:
        self._heard.put(None)

    def cancel(self, identifier: str, why: str) -> None:
        if identifier in self._running:
            self._give_up(self._running[identifier][0], why)
            return
        job = next((each for each in self._line if each.id == identifier), None)
        if job is not None and self._line.remove(job):
            job.ended({"killed": why})

    def close(self) -> None:
        for job, _, future, _ in self._running.values():
            future.cancel()
            self.abandon(job)
        self._running.clear()


def check_name(on: str) -> str:
    """Return the name of an executor, or the address of a Dask scheduler, as it is.

    Raises:
        InvalidInputError: there is no executor of that name.
    """
    if on in NAMES or (on.partition("://")[0] in ("dask", "dasks") and on.partition("://")[2]):
        return on
    raise InvalidInputError(
        f"steps cannot run on '{on}'. There are: processes (a child per step), warm (worker processes that stay), "
        "threads, dask (a cluster on this machine), dask://HOST:PORT (a running scheduler).",
        on=on,
    )


def chosen_workers(project: Project, workers: int | None) -> int:
    """Return how many steps run at once: as asked, else ``[flow] workers`` of headwater.toml, else one per CPU."""
    import os

    given = workers if workers is not None else project.settings.table("flow").get("workers")
    if given is None:
        return os.cpu_count() or 1
    if type(given) is not int or given < 1:
        raise InvalidInputError(f"[flow] workers in headwater.toml must be a whole number from 1, not {given!r}.")
    return given


def open_executor(engine: Engine, setup: Setup, workers: int) -> Executor:
    """Return the executor that the engine's run was asked to use."""
    from .places import machine

    kind, _, address = engine.on.partition("://")
    if kind in ("dask", "dasks"):
        from .dask_executor import DaskExecutor

        return DaskExecutor(engine, setup, workers, address, secured=kind == "dasks")
    from .pool import Pool, environment

    project = str(engine.project.root or engine.root)
    chosen = msgspec.structs.replace(setup, fork=kind == "processes", threads=workers if kind == "threads" else 0)
    return Pool(chosen, environment(engine.root, project), machine(workers))

"""Running a flow: its function runs here, its steps run in worker processes unless the memory has their results."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from headwater.errors import HeadwaterError, InvalidInputError, StorageError, UnavailableError, UserCodeError
from headwater.jobs.fencing import carried
from headwater.project.current import using
from headwater.track.capture import EnvironmentCapture
from headwater.track.liveness import BEAT_S, heartbeat
from headwater.track.runs import insert_run, read_runs

from .approving import Asked, Waits, record_asked
from .cancelling import LOOK_S, Cancellation, asked
from .engine import Engine, RunCancelled
from .executors import check_name, chosen_workers
from .finding import Found, find_flow
from .interrupting import Interruption
from .job_runs import begin_for_job, find_waiting_run, go_on, tasks_before
from .patience import patiently
from .steps import Flow, taking
from .tasks import TaskHandle, TaskReport
from .worker import users_traceback

if TYPE_CHECKING:
    from headwater.project import Project
    from headwater.track import Run

    from .live import Spectator

_SHOW_AFTER_S = 0.3


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How a run of a flow went. ``returned`` is what its function returned, handles replaced by their results."""

    run: Run
    tasks: tuple[TaskReport, ...]
    returned: Any = None

    @property
    def status(self) -> str:
        """``done``, ``failed``, ``cancelled`` or ``killed``."""
        return self.run.status

    @property
    def executed(self) -> int:
        """How many steps ran."""
        return sum(task.outcome in ("ran", "failed", "killed", "cancelled") for task in self.tasks)

    @property
    def remembered(self) -> int:
        """How many steps did not have to run."""
        return sum(task.outcome == "remembered" for task in self.tasks)

    @property
    def warnings(self) -> tuple[str, ...]:
        """A sentence for each optional step that failed in a run that is done all the same."""
        return tuple(
            f"the optional step '{task.step.rpartition(':')[2]}' {task.outcome}: {task.error}"
            for task in self.tasks
            if self.run.status == "done" and task.outcome in ("failed", "killed")
        )

    @property
    def value(self) -> Any:
        """What the flow returned.

        Raises:
            UserCodeError: the run failed; carries the user's traceback.
        """
        if self.run.status != "done":
            raise UserCodeError(f"the run {self.run.id} {self.run.status}: {self.run.error}", self.run.traceback)
        return self.returned


def execute_flow(
    project: Project,
    flow: str | Flow[Any, Any],
    arguments: Mapping[str, Any] | None = None,
    *,
    workers: int | None = None,
    folder: Path | None = None,
    strict: bool = False,
    tags: Mapping[str, str] | None = None,
    parent: str | None = None,
    spectator: Spectator | None = None,
    forget: bool = False,
    data: Mapping[str, Any] | None = None,
    on: str | None = None,
) -> Outcome:
    """Run a flow of a project in this process and return how it went; a failing step does not raise.

    ``flow`` is ``module:name``, a name, or the flow itself. ``workers`` is how many steps run at once (as many as
    the machine has CPUs). ``spectator`` is told what happens as it does, from other threads. ``forget`` runs every step
    again. Ctrl-C ends the workers, marks the run killed and raises KeyboardInterrupt. ``data`` are
    arguments that are no parameters of the run: the batch of a stream. ``on`` names the executor: ``processes``,
    ``warm``, ``threads``, ``dask`` or ``dask://HOST:PORT``; without it ``[flow] on`` of headwater.toml does.

    Raises:
        NotFoundError: there is no such flow.
        InvalidInputError: the arguments do not fit it, or the project was opened by URL (call ``run_flow`` then).
        UserCodeError: the project's code cannot be imported.
    """
    root = folder or project.root
    if root is None or project.root is None:
        raise InvalidInputError(
            "this project was opened by URL, so its flows run on the server: call run_flow, or 'hw run' with --project."
        )
    capture = EnvironmentCapture(root)
    found = find_flow(project, flow, root)
    given = dict(arguments or {})
    check_arguments(found.flow, {**given, **(data or {})})
    engine = Engine(
        project, found, workers=chosen_workers(project, workers), strict=strict or found.flow.strict, forget=forget,
        spectator=spectator, on=check_name(on or project.settings.text("flow", "on", "processes")),
    )  # fmt: skip
    running = _RunOfFlow(engine, found, given, capture, dict(tags or {}), parent)
    running.data = dict(data or {})
    return running.go()


class _RunOfFlow:
    """One run: its row, its heartbeat, its end."""

    def __init__(
        self, engine: Engine, found: Found, arguments: dict[str, Any], capture: EnvironmentCapture,
        tags: dict[str, str], parent: str | None,
    ) -> None:  # fmt: skip
        self.engine = engine
        self.project = engine.project
        self.found = found
        self.arguments = arguments
        self.capture = capture
        self.tags = tags
        self.data: dict[str, Any] = {}
        self.parent = parent or os.environ.get("HEADWATER_RUN") or None
        self.started_at = self.project.clock()
        self.ended = threading.Event()
        self.interrupting = Interruption()
        engine.begin_run = self._insert
        engine.keep_environment = lambda: capture.put(self.project)
        self.goes_on = find_waiting_run(self.project, found.ref)
        if self.goes_on is not None:
            engine.run_id = self.goes_on
            engine.before_waiting = tasks_before(self.project, self.goes_on)

    def _insert(self, tx: Any) -> None:
        if self.goes_on is not None:
            go_on(tx, self.goes_on)
            return
        begin_for_job(tx, self.engine.run_id)
        insert_run(
            tx, self.engine.run_id, self.found.flow.name, author=self.project.actor.name, params=self.arguments,
            kind="flow", flow=self.found.ref, tags=self.tags, parent=self._known_parent(tx),
            code=self.found.tree.digest, environment=self.capture.result(), started_at=self.started_at,
        )  # fmt: skip
        tx.announce("run.started", f"run:{self.engine.run_id}")

    def _known_parent(self, tx: Any) -> str | None:
        known = self.parent and tx.one("SELECT id FROM runs WHERE id = ?", (self.parent,))
        return self.parent if known else None

    def go(self) -> Outcome:
        beat = threading.Thread(target=carried(self._beat), name="headwater-beat", daemon=True)
        beat.start()
        returned, status, error, text = None, "done", "", ""
        try:
            returned = self._call()
            status, error, text = self.engine.verdict()
        except RunCancelled:
            return self._cancelled()
        except KeyboardInterrupt:
            if self.engine.cancelled is not None:
                return self._cancelled()  # the beat interrupted a flow that did not look by itself
            self.engine.cancelled = Cancellation(self.project.actor.name, "Ctrl-C")
            self._cancelled()
            raise
        except UserCodeError as failure:
            status, error, text = "failed", failure.message, failure.traceback
        except HeadwaterError as failure:
            status, error, text = "failed", failure.message, users_traceback(failure)
        except Exception as failure:  # noqa: BLE001  # the user's flow may raise anything
            status, error, text = "failed", f"{type(failure).__name__}: {failure}", users_traceback(failure)
        except Waits as waits:
            return self._wait(waits.asked)
        except BaseException:
            self.engine.stop()
            self._end("killed", "the process was told to end", "")
            raise
        try:
            self.engine.drain()
        except (RunCancelled, KeyboardInterrupt):
            self.engine.cancelled = self.engine.cancelled or Cancellation(self.project.actor.name, "Ctrl-C")
            return self._cancelled()
        return self._end(status, error, text, returned)

    def _row(self) -> Run:
        with self.project.ledger.read() as tx:
            return read_runs(tx, [self.engine.run_id], artefacts=True)[0]

    def _cancelled(self) -> Outcome:
        self.engine.stop()
        return self._end("cancelled", str(self.engine.cancelled), "")

    def _wait(self, asked: Asked) -> Outcome:
        """End this execution of the run; what it asks is recorded with its end, and the answer lets it go on."""
        self.engine.end_run = lambda tx: record_asked(tx, self.engine, asked, self.arguments)
        return self._end("waiting", f"it waits for an answer: {asked.title}", "")

    def _call(self) -> Any:
        token = taking.set(self.engine)
        self.interrupting.arm()
        kept = os.environ.get("HEADWATER_RUN")
        os.environ["HEADWATER_RUN"] = self.engine.run_id
        try:
            with self.engine.hearing(), using(self.project):
                returned = self.found.flow.function(**self.arguments, **self.data)
        finally:
            self.interrupting.disarm()
            taking.reset(token)
            if kept is None:
                del os.environ["HEADWATER_RUN"]
            else:
                os.environ["HEADWATER_RUN"] = kept
        self.engine.drain()
        return self._resolved(returned)

    def _resolved(self, returned: Any) -> Any:
        if isinstance(returned, TaskHandle):
            return None if returned.task.status == "failed" else returned.result()
        if type(returned) in (list, tuple):
            return type(returned)(self._resolved(each) for each in returned)
        if type(returned) is dict:
            return {key: self._resolved(each) for key, each in returned.items()}
        return returned

    def _beat(self) -> None:
        if self.ended.wait(_SHOW_AFTER_S):
            return
        self.engine.ensure_begun()
        beaten = time.monotonic()
        while not self.ended.wait(LOOK_S):
            try:
                if self.engine.cancelled is None:
                    self.engine.cancelled = asked(self.project, self.engine.run_id)
                elif not self.ended.wait(LOOK_S):
                    self.interrupting.interrupt()
                if time.monotonic() - beaten >= BEAT_S:
                    beaten = time.monotonic()
                    heartbeat(self.project, self.engine.run_id)
            except (StorageError, UnavailableError):
                continue  # whoever writes for the run waits for the ledger, or says that it does not answer

    def _end(self, status: str, error: str, text: str, returned: Any = None) -> Outcome:
        self.ended.set()
        self.engine.finish(status, error, text)
        run = patiently(self._row)
        return Outcome(run=run, tasks=tuple(self.engine.reports()), returned=returned)


def check_arguments(flow: Flow[Any, Any], arguments: dict[str, Any]) -> None:
    """Raise InvalidInputError unless the flow can be called with these arguments."""
    from .binding import bind

    try:
        bind(flow.function, (), arguments)
    except TypeError as error:
        code = flow.function.__code__
        names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
        raise InvalidInputError(
            f"flow '{flow.name}' cannot be called so: {error}. It takes {', '.join(names) or 'no arguments'}.",
            flow=flow.name,
        ) from error
    if (check := getattr(flow.function, "check", None)) is not None:
        check(arguments)

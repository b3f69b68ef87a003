"""A task on its way to an executor and back: what a worker needs of it, and what becomes of the answer."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from headwater.errors import CorruptError, NotFoundError
from headwater.ids import new_id

from .attempts import Attempt, pause_before_next
from .binding import unbind
from .executors import Job
from .machine_memory import MIB
from .memory import Result
from .patience import patiently
from .places import Needs
from .reads import ReadItem
from .saving import LARGE_BYTES, OBJECT, Part, Saved, fetch
from .tasks import TaskState
from .unsound import runtime_warnings

if TYPE_CHECKING:
    from .engine import Engine
    from .steps import Options

_NATIVE_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS")


class DamagedInput(Exception):
    """The result of an earlier task cannot be read: it has to be made again first."""

    def __init__(self, task: TaskState, error: Exception) -> None:
        super().__init__(str(error))
        self.task = task
        self.error = error


class Execution:
    """Makes jobs of a run's tasks and takes their answers. ``take`` is called by the scheduler."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def job_of(self, task: TaskState, ended: Callable[[dict[str, Any]], None]) -> Job:
        """Return a task as a job for an executor; raises as ``request_of`` does."""
        closure = self.engine.code.closure(task.name, self.engine.found.also)
        return Job(
            id=task.id,
            step=task.name,
            code=closure.digest,
            imports=closure.inner,
            request=self.request_of(task),
            timeout_s=task.step.options.timeout_s,
            needs=needs_of(task.step.options),
            ended=ended,
            said=lambda level, text: self._said(task, level, text),
            started=lambda: self._started(task),
            progressed=lambda done, total, text: self._progressed(task, done, total, text),
        )

    def request_of(self, task: TaskState) -> dict[str, Any]:
        """Return what a worker needs to run a task.

        Raises:
            DamagedInput: the result of an earlier step cannot be read any more.
        """
        contents: dict[str, bytes] = {}
        paths: dict[str, str] = {}
        bound = {}
        for name, saved in task.saved.items():
            bound[name] = [msgspec.to_builtins(part) for part in saved.parts]
            for digest, data in saved.contents.items():
                contents[digest] = data
            paths.update(saved.files)
            for part in saved.parts:
                if part.format == OBJECT:  # the content of an item of data
                    self._provide(part, contents, paths)
        arguments = set(self.engine.handles_in(task.bound))
        for dependency in task.dependencies:
            if dependency.result is None or dependency not in arguments:
                continue
            try:
                for part in dependency.result.parts:
                    patiently(functools.partial(self._provide, part, contents, paths))
            except (CorruptError, NotFoundError) as error:
                raise DamagedInput(dependency, error) from error
        args, kwargs = unbind(task.step.function, bound)
        modules = self.engine.code.closure(task.name, self.engine.found.also).modules
        return {
            "step": task.name, "name": task.step.__name__, "args": args, "kwargs": kwargs, "contents": contents,
            "paths": paths, "modules": modules, "environ": self._environ(task), "forced": bool(task.forced),
            "strict": self.engine.is_strict(task),
        }  # fmt: skip

    def _environ(self, task: TaskState) -> dict[str, str]:
        environ = {
            "HEADWATER_RUN": self.engine.run_id, "HEADWATER_TASK": task.id,
            "HEADWATER_AS": self.engine.project.actor.name, "HEADWATER_WORK": str(self.engine.work),
        }  # fmt: skip
        cores = int(task.step.options.cores)
        return environ | dict.fromkeys(_NATIVE_THREADS, str(cores)) if cores > 1 else environ

    def _provide(self, part: Part, contents: dict[str, bytes], paths: dict[str, str]) -> None:
        if part.digest in contents or part.digest in paths:
            return
        objects = self.engine.project.objects
        if part.digest in self.engine.held:
            contents[part.digest] = self.engine.held[part.digest]
        elif part.size <= LARGE_BYTES:
            contents[part.digest] = fetch(objects, part)
        else:
            paths[part.digest] = str(objects.cached_path(part.stored or part.digest))

    # -- while it runs -------------------------------------------------------------------------------------------

    def _started(self, task: TaskState) -> None:
        task.started_at = self.engine.project.clock()
        task.progress = (0.0, 0.0, "")
        self.engine.live.started(task)
        if self.engine.spectator is not None:
            self.engine.spectator.started(task.report())

    def _progressed(self, task: TaskState, done: float, total: float, text: str) -> None:
        task.progress = (done, total, text)
        if self.engine.spectator is not None:
            self.engine.spectator.progressed(task.report(), done, total, text)

    def _said(self, task: TaskState, level: str, text: str) -> None:
        self.engine.recorder.line(task.id, level, text)
        if self.engine.spectator is not None:
            self.engine.spectator.said(task.report(), level, text)

    # -- its answer ----------------------------------------------------------------------------------------------

    def take(self, task: TaskState, answer: dict[str, Any]) -> None:
        """Take what a worker says of a task."""
        engine = self.engine
        with engine.lock:
            engine.live.ended(task)
            if task.status != "running":
                return  # the run was stopped meanwhile
            task.seconds = float(answer.get("seconds", 0.0))
            task.peak_bytes = max(task.peak_bytes, int(answer.get("peak_bytes", 0)))
            task.cards = answer.get("cards", ())
            warnings = runtime_warnings(task.step.options, answer, task.warnings)
            if "parts" not in answer or (warnings and engine.is_strict(task)):
                self._take_failure(task, answer, warnings)
                return
            task.warnings += warnings
            parts = tuple(msgspec.convert(part, Part) for part in answer["parts"])
            engine.hold(answer["contents"])
            engine.logged = engine.logged or bool(answer.get("logged"))
            task.result = Result(
                id=new_id(engine.project.clock()),
                static_key="" if task.step.options.impure else task.key,
                step=task.name,
                output=Saved(parts=parts).digest,
                parts=parts,
                reads=tuple(msgspec.convert(read, ReadItem) for read in answer["reads"]),
                seconds=task.seconds,
                warnings=tuple(task.warnings),
                created_at=engine.project.clock(),
            )
            engine.recorder.result_made(task, answer)

    def _take_failure(self, task: TaskState, answer: dict[str, Any], warnings: list[str]) -> None:
        engine = self.engine
        if "parts" in answer:
            engine.recorder.cards_left(task, answer)
            engine.fail(task, "failed", f"the step is strict, and {warnings[0]}", "")
            return
        error = answer["killed"] if "killed" in answer else answer["error"]
        pause_s = pause_before_next(task.step.options, len(task.failures) + 1, answer, task.id)
        if pause_s is not None and engine.cancelled is None:
            failed = Attempt(started_at=task.started_at, seconds=task.seconds, error=error[:2000], waited_s=pause_s)
            task.failures = (*task.failures, failed)
            text = f"attempt {len(task.failures)} of {task.step.options.retries + 1} failed: {error}; "
            engine.recorder.line(task.id, "retry", f"{text}again in {pause_s:.1f} s")
            if engine.spectator is not None:
                engine.spectator.retried(task.report(), error, pause_s)
            engine.scheduler.start(task, after_s=pause_s)
            return
        engine.recorder.cards_left(task, answer)
        if task.failures:
            error = f"{error} (attempt {len(task.failures) + 1}, the last)"
        engine.fail(task, "killed" if "killed" in answer else "failed", error, answer.get("traceback", ""))


def needs_of(options: Options) -> Needs:
    """Return what a step's options ask for."""
    return Needs(cores=options.cores, memory_bytes=(options.memory_mib or 0) * MIB, gpus=options.gpus)

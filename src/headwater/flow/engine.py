"""The engine of a run: takes calls of steps, asks the memory, has the rest executed, records what comes back."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from headwater.canonical import digest_of
from headwater.errors import CorruptError, InvalidInputError, NotFoundError, UserCodeError
from headwater.ids import new_id

from .binding import bind, unbind
from .keys import Code, make_call, shown
from .memory import Answer, Result, find
from .reads import Now, ReadItem
from .recording import Recorder
from .saving import Part, Saved, fetch, load, save
from .scheduler import Scheduler
from .steps import Step
from .tasks import TaskHandle, TaskReport, TaskState
from .unsound import runtime_warnings, static_warnings

if TYPE_CHECKING:
    from headwater.project import Project

    from .finding import Found
    from .pool import Job

_HELD_BYTES = 256 << 20


class FlowStopped(BaseException):
    """Raised in a flow that is only explained, where it needs a value that is not known."""


class Engine:
    """Takes the calls of one run."""

    def __init__(
        self,
        project: Project,
        found: Found,
        *,
        workers: int,
        strict: bool,
        forget: bool = False,
        dry: bool = False,
        on_task: Callable[[TaskReport], None] | None = None,
    ) -> None:
        self.project = project
        self.found = found
        self.root = Path(found.tree.root)
        self.strict = strict
        self.forget = forget
        self.dry = dry
        self.on_task = on_task
        self.run_id = new_id(project.clock())
        self.lock = threading.RLock()
        self.tasks: list[TaskState] = []
        cache = (project.root or self.root) / ".headwater" / "cache" / "flow"
        self.work = cache / f"run-{self.run_id}"
        self.code = Code(found.tree, cache)
        self.now = Now(self.root, found.tree, self._resolve)
        self.recorder = Recorder(self)
        self.scheduler = Scheduler(self, cache, workers)
        self.begin_run: Callable[[Any], None] = lambda tx: None
        self.held: dict[str, bytes] = {}
        self.held_bytes = 0
        self.reads: list[ReadItem] = []
        self._by_key: dict[str, TaskState] = {}
        self._calls: dict[str, int] = {}
        self._names: dict[int, str] = {}
        self._stopped = False
        self.logged = False

    # -- calls ---------------------------------------------------------------------------------------------------

    def call(self, step: Step[Any, Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> TaskHandle:
        """Take a call of a step: remembered at once, executed soon, or after what it waits for."""
        name = self._name_of(step)
        with self.lock:
            task = TaskState(self, new_id(self.project.clock()), len(self.tasks), step, name)
            number = self._calls[name] = self._calls.get(name, 0) + 1
            task.slot = f"{self.found.ref}|{name}|{number}"
            task.bound = bind(step.function, args, kwargs)
            task.dependencies = list(dict.fromkeys(self._handles(task.bound)))
            self.tasks.append(task)
            self.advance(task, raising=True)
        return TaskHandle(task)

    def _name_of(self, step: Step[Any, Any]) -> str:
        if id(step) not in self._names:
            self._names[id(step)] = self.found.name_of(step)
        return self._names[id(step)]

    def _handles(self, value: Any) -> Iterator[TaskState]:
        """Yield the tasks whose handles stand in a value, however deep; each container is looked into once."""
        waiting, looked = [value], set()
        while waiting:
            each = waiting.pop()
            if isinstance(each, TaskHandle):
                if each.task.engine is not self:
                    raise InvalidInputError(
                        f"the handle of step '{each.step_name}' is of another run. Pass its result() instead."
                    )
                yield each.task
            elif type(each) in (list, tuple, set, frozenset, dict) and id(each) not in looked:
                looked.add(id(each))
                waiting.extend(each.values() if type(each) is dict else each)

    def advance(self, task: TaskState, *, raising: bool = False) -> None:
        """Decide about a task whose dependencies have ended; under the lock.

        ``raising``: what prevents it is raised to the flow that called the step, and not only recorded.
        """
        if task.status != "waiting":
            return
        bad = next((each for each in task.dependencies if each.status in ("failed", "unknown")), None)
        if bad is not None:
            self._give_up(task, bad)
        elif all(each.status == "done" for each in task.dependencies):
            try:
                self._decide(task)
            except Exception as error:
                task.why = "not run: its key could not be made"
                self.fail(task, "failed", str(error), "")
                task.seen = raising
                if raising:
                    raise

    def _give_up(self, task: TaskState, bad: TaskState) -> None:
        if bad.status == "unknown":
            task.status, task.outcome, task.why = "unknown", "unknown", f"depends on {bad.step.__name__}"
            self._settled(task)
            return
        task.why = f"not run: step {bad.step.__name__}, which it needs, {bad.outcome}"
        self.fail(task, "skipped", f"step {bad.step.__name__}, which it needs, {bad.outcome}", bad.traceback)

    def _decide(self, task: TaskState) -> None:
        task.ingredients = self.code.ingredients(task.name, self.found.also)
        self._save_arguments(task)
        assert task.call is not None
        task.key = digest_of([task.ingredients[0], task.call.digest()])
        other = self._by_key.get(task.key)
        if other is not None and other is not task and other.status == "running" and not task.step.options.impure:
            task.dependencies.append(other)
            return
        answer = self._ask(task)
        if answer.result is not None:
            task.result, task.why = answer.result, answer.why
            task.warnings = list(answer.result.warnings)
            self.succeed(task, "remembered")
            return
        task.why = answer.why
        if self.dry:
            task.status, task.outcome = "unknown", "would run"
            self._settled(task)
            return
        self._by_key[task.key] = task
        task.status = "running"
        hazards = self.code.closure(task.name, self.found.also).hazards
        task.warnings = static_warnings(task.step.options, hazards)
        self.scheduler.start(task)

    def _ask(self, task: TaskState) -> Answer:
        assert task.call is not None and task.ingredients is not None
        if task.step.options.impure:
            return Answer(result=None, why="ran: it is declared impure, so it always runs")
        if task.forced or self.forget:
            return Answer(result=None, why=task.forced or "ran again: the memory was left out on request")
        self.recorder.settle()
        with self.project.ledger.read() as tx:
            return find(tx, self.project.objects, self.now, task.key, task.slot, task.ingredients[1], task.call)

    def _save_arguments(self, task: TaskState) -> None:
        classes: dict[str, str] = {}
        digests: dict[str, str] = {}
        words: dict[str, str] = {}
        for name, value in task.bound.items():
            what = f"the argument '{name}' of step '{task.step.__name__}'"
            saved = self._saved(value, what)
            task.saved[name] = saved
            digests[name] = saved.digest
            words[name] = self._shown(value)
            for each in {each for part in saved.parts for each in part.classes}:
                self._add_class(each, classes)
        for earlier in task.dependencies:
            for part in earlier.result.parts if earlier.result else ():
                for named in part.classes:
                    self._add_class(named, classes)
        task.call = make_call(task.step.options, digests, words, classes, self.root)

    def _saved(self, value: Any, what: str) -> Saved:
        if isinstance(value, TaskHandle):
            assert value.task.result is not None
            return Saved(parts=value.task.result.parts)
        return save(value, what, special=self._special)

    def _special(self, value: Any) -> Any:
        """Spell handles and data refs inside of arguments."""
        if isinstance(value, TaskHandle):
            assert value.task.result is not None
            return {"$value": [msgspec.to_builtins(part) for part in value.task.result.parts]}
        from .refs import DataRef

        if isinstance(value, DataRef):
            dataset = value.ref.partition("@")[0]
            return {"$version": [dataset, self._resolve(value.ref)[1]]}
        return None

    def _shown(self, value: Any) -> str:
        if isinstance(value, TaskHandle):
            return f"the result of {value.step_name}"
        return shown(value)

    def _add_class(self, name: str, classes: dict[str, str]) -> None:
        module, _, qualname = name.partition(":")
        if self.found.tree.has(module) and module in self.found.tree.files:
            if qualname:
                classes[name] = self.code.closure(name, self.found.also).digest
            else:
                classes[name] = self.found.tree.files[module].digest

    def _resolve(self, ref: str) -> tuple[str, str]:
        from headwater.lake import resolve

        version = resolve(self.project, ref)
        return version.root, version.id

    # -- ends of tasks -------------------------------------------------------------------------------------------

    def succeed(self, task: TaskState, outcome: str) -> None:
        """Note that a task has its result; under the lock."""
        task.status, task.outcome = "done", outcome
        task.ended_at = self.project.clock()
        self._settled(task)

    def fail(self, task: TaskState, outcome: str, error: str, traceback: str) -> None:
        """Note that a task has none; under the lock."""
        task.status, task.outcome, task.error, task.traceback = "failed", outcome, error, traceback
        task.ended_at = self.project.clock()
        self._settled(task)

    def _settled(self, task: TaskState) -> None:
        if self._by_key.get(task.key) is task:
            del self._by_key[task.key]
        self.recorder.task_ended(task)
        task.done.set()
        if self.on_task is not None and not self.dry:
            self.on_task(task.report())
        for each in self.tasks:
            if each.status == "waiting" and task in each.dependencies:
                self.advance(each)

    # -- values --------------------------------------------------------------------------------------------------

    def value_of(self, task: TaskState) -> Any:
        """Wait for a task and return its value; a result that turns out damaged is computed again."""
        while True:
            if self.dry and task.status == "unknown":
                raise FlowStopped(task.step.__name__)
            self.wait(task)
            if task.status == "failed":
                task.seen = True
                raise UserCodeError(
                    f"step '{task.step.__name__}' {task.outcome}: {task.error}", task.traceback, task=task.id
                )
            assert task.result is not None
            try:
                return load(task.result.parts, self.content, trust=True)
            except (CorruptError, NotFoundError) as error:
                self.make_again(task, error)

    def wait(self, task: TaskState) -> None:
        """Return when the task has ended."""
        # In pieces, so that Ctrl-C is heard.
        while not task.done.wait(0.5):
            self.scheduler.check()

    def content(self, part: Part) -> bytes:
        """Return the bytes of a part."""
        found = self.held.get(part.digest)
        return found if found is not None else fetch(self.project.objects, part)

    def hold(self, contents: dict[str, bytes]) -> None:
        """Keep small parts at hand for the steps that come next."""
        for digest, data in contents.items():
            if digest not in self.held and self.held_bytes + len(data) <= _HELD_BYTES:
                self.held[digest] = data
                self.held_bytes += len(data)

    def make_again(self, task: TaskState, error: Exception) -> None:
        """Forget a damaged result and run its step again."""
        with self.lock:
            if task.status != "done" or task.result is None:
                return
            if self.dry:
                task.status, task.outcome, task.why = "unknown", "would run", f"its result is damaged ({error})"
                return
            self.recorder.broken(task.result.id)
            task.forced = "ran again: the remembered result is damaged"
            task.result, task.status = None, "waiting"
            task.done.clear()
            self.advance(task)

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
        for dependency in task.dependencies:
            if dependency.result is None or not self._is_argument(task, dependency):
                continue
            try:
                for part in dependency.result.parts:
                    self._provide(part, contents, paths)
            except (CorruptError, NotFoundError) as error:
                raise DamagedInput(dependency, error) from error
        args, kwargs = unbind(task.step.function, bound)
        modules = self.code.closure(task.name, self.found.also).modules
        environ = {
            "HEADWATER_RUN": self.run_id, "HEADWATER_TASK": task.id, "HEADWATER_AS": self.project.actor.name,
        }  # fmt: skip
        return {
            "step": task.name, "name": task.step.__name__, "args": args, "kwargs": kwargs, "contents": contents,
            "paths": paths, "modules": modules, "environ": environ,
        }  # fmt: skip

    def _is_argument(self, task: TaskState, dependency: TaskState) -> bool:
        return any(each is dependency for each in self._handles(task.bound))

    def _provide(self, part: Part, contents: dict[str, bytes], paths: dict[str, str]) -> None:
        if part.digest in contents or part.digest in paths:
            return
        if part.digest in self.held:
            contents[part.digest] = self.held[part.digest]
        elif part.size <= 1 << 20:
            contents[part.digest] = fetch(self.project.objects, part)
        else:
            paths[part.digest] = str(self.project.objects.cached_path(part.stored or part.digest))

    # -- the run -------------------------------------------------------------------------------------------------

    @contextmanager
    def hearing(self) -> Iterator[None]:
        """Note versions that the flow's own function asks the lake for."""
        import sys

        if "headwater.lake.reading" not in sys.modules and "headwater" not in sys.modules:
            yield
            return
        from headwater.lake.reading import listening

        with listening(lambda read: self.reads.append(ReadItem("ref", read.ref, read.root, read.version))):
            yield

    def ensure_begun(self) -> None:
        """Record that the run is running, if that is not recorded yet."""
        with self.lock:
            if not self._stopped:
                self.recorder.begin()

    def drain(self) -> None:
        """Wait until every task has ended."""
        for task in list(self.tasks):
            if task.status not in ("unknown",):
                self.wait(task)

    def verdict(self) -> tuple[str, str, str]:
        """Return status, error and traceback of the run: failed when a task failed and the flow did not look."""
        bad = next((task for task in self.tasks if task.outcome in ("failed", "killed") and not task.seen), None)
        if bad is None:
            return "done", "", ""
        return "failed", f"step '{bad.step.__name__}' {bad.outcome}: {bad.error}", bad.traceback

    def stop(self) -> None:
        """End the workers at once; tasks not ended are marked killed."""
        self.scheduler.stop()
        with self.lock:
            for task in self.tasks:
                if task.status in ("waiting", "running"):
                    self.fail(task, "killed", "the run was stopped", "")

    def finish(self, status: str, error: str, traceback: str) -> None:
        """End the workers and record how the run ended, with all that is not recorded yet."""
        self.scheduler.stop()
        if self.logged:
            from headwater.track.metrics import fold_metrics

            fold_metrics(self.project, [self.run_id])
        with self.lock:
            self._stopped = True
            self.recorder.end(status, error, traceback)
        self.code.keep()
        shutil.rmtree(self.work, ignore_errors=True)

    def reports(self) -> list[TaskReport]:
        """Return how each task went, in the order of the calls."""
        return [task.report() for task in self.tasks]

    def take_answer(self, task: TaskState, answer: dict[str, Any]) -> None:
        """Take what a worker says of a task; called by the scheduler."""
        with self.lock:
            task.seconds = float(answer.get("seconds", 0.0))
            warnings = runtime_warnings(task.step.options, answer)
            if "parts" not in answer or (warnings and self._is_strict(task)):
                self._bad_answer(task, answer, warnings)
                return
            task.warnings += warnings
            parts = tuple(msgspec.convert(part, Part) for part in answer["parts"])
            self.hold(answer["contents"])
            self.logged = self.logged or bool(answer.get("logged"))
            reads = tuple(msgspec.convert(read, ReadItem) for read in answer["reads"])
            task.result = Result(
                id=new_id(self.project.clock()),
                static_key="" if task.step.options.impure else task.key,
                step=task.name,
                output=Saved(parts=parts).digest,
                parts=parts,
                reads=reads,
                seconds=task.seconds,
                warnings=tuple(task.warnings),
                created_at=self.project.clock(),
            )
            self.recorder.result_made(task, answer)

    def _is_strict(self, task: TaskState) -> bool:
        return (self.strict or task.step.options.strict) and not task.step.options.impure

    def _bad_answer(self, task: TaskState, answer: dict[str, Any], warnings: list[str]) -> None:
        if task.attempts <= task.step.options.retries and "parts" not in answer:
            self.scheduler.start(task)
            return
        if "parts" in answer:
            self.fail(task, "failed", f"the step is strict, and {warnings[0]}", "")
        elif "killed" in answer:
            self.fail(task, "killed", answer["killed"], "")
        else:
            self.fail(task, "failed", answer["error"], answer.get("traceback", ""))

    def job_of(self, task: TaskState, ended: Callable[[dict[str, Any]], None]) -> Job:
        """Return a task as a job for the pool."""
        from .pool import Job

        closure = self.code.closure(task.name, self.found.also)
        return Job(
            step=task.name,
            code=closure.digest,
            imports=closure.inner,
            request=self.request_of(task),
            timeout_s=task.step.options.timeout_s,
            ended=ended,
            said=lambda level, text: self.recorder.line(task.id, level, text),
        )


class DamagedInput(Exception):
    """The result of an earlier task cannot be read: it has to be made again first."""

    def __init__(self, task: TaskState, error: Exception) -> None:
        super().__init__(str(error))
        self.task = task
        self.error = error

"""The engine of a run: takes calls of steps, asks the memory, has the rest executed, records what comes back."""

from __future__ import annotations

import functools
import shutil
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headwater.canonical import digest_of
from headwater.errors import CorruptError, InvalidInputError, NotFoundError, UserCodeError
from headwater.ids import new_id

from .arguments import Arguments
from .binding import bind
from .execution import Execution
from .handles import NONE_GIVEN
from .items import ITEMS
from .keys import Code
from .live import LiveTasks, Spectator
from .memory import Answer, Asked, find_many
from .patience import patiently
from .reads import Now, ReadItem
from .recording import Recorder
from .saving import Part, fetch_place, load
from .scheduler import Scheduler
from .steps import Flow, Step
from .tasks import TaskHandle, TaskReport, TaskState
from .unsound import static_warnings

if TYPE_CHECKING:
    from headwater.project import Project

    from .cancelling import Cancellation
    from .finding import Found

_HELD_BYTES = 256 << 20
# How many calls of a map have their keys made before the memory is asked for them.
_TOGETHER = 5000


class FlowStopped(BaseException):
    """Raised in a flow that is only explained, where it needs a value that is not known."""


class RunCancelled(BaseException):
    """Raised in a flow whose run was cancelled: at its next call of a step, or where it waits for one."""


# Names of the nested flows that call now, joined by /, and whether one of them is strict.
_within: ContextVar[tuple[str, bool]] = ContextVar("headwater_flow_within", default=("", False))


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
        on: str = "processes",
        spectator: Spectator | None = None,
    ) -> None:
        self.project = project
        self.found = found
        self.root = Path(found.tree.root)
        self.strict = strict
        self.forget = forget
        self.dry = dry
        self.on = on
        self.spectator = spectator
        self.live = LiveTasks()
        self.execution = Execution(self)
        self.arguments = Arguments(self)
        self.cancelled: Cancellation | None = None
        self.run_id = new_id(project.clock())
        self.lock = threading.RLock()
        self.tasks: list[TaskState] = []
        cache = (project.root or self.root) / ".headwater" / "cache" / "flow"
        self.work = cache / f"run-{self.run_id}"
        self.code = Code(found.tree, cache)
        self.now = Now(self.root, found.tree, self.resolve)
        self.before_waiting: frozenset[tuple[int, str]] = frozenset()
        self.recorder = Recorder(self)
        self.scheduler = Scheduler(self, cache, workers)
        self.begin_run: Callable[[Any], None] = lambda tx: None
        self.keep_environment: Callable[[], None] = lambda: None
        self.end_run: Callable[[Any], None] = lambda tx: None
        self.held: dict[str, bytes] = {}
        self.held_bytes = 0
        self.reads: list[ReadItem] = []
        self._by_key: dict[str, TaskState] = {}
        self._calls: dict[str, int] = {}
        self._names: dict[int, str] = {}
        self._flows: dict[str, int] = {}
        self._stopped = False
        self.logged = False

    # -- calls ---------------------------------------------------------------------------------------------------

    def call(self, step: Step[Any, Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> TaskHandle:
        """Take a call of a step: remembered at once, executed soon, or after what it waits for."""
        with self.lock:
            task = self._take_call(step, args, kwargs)
            self.advance(task, raising=True)
        return TaskHandle(task)

    def call_many(
        self, step: Step[Any, Any], groups: Iterable[tuple[Any, ...]], fixed: dict[str, Any]
    ) -> list[TaskHandle]:
        """Take a call of a step for each group of arguments; the memory is asked for all of them together."""
        with self.lock:
            tasks = [self._take_call(step, group, fixed) for group in groups]
            for start in range(0, len(tasks), _TOGETHER):
                self._advance_many(tasks[start : start + _TOGETHER])
        return [TaskHandle(task) for task in tasks]

    @contextmanager
    def within(self, flow: Flow[Any, Any]) -> Iterator[None]:
        """Group the calls of the block under a flow's name; the second time it is called, under ``name#2``."""
        outer, strict = _within.get()
        path = f"{outer}/{flow.name}" if outer else flow.name
        number = self._flows[path] = self._flows.get(path, 0) + 1
        token = _within.set((path if number == 1 else f"{path}#{number}", strict or flow.strict))
        try:
            yield
        finally:
            _within.reset(token)

    def _take_call(self, step: Step[Any, Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> TaskState:
        self.go_on()
        name = self._name_of(step)
        task = TaskState(self, new_id(self.project.clock()), len(self.tasks), step, name)
        task.within, task.strict = _within.get()
        number = self._calls[name] = self._calls.get(name, 0) + 1
        task.bound = bind(step.function, args, kwargs)
        # A call on an item of data is compared with the last one on that item, wherever in the list it stood.
        item = next((value.name for value in task.bound.values() if isinstance(value, ITEMS)), number)
        task.slot = f"{self.found.ref}|{name}|{item}"
        task.dependencies = list(dict.fromkeys(self.handles_in(task.bound)))
        for each in task.dependencies:
            each.dependents.append(task)
        self.tasks.append(task)
        return task

    def _name_of(self, step: Step[Any, Any]) -> str:
        if id(step) not in self._names:
            self._names[id(step)] = self.found.name_of(step)
        return self._names[id(step)]

    def handles_in(self, value: Any) -> Iterator[TaskState]:
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
            self._advance_many([task], raising=raising)

    def _advance_many(self, tasks: list[TaskState], *, raising: bool = True) -> None:
        """Make the keys of tasks, ask the memory for those that can be asked for, and go on with its answers."""
        asked: list[TaskState] = []
        for task in tasks:
            if any(each.status != "done" for each in task.dependencies):
                self.advance(task, raising=raising)
                continue
            try:
                if self._make_key(task):
                    asked.append(task)
            except Exception as error:
                task.why = "not run: its key could not be made"
                self.fail(task, "failed", str(error), "")
                task.seen = raising
                if raising:
                    self._decide(asked, raising=True)
                    raise
        self._decide(asked, raising=raising)

    def _give_up(self, task: TaskState, bad: TaskState) -> None:
        if bad.status == "unknown":
            task.status, task.outcome, task.why = "unknown", "unknown", f"depends on {bad.step.__name__}"
            self._settled(task)
            return
        task.why = f"not run: step {bad.step.__name__}, which it needs, {bad.outcome}"
        self.fail(task, "skipped", f"step {bad.step.__name__}, which it needs, {bad.outcome}", bad.traceback)

    def _make_key(self, task: TaskState) -> bool:
        """Make a task's key; tell whether it is now to be decided about: not when the same call runs already."""
        task.ingredients = self.code.ingredients(task.name, self.found.also)
        self.arguments.save(task)
        assert task.call is not None
        task.key = digest_of([task.ingredients[0], task.call.digest()])
        return not self._waits_for_same(task)

    def _waits_for_same(self, task: TaskState) -> bool:
        other = self._by_key.get(task.key)
        if other is None or other is task or other.status != "running" or task.step.options.impure:
            return False
        task.dependencies.append(other)
        other.dependents.append(task)
        return True

    def _decide(self, tasks: list[TaskState], *, raising: bool) -> None:
        """Take the memory's answers for tasks whose keys are made: remembered, or started."""
        try:
            answers = self._ask(tasks)
        except Exception as error:
            for task in tasks:
                task.why = "not run: the memory could not be asked"
                self.fail(task, "failed", str(error), "")
            if raising:
                raise
            return
        for task, answer in zip(tasks, answers, strict=True):
            if answer.result is not None:
                task.result, task.why = answer.result, answer.why
                task.warnings = list(answer.result.warnings)
                task.saved = {}  # made anew, should the result prove damaged
                if task.warnings and self.is_strict(task):
                    why = f"the step is strict, and the remembered result was made although {task.warnings[0]}"
                    self.fail(task, "failed", why, "")
                    continue
                self.succeed(task, "remembered")
                continue
            if self._waits_for_same(task):
                continue  # a task before it in this list has the same key, and was started just now
            task.why = answer.why
            if self.dry:
                task.status, task.outcome = "unknown", "would run"
                self._settled(task)
                continue
            self._by_key[task.key] = task
            task.status = "running"
            hazards = self.code.closure(task.name, self.found.also).hazards
            task.warnings = static_warnings(task.step.options, hazards)
            if task.warnings and self.is_strict(task):
                self.fail(task, "failed", f"the step is strict, and {task.warnings[0]}", "")
                continue
            self.scheduler.start(task)

    def _ask(self, tasks: list[TaskState]) -> list[Answer]:
        said = [self._unasked(task) for task in tasks]
        open_ = [task for task, answer in zip(tasks, said, strict=True) if answer is None]
        if not open_:
            return [answer for answer in said if answer is not None]
        self.recorder.settle()
        found = iter(patiently(lambda: self._remembered(open_), give_up=lambda: self.cancelled is not None))
        return [next(found) if answer is None else answer for answer in said]

    def _remembered(self, tasks: list[TaskState]) -> list[Answer]:
        with self.project.ledger.read() as tx:
            return list(find_many(tx, self.project.objects, self.now, [_asked(task) for task in tasks]))

    def _unasked(self, task: TaskState) -> Answer | None:
        """Return the answer for a task for which the memory is not asked, None where it is."""
        if task.step.options.impure:
            return Answer(result=None, why="ran: it is declared impure, so it always runs")
        if task.forced or self.forget:
            return Answer(result=None, why=task.forced or "ran again: the memory was left out on request")
        return None

    def resolve(self, ref: str) -> tuple[str, str]:
        """Return the root and the id of the version that a ref names now."""
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
        if task.step.options.optional and outcome in ("failed", "killed"):
            task.warnings.append("it is optional: the run goes on without it and without what depends on it")
        task.ended_at = self.project.clock()
        self._settled(task)

    def _settled(self, task: TaskState) -> None:
        if self._by_key.get(task.key) is task:
            del self._by_key[task.key]
        self.recorder.task_ended(task)
        task.settled()
        if self.spectator is not None and not self.dry:
            self.spectator.ended(task.report())
        for each in task.dependents:
            if each.status == "waiting":
                self.advance(each)

    # -- values --------------------------------------------------------------------------------------------------

    def failed(self, task: TaskState) -> bool:
        """Wait for a task and tell whether it gave no result: then the flow has seen so."""
        if self.dry and task.status == "unknown":
            raise FlowStopped(task.step.__name__)
        self.wait(task)
        if task.status != "failed":
            return False
        _see(task)
        return True

    def value_of(self, task: TaskState, default: Any = NONE_GIVEN) -> Any:
        """Wait for a task and return its value, or the default of one that failed.

        A result that turns out damaged is computed again.
        """
        while True:
            if self.failed(task):
                if default is not NONE_GIVEN:
                    return default
                raise UserCodeError(
                    f"step '{task.step.__name__}' {task.outcome}: {task.error}", task.traceback, task=task.id
                )
            assert task.result is not None
            try:
                return patiently(functools.partial(load, task.result.parts, self.content, trust=True))
            except (CorruptError, NotFoundError) as error:
                self.make_again(task, error)

    def wait(self, task: TaskState) -> None:
        """Return when the task has ended."""
        # In pieces, so that Ctrl-C is heard.
        while not task.wait(0.25):
            self.scheduler.check()
            self.go_on()
        self.go_on()

    def go_on(self) -> None:
        """Raise RunCancelled in the flow's function once its run was cancelled."""
        if self.cancelled is not None:
            raise RunCancelled(str(self.cancelled))

    def content(self, part: Part) -> bytes | Path:
        """Return the bytes of a part, or a file that holds them."""
        found = self.held.get(part.digest)
        return found if found is not None else fetch_place(self.project.objects, part)

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
            self.advance(task)

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
        bad = next(
            (
                task
                for task in self.tasks
                if task.outcome in ("failed", "killed") and not task.seen and not task.step.options.optional
            ),
            None,
        )
        if bad is None:
            return "done", "", ""
        return "failed", f"step '{bad.step.__name__}' {bad.outcome}: {bad.error}", bad.traceback

    def stop(self) -> None:
        """End the workers at once, keep what they had finished; tasks not ended are marked cancelled, or killed."""
        self.scheduler.stop()
        self.recorder.flush()
        outcome, why = "killed", "the run was stopped"
        if self.cancelled is not None:
            outcome, why = "cancelled", f"the run was {self.cancelled}"
        with self.lock:
            for task in self.tasks:
                if task.status in ("waiting", "running"):
                    self.fail(task, outcome, why, "")

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

    def is_strict(self, task: TaskState) -> bool:
        """Tell whether an undeclared read of a task is an error."""
        return (self.strict or task.strict or task.step.options.strict) and not task.step.options.impure


def _see(task: TaskState) -> None:
    """Note that the flow looked at a failure, and so at those that it came of."""
    waiting = [task]
    while waiting:
        each = waiting.pop()
        if not each.seen:
            each.seen = True
            waiting += [earlier for earlier in each.dependencies if earlier.status == "failed"]


def _asked(task: TaskState) -> Asked:
    assert task.call is not None and task.ingredients is not None
    return Asked(task.key, task.slot, task.ingredients[1], task.call)

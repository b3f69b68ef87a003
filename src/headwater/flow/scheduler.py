"""The thread that feeds the executor of a run and takes its answers; it starts with the first step that runs."""

from __future__ import annotations

import contextlib
import heapq
import threading
import time
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from headwater.errors import HeadwaterError
from headwater.jobs.fencing import carried

if TYPE_CHECKING:
    from .engine import Engine
    from .executors import Executor, Setup
    from .tasks import TaskState

_FLUSH_S = 0.25
# How long results may wait to be written together while all places are taken.
_TOGETHER_S = 0.05


class Scheduler:
    """Owns the executor. ``start`` and ``cancel`` may be called from any thread."""

    def __init__(self, engine: Engine, cache: Path, workers: int) -> None:
        self.engine = engine
        self.cache = cache
        self.workers = workers
        self._ready: deque[TaskState] = deque()
        self._later: list[tuple[float, int, TaskState]] = []
        self._cancelled: deque[tuple[str, str]] = deque()
        self._thread: threading.Thread | None = None
        self._executor: Executor | None = None
        self._stopping = False
        self._failure: BaseException | None = None
        self._refused: HeadwaterError | None = None

    def start(self, task: TaskState, *, after_s: float = 0.0) -> None:
        """Have a task executed, after a pause where one is given."""
        task.attempts += 1
        if self._stopping:
            return  # the run marks it as it ends
        if self._refused is not None:
            self.engine.fail(task, "failed", self._refused.message, getattr(self._refused, "traceback", ""))
            return
        if after_s > 0:
            heapq.heappush(self._later, (time.monotonic() + after_s, task.position, task))
        else:
            self._ready.append(task)
        if self._thread is None:
            self._thread = threading.Thread(target=carried(self._work), name="headwater-flow", daemon=True)
            self._thread.start()
        else:
            self._wake()

    def cancel(self, task: TaskState, why: str) -> None:
        """End a task that runs or waits for a place: it is killed, for that reason."""
        self._cancelled.append((task.id, why))
        self._wake()

    def check(self) -> None:
        """Raise what made the scheduler's thread give up, if it did."""
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """End what runs and the thread."""
        self._stopping = True
        if self._thread is not None:
            self._wake()
            self._thread.join()
            self._thread = None

    def _wake(self) -> None:
        executor = self._executor
        if executor is not None and threading.current_thread() is not self._thread:
            executor.wake()

    def _work(self) -> None:
        from .executors import open_executor

        executor: Executor | None = None
        try:
            self.engine.ensure_begun()
            executor = open_executor(self.engine, self._setup(), self.workers)
            self._executor = executor
            while not self._stopping:
                self._hand_over_all(executor)
                executor.poll(self._patience(executor))
                if executor.failure is not None:
                    self._fail_all(executor.failure)
                    return
                if (executor.idle_places and not self._ready) or self.engine.recorder.oldest_s() >= _TOGETHER_S:
                    self.engine.recorder.flush()
        except HeadwaterError as error:  # the executor cannot be had: a cluster that does not answer, say
            self._fail_all(error)
        except BaseException as error:  # noqa: BLE001  # the run's own thread raises it
            self._failure = error
        finally:
            if executor is not None:
                self._executor = None
                executor.close()

    def _patience(self, executor: Executor) -> float | None:
        """Return how long a poll may wait: nothing that waits to be written may wait long."""
        waited = self.engine.recorder.oldest_s()
        if waited >= 0:
            return max(0.0, _TOGETHER_S - waited)
        if self._later:
            return min(_FLUSH_S, max(0.0, self._later[0][0] - time.monotonic()))
        return _FLUSH_S if executor.busy else None

    def _hand_over_all(self, executor: Executor) -> None:
        while self._later and self._later[0][0] <= time.monotonic():
            self._ready.append(heapq.heappop(self._later)[2])
        while self._ready and executor.hungry and not self._stopping:
            self._hand_over(executor, self._ready.popleft())
        while self._cancelled:
            self._end(executor, *self._cancelled.popleft())

    def _end(self, executor: Executor, identifier: str, why: str) -> None:
        task = next((each for each in self._ready if each.id == identifier), None)
        if task is None:
            executor.cancel(identifier, why)
            return
        self._ready.remove(task)
        self.engine.execution.take(task, {"killed": why, "kinds": ["CancelledError"]})

    def _setup(self) -> Setup:
        from .executors import Setup

        engine, found = self.engine, self.engine.found
        engine.work.mkdir(parents=True, exist_ok=True)
        snapshot = self.cache / f"code-{found.tree.digest[:32]}.msgpack"
        if not snapshot.exists():
            from .distributions import _write

            files = [(file.module, file.path, file.source) for file in found.tree.files.values()]
            _write(snapshot, msgspec.msgpack.encode(files))
        return Setup(
            root=found.tree.root,
            work=str(engine.work),
            snapshot=str(snapshot),
            digest=found.tree.digest,
            modules=[found.module],
            also=list(found.also),
            strict=engine.strict,
        )

    def _hand_over(self, executor: Executor, task: TaskState) -> None:
        from .execution import DamagedInput

        def ended(answer: dict[str, Any]) -> None:
            self.engine.execution.take(task, answer)

        try:
            with self.engine.lock:
                if task.status != "running":
                    return  # it was cancelled before it came to run
                executor.add(self.engine.execution.job_of(task, ended))
        except DamagedInput as damaged:
            with self.engine.lock:
                task.status = "waiting"
                self.engine.make_again(damaged.task, damaged.error)
                self.engine.advance(task)
        except HeadwaterError as error:
            with self.engine.lock:
                self.engine.fail(task, "failed", error.message, "")

    def _fail_all(self, failure: HeadwaterError) -> None:
        traceback = getattr(failure, "traceback", "")
        with self.engine.lock:
            self._refused = failure
            for task in self.engine.tasks:
                if task.status == "running":
                    self.engine.fail(task, "failed", failure.message, traceback)
        with contextlib.suppress(HeadwaterError):  # the end of the run writes it, or raises what prevents it
            self.engine.recorder.flush()

"""The thread that feeds the workers of a run and takes their answers; it starts with the first step that runs."""

from __future__ import annotations

import os
import threading
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from headwater.errors import HeadwaterError

if TYPE_CHECKING:
    from .engine import Engine
    from .pool import Pool
    from .tasks import TaskState

_FLUSH_S = 0.25


class Scheduler:
    """Owns the pool. ``start`` may be called from any thread."""

    def __init__(self, engine: Engine, cache: Path, workers: int) -> None:
        self.engine = engine
        self.cache = cache
        self.workers = workers
        self._ready: deque[TaskState] = deque()
        self._thread: threading.Thread | None = None
        self._wake_read, self._wake_write = -1, -1
        self._stopping = False
        self._failure: BaseException | None = None

    def start(self, task: TaskState) -> None:
        """Have a task executed."""
        task.attempts += 1
        self._ready.append(task)
        if self._thread is None:
            self._wake_read, self._wake_write = os.pipe()
            os.set_blocking(self._wake_read, False)
            self._thread = threading.Thread(target=self._work, name="headwater-flow", daemon=True)
            self._thread.start()
        elif threading.current_thread() is not self._thread:
            os.write(self._wake_write, b"!")

    def check(self) -> None:
        """Raise what made the scheduler's thread give up, if it did."""
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """End the workers and the thread."""
        self._stopping = True
        if self._thread is not None:
            os.write(self._wake_write, b"!")
            self._thread.join()
            self._thread = None
            os.close(self._wake_read)
            os.close(self._wake_write)

    def _work(self) -> None:
        import selectors

        pool: Pool | None = None
        try:
            self.engine.ensure_begun()
            pool = self._open_pool()
            pool.selector.register(self._wake_read, selectors.EVENT_READ, lambda: os.read(self._wake_read, 4096))
            while not self._stopping:
                while self._ready:
                    self._hand_over(pool, self._ready.popleft())
                busy = bool(pool.running or pool.waiting)
                pool.poll(_FLUSH_S if busy else None)
                if pool.failure is not None:
                    self._fail_all(pool.failure)
                    return
                self.engine.recorder.flush()
        except BaseException as error:  # noqa: BLE001  # the run's own thread raises it
            self._failure = error
        finally:
            if pool is not None:
                pool.close()

    def _open_pool(self) -> Pool:
        from .pool import Pool, Setup, environment

        engine, found = self.engine, self.engine.found
        engine.work.mkdir(parents=True, exist_ok=True)
        snapshot = self.cache / f"code-{found.tree.digest[:32]}.msgpack"
        if not snapshot.exists():
            from .distributions import _write

            files = [(file.module, file.path, file.source) for file in found.tree.files.values()]
            _write(snapshot, msgspec.msgpack.encode(files))
        setup = Setup(
            root=found.tree.root,
            work=str(engine.work),
            snapshot=str(snapshot),
            digest=found.tree.digest,
            modules=[found.module],
            also=list(found.also),
            strict=engine.strict,
        )
        project = str(engine.project.root or found.tree.root)
        return Pool(setup, environment(engine.root, project), self.workers)

    def _hand_over(self, pool: Pool, task: TaskState) -> None:
        from .engine import DamagedInput

        def ended(answer: dict[str, Any]) -> None:
            self.engine.take_answer(task, answer)

        try:
            with self.engine.lock:
                pool.add(self.engine.job_of(task, ended))
        except DamagedInput as damaged:
            with self.engine.lock:
                task.status = "waiting"
                self.engine.make_again(damaged.task, damaged.error)
                self.engine.advance(task)
        except HeadwaterError as error:
            with self.engine.lock:
                self.engine.fail(task, "failed", error.message, "")

    def _fail_all(self, failure: Any) -> None:
        with self.engine.lock:
            for task in self.engine.tasks:
                if task.status == "running":
                    self.engine.fail(task, "failed", failure.message, failure.traceback)
        self.engine.recorder.flush()

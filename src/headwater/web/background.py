"""What a server does beside answering: the scheduler's tick, jobs, notices, canaries, sealing."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from headwater.project import LocalProject

if TYPE_CHECKING:
    from headwater.jobs import Scheduler, Worker

log = logging.getLogger("headwater.server")
TICK_S = 0.5
CONTROL_S = 2.0
SEAL_EVERY_S = 60.0


class Background:
    """Threads that go on until stopped; an error in one round is logged and the next round tries again."""

    def __init__(self, project: LocalProject, workers: int) -> None:
        self.project = project
        self.workers = workers
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._scheduler: Scheduler | None = None

    def start(self) -> None:
        """Start the scheduler, the notifier, the controller of canaries, the sealer and the workers."""
        from headwater.jobs import Scheduler, Worker
        from headwater.notify import deliver_pending
        from headwater.release import run_controller

        self._scheduler = Scheduler(self.project)
        self._every(TICK_S, self._scheduler.tick, "scheduler")
        self._every(TICK_S, lambda: deliver_pending(self.project), "notifier")
        self._every(CONTROL_S, lambda: run_controller(self.project), "controller")
        self._every(SEAL_EVERY_S, self.project.events.seal, "sealer")
        for number in range(self.workers):
            self._every(TICK_S, self._runner(Worker(self.project)), f"worker-{number}")

    def stop(self) -> None:
        """Ask every thread to end, wait for the round it is in up to ten seconds, and let another server lead."""
        self._stop.set()
        for thread in self._threads:
            thread.join(10)
        if self._scheduler is not None:
            self._scheduler.resign()

    def _runner(self, worker: Worker) -> Callable[[], None]:
        """Return what runs jobs one after the other until none waits."""

        def drain() -> None:
            while not self._stop.is_set() and worker.run_once():
                pass

        return drain

    def _every(self, seconds: float, action: Callable[[], object], name: str) -> None:
        def rounds() -> None:
            while not self._stop.wait(seconds):
                try:
                    action()
                except Exception:
                    log.exception("%s: this round failed; the next one tries again", name)

        thread = threading.Thread(target=rounds, name=name, daemon=True)
        thread.start()
        self._threads.append(thread)

"""What a run is doing now: for whoever watches it here, and in the ledger for everybody else."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from headwater.ledger.values import escape_text

if TYPE_CHECKING:
    from headwater.ledger import WriteTx

    from .tasks import TaskReport, TaskState

EVERY_S = 0.5
_COLUMNS = ("id", "run", "position", "step", "within", "attempt", "started_at", "done", "total", "text")


class Spectator:
    """Sees a run as it goes: methods to override. They are called from the run's own threads and must return soon."""

    def started(self, task: TaskReport) -> None:
        """Take in that a task has started to run."""

    def progressed(self, task: TaskReport, done: float, total: float, text: str) -> None:
        """Take in how far a task is: parts done, parts in all (0: not known), a text."""

    def said(self, task: TaskReport, level: str, text: str) -> None:
        """Take in a line that a task wrote, to ``out`` or ``err``."""

    def retried(self, task: TaskReport, error: str, pause_s: float) -> None:
        """Take in that an attempt of a task failed and that it runs again after a pause."""

    def ended(self, task: TaskReport) -> None:
        """Take in how a task ended."""


class LiveTasks:
    """The tasks of a run that run now, and their rows: written at most every ``EVERY_S``, for those older than that.

    Guarded by the engine's lock.
    """

    def __init__(self) -> None:
        self._running: dict[str, tuple[TaskState, float]] = {}
        self._written: dict[str, tuple[float, float, str, int]] = {}
        self._called = 0
        self._at = time.monotonic()
        self._ever = False

    def forget(self) -> None:
        """Take no row for written: a transaction may not have been committed."""
        self._written.clear()
        self._called = 0

    def started(self, task: TaskState) -> None:
        """Note that a task runs."""
        self._running[task.id] = (task, time.monotonic())

    def ended(self, task: TaskState) -> None:
        """Note that a task does not run any more."""
        self._running.pop(task.id, None)

    @property
    def any(self) -> bool:
        """Whether a task runs now."""
        return bool(self._running)

    def due(self, called: int) -> bool:
        """Tell whether the rows should be written now: something changed, and the last time is a while ago."""
        now = time.monotonic()
        if now - self._at < EVERY_S:
            return False
        self._at = now
        return self._changed(now) != ([], []) or (bool(self._written) and called != self._called)

    def _changed(self, now: float) -> tuple[list[TaskState], list[str]]:
        """Return the tasks whose rows are to be written, and the ids of those whose rows are to go."""
        fresh = [
            task
            for task, since in self._running.values()
            if now - since >= EVERY_S and self._written.get(task.id) != _state(task)
        ]
        return fresh, [each for each in self._written if each not in self._running]

    def write(self, tx: WriteTx, run: str, called: int) -> None:
        """Bring the rows up to date."""
        fresh, gone = self._changed(time.monotonic())
        for each in [*(task.id for task in fresh), *gone]:
            tx.execute("DELETE FROM live_tasks WHERE id = ?", (each,))
            self._written.pop(each, None)
        rows = []
        for task in fresh:
            done, total, text = task.progress
            rows.append(
                (task.id, run, task.position, task.name, task.within, task.attempts, task.started_at, done, total,
                 escape_text(text))
            )  # fmt: skip
            self._written[task.id] = _state(task)
        if rows:
            self._ever = True
            tx.insert_many("live_tasks", _COLUMNS, rows)
        if self._written and called != self._called:
            self._called = called
            tx.execute(
                "INSERT INTO flow_counts (run, called) VALUES (?, ?) "
                "ON CONFLICT (run) DO UPDATE SET called = excluded.called",
                (run, called),
            )

    def end(self, tx: WriteTx, run: str) -> None:
        """Take every row of the run away: it has ended."""
        self._running.clear()
        if self._ever:
            tx.execute("DELETE FROM live_tasks WHERE run = ?", (run,))
            tx.execute("DELETE FROM flow_counts WHERE run = ?", (run,))
            self._written.clear()


def _state(task: TaskState) -> tuple[float, float, str, int]:
    return (*task.progress, task.attempts)

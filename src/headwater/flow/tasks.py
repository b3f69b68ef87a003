"""Tasks of a run, and their handles."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from .attempts import Attempt
from .handles import NONE_GIVEN, Handle
from .keys import Call, Ingredients
from .memory import Result

if TYPE_CHECKING:
    from .engine import Engine
    from .saving import Saved
    from .steps import Step

OPEN = ("waiting", "running")


class TaskReport(msgspec.Struct, frozen=True, kw_only=True):
    """How one task went: ``ran``, ``remembered``, ``failed``, ``killed``, ``cancelled``, ``skipped``; and why.

    ``within`` names the nested flows that called it, ``attempts`` are those that failed before the last one,
    ``peak_bytes`` is the largest resident size seen of its processes (0 where it ended too soon to be seen).
    """

    id: str
    position: int
    step: str
    outcome: str
    why: str
    result: str | None
    started_at: int
    ended_at: int
    seconds: float
    warnings: tuple[str, ...]
    error: str
    traceback: str
    within: str = ""
    attempts: tuple[Attempt, ...] = ()
    peak_bytes: int = 0


class TaskState:
    """One call of a step while its run goes on. Guarded by the engine's lock.

    ``dependents`` are the tasks that wait for it. A run may have a hundred thousand of these: they are kept small.
    """

    __slots__ = (
        "_ended",
        "attempts",
        "bound",
        "call",
        "cards",
        "dependencies",
        "dependents",
        "ended_at",
        "engine",
        "error",
        "failures",
        "forced",
        "id",
        "ingredients",
        "key",
        "name",
        "outcome",
        "peak_bytes",
        "position",
        "progress",
        "recorded",
        "result",
        "saved",
        "seconds",
        "seen",
        "slot",
        "started_at",
        "status",
        "step",
        "strict",
        "traceback",
        "warnings",
        "why",
        "within",
    )  # fmt: skip

    def __init__(self, engine: Engine, identifier: str, position: int, step: Step[Any, Any], name: str) -> None:
        self.engine = engine
        self.id = identifier
        self.position = position
        self.step = step
        self.name = name
        self.slot = ""
        self.bound: dict[str, Any] = {}
        self.dependencies: list[TaskState] = []
        self.dependents: list[TaskState] = []
        self.status = "waiting"
        self.outcome = ""
        self.why = ""
        self.result: Result | None = None
        self.error = ""
        self.traceback = ""
        self.warnings: list[str] = []
        self.started_at = engine.project.clock()
        self.ended_at = 0
        self.seconds = 0.0
        self.attempts = 0
        self.forced = ""
        self.key = ""
        self.call: Call | None = None
        self.ingredients: tuple[str, Ingredients] | None = None
        self.saved: dict[str, Saved] = {}
        self.seen = False
        self.recorded = False
        self.within = ""
        self.strict = False
        self.progress = (0.0, 0.0, "")
        self.failures: tuple[Attempt, ...] = ()
        self.peak_bytes = 0
        self.cards: Sequence[Sequence[Any]] = ()
        self._ended: threading.Event | None = None

    @property
    def over(self) -> bool:
        """Whether it has ended, as far as it will in this run."""
        return self.status not in OPEN

    def settled(self) -> None:
        """Let those who wait go on; under the lock."""
        if self._ended is not None:
            self._ended.set()
            self._ended = None

    def wait(self, timeout_s: float) -> bool:
        """Wait until it has ended, at most so long; tell whether it has."""
        if self.over:
            return True
        with self.engine.lock:
            if self.status not in OPEN:  # it ended meanwhile
                return True
            if self._ended is None:
                self._ended = threading.Event()
            event = self._ended
        return event.wait(timeout_s)

    def report(self) -> TaskReport:
        """Return how it went."""
        return TaskReport(
            id=self.id,
            position=self.position,
            step=self.name,
            outcome=self.outcome,
            why=self.why,
            result=self.result.id if self.result else None,
            started_at=self.started_at,
            ended_at=self.ended_at,
            seconds=self.seconds,
            warnings=tuple(self.warnings),
            error=self.error,
            traceback=self.traceback,
            within=self.within,
            attempts=self.failures,
            peak_bytes=self.peak_bytes,
        )


class TaskHandle(Handle[Any]):
    """The handle that a call of a step gives in a run."""

    def __init__(self, task: TaskState) -> None:
        self.step_name = task.step.__name__
        self.task = task

    def result(self, default: Any = NONE_GIVEN) -> Any:
        """Wait for the step and return its result, loaded anew for each call; the default when it failed."""
        return self.task.engine.value_of(self.task, default)

    @property
    def failed(self) -> bool:
        """Wait for the step and tell whether it gave no result; asking is looking: the run does not fail for it."""
        return self.task.engine.failed(self.task)

    def done(self) -> bool:
        """Tell whether the step has ended."""
        return self.task.over

    def __repr__(self) -> str:
        return f"<handle of {self.step_name}: {self.task.outcome or self.task.status}>"

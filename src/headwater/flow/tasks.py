"""Tasks of a run, and their handles."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import msgspec

from .handles import Handle
from .keys import Call, Ingredients
from .memory import Result

if TYPE_CHECKING:
    from .engine import Engine
    from .saving import Saved
    from .steps import Step

OPEN = ("waiting", "running")


class TaskReport(msgspec.Struct, frozen=True, kw_only=True):
    """How one task went: ``ran``, ``remembered``, ``failed``, ``killed``, ``skipped``; and why, in a sentence."""

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


class TaskState:
    """One call of a step while its run goes on. Guarded by the engine's lock."""

    def __init__(self, engine: Engine, identifier: str, position: int, step: Step[Any, Any], name: str) -> None:
        self.engine = engine
        self.id = identifier
        self.position = position
        self.step = step
        self.name = name
        self.slot = ""
        self.bound: dict[str, Any] = {}
        self.dependencies: list[TaskState] = []
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
        self.done = threading.Event()

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
        )


class TaskHandle(Handle[Any]):
    """The handle that a call of a step gives in a run."""

    def __init__(self, task: TaskState) -> None:
        self.step_name = task.step.__name__
        self.task = task

    def result(self) -> Any:
        """Wait for the step and return its result, loaded anew for each call."""
        return self.task.engine.value_of(self.task)

    def done(self) -> bool:
        """Tell whether the step has ended."""
        return self.task.done.is_set()

    def __repr__(self) -> str:
        return f"<handle of {self.step_name}: {self.task.outcome or self.task.status}>"

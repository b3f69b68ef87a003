"""A delivery under way: performing its commands, and keeping what came of them."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from headwater.model import ModelVersion, find_model_version, get_model_version
from headwater.project import Project

from .pipeline import Pipeline
from .record import Delivery


class Command(NamedTuple):
    """A command line: ``hw`` with these words, or a program of the team's own."""

    words: tuple[str, ...]
    program: bool = False

    def __str__(self) -> str:
        return shlex.join(self.words if self.program else ("hw", *self.words))


class Done(NamedTuple):
    """How a command ended: its exit code, and what it answered (None for programs)."""

    code: int
    answer: Any = None


class StageFailed(Exception):
    """A stage did not pass; its text says why."""


class StageWaits(Exception):
    """A stage cannot pass yet; its text says who must do what."""


class Walk:
    """One delivery under way. ``perform`` runs a command, ``tell`` shows a line, ``keep`` writes the delivery down."""

    def __init__(
        self,
        project: Project,
        pipeline: Pipeline,
        delivery: Delivery,
        *,
        demands_approval: bool,
        reason: str,
        report: str,
        perform: Callable[[Command], Done],
        tell: Callable[[str], None],
        keep: Callable[[Delivery], None],
    ) -> None:
        self.project = project
        self.pipeline = pipeline
        self.delivery = delivery
        self.demands_approval = demands_approval
        self.reason = reason
        self.report = report
        self.tell = tell
        self._perform = perform
        self._keep = keep

    def hw(self, *words: str) -> Any:
        """Perform ``hw`` with these words and return its answer.

        Raises:
            StageFailed: its answer is no.
        """
        command = Command(words)
        done = self._run(command)
        if done.code:
            raise StageFailed(f"'{command}' ended with exit code {done.code}")
        return done.answer

    def program(self, line: str) -> int:
        """Perform a program of the team's own and return its exit code."""
        return self._run(Command(tuple(shlex.split(line)), program=True)).code

    def note(self, **facts: Any) -> None:
        """Keep what is known of the delivery now."""
        self.delivery = msgspec.structs.replace(self.delivery, **facts)
        self._keep(self.delivery)

    def passed(self, stage: str) -> None:
        """Keep that a stage passed."""
        self.delivery = self.delivery.with_passed(stage)
        self._keep(self.delivery)

    def candidate(self) -> ModelVersion:
        """Return the version on its way."""
        return get_model_version(self.project, self.delivery.candidate)

    def in_channel(self, channel: str) -> ModelVersion | None:
        """Return what a channel points to now, or None."""
        return find_model_version(self.project, f"{self.pipeline.model}@{channel}")

    def _run(self, command: Command) -> Done:
        self.tell(f"$ {command}")
        return self._perform(command)

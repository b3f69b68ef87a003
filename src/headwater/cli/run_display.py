"""A run as it goes, on the terminal: its steps with how far they are, what they print, how each ended."""

from __future__ import annotations

import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from headwater.flow.live import Spectator

from .context import printable

if TYPE_CHECKING:
    from headwater.flow.tasks import TaskReport

_COLOURS = {
    "ran": "cyan", "remembered": "green", "failed": "red", "killed": "red", "cancelled": "red", "skipped": "yellow",
}  # fmt: skip
_MOST_REMEMBERED = 20
"""Of each step so many remembered tasks have a line of their own; the rest are only counted."""


@contextmanager
def watching(*, quiet: bool) -> Iterator[Spectator | None]:
    """Yield what shows a run while the block lasts: bars on a terminal, plain lines elsewhere, None when quiet."""
    if quiet:
        yield None
    elif sys.stdout.isatty():
        shown = _Bars()
        try:
            yield shown
        finally:
            shown.stop()
    else:
        yield _Lines()


class _Lines(Spectator):
    """Plain lines on standard error: what the steps print, and how each ended."""

    def __init__(self) -> None:
        self._remembered: Counter[str] = Counter()
        self._lock = threading.Lock()

    def write(self, text: str) -> None:
        """Write a line."""
        click.echo(text, err=True)

    def said(self, task: TaskReport, level: str, text: str) -> None:
        self.write(f"{click.style(_short(task.step), dim=True)} | {printable(text.expandtabs())}")

    def retried(self, task: TaskReport, error: str, pause_s: float) -> None:
        said = f"{'failed':10} {task.step:24} {printable(error)}; again in {pause_s:.1f} s"
        self.write(click.style(said, fg="yellow"))

    def ended(self, task: TaskReport) -> None:
        with self._lock:
            if task.outcome == "remembered":
                self._remembered[task.step] += 1
                if self._remembered[task.step] > _MOST_REMEMBERED:
                    return
        mark = click.style(f"{task.outcome:10}", fg=_COLOURS.get(task.outcome))
        name = f"{task.within}/{task.step}" if task.within else task.step
        self.write(f"{mark} {name:24} {task.seconds:7.3f} s  {printable(task.why)}")
        for warning in task.warnings:
            self.write(click.style(f"           warning: {printable(warning)}", fg="yellow"))


class _Bars(_Lines):
    """A line for each step that runs, with a bar where it says how far it is; everything else scrolls above."""

    def __init__(self) -> None:
        super().__init__()
        from rich.console import Console
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        self._console = Console()
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[said]}", markup=False),
            TimeElapsedColumn(),
            console=self._console,
            transient=True,
        )
        self._bars: dict[str, Any] = {}
        self._progress.start()

    def stop(self) -> None:
        """Take the bars away."""
        self._progress.stop()

    def write(self, text: str) -> None:
        from rich.text import Text

        self._progress.console.print(Text.from_ansi(text), soft_wrap=True)

    def started(self, task: TaskReport) -> None:
        attempt = f" (attempt {len(task.attempts) + 1})" if task.attempts else ""
        self._bars[task.id] = self._progress.add_task(_short(task.step) + attempt, total=None, said="")

    def progressed(self, task: TaskReport, done: float, total: float, text: str) -> None:
        bar = self._bars.get(task.id)
        if bar is not None:
            count = f"{done:g}/{total:g} " if total else f"{done:g} " if done else ""
            self._progress.update(bar, completed=done, total=total or None, said=count + printable(text))

    def retried(self, task: TaskReport, error: str, pause_s: float) -> None:
        self._take_away(task)
        super().retried(task, error, pause_s)

    def ended(self, task: TaskReport) -> None:
        self._take_away(task)
        super().ended(task)

    def _take_away(self, task: TaskReport) -> None:
        bar = self._bars.pop(task.id, None)
        if bar is not None:
            self._progress.remove_task(bar)


def _short(step: str) -> str:
    return step.rpartition(":")[2]

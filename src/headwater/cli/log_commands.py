"""``hw runs logs``, ``hw runs progress`` and ``hw run cancel``: looking at a run while it goes, and ending it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from .context import Context, pass_context, printable, table, when

if TYPE_CHECKING:
    from headwater.project import Project
    from headwater.track import LogLine

_LOOK_S = 0.5
_OVERLAP_US = 3_000_000
"""Lines of several processes come a moment late: what is this old is asked for again, and told apart by its text."""


@click.command("logs")
@click.argument("run")
@click.option("--follow", "-f", is_flag=True, help="Go on showing lines until the run has ended.")
@click.option("--step", help="Only lines of this step: its name, or module:name.")
@click.option("--task", help="Only this task's lines.")
@click.option("--limit", default=1000, show_default=True, help="How many of the last lines.")
@pass_context
def logs_command(context: Context, run: str, follow: bool, step: str | None, task: str | None, limit: int) -> None:
    """Show what RUN and its steps printed."""
    with context.open() as project:
        from headwater.track import get_run, read_log

        identifier = get_run(project, run).id
        names = _Names(project, identifier)
        if not follow:
            lines = [
                line
                for line in read_log(project, identifier, task=task, limit=limit)
                if step is None or names.fits(line.task, step)
            ]
            context.show(lines, lambda: "\n".join(names.shown(line) for line in lines) or "(nothing)")
            return
        for line in _following(project, identifier, task, limit):
            if step is None or names.fits(line.task, step):
                if context.as_json:
                    import msgspec

                    click.echo(msgspec.json.encode(line).decode())
                else:
                    click.echo(names.shown(line))


class _Names:
    """Which step each task of a run is, asked for when a task is met that is not known yet."""

    def __init__(self, project: Project, run: str) -> None:
        self._project = project
        self._run = run
        self._steps: dict[str, str] = {}
        self._asked = 0.0

    def step(self, task: str) -> str:
        """Return the step of a task, "" where the run itself wrote, or it is not told yet."""
        if task and task not in self._steps and time.monotonic() - self._asked > _LOOK_S:
            from headwater.flow import get_progress, get_tasks

            self._steps |= {each.id: each.step for each in get_progress(self._project, self._run).live}
            self._steps |= {each.id: each.step for each in get_tasks(self._project, self._run)}
            self._asked = time.monotonic()
        return self._steps.get(task, "")

    def fits(self, task: str, wanted: str) -> bool:
        """Tell whether a task is one of the step that is wanted."""
        name = self.step(task)
        return bool(name) and wanted in (name, name.rpartition(":")[2])

    def shown(self, line: LogLine) -> str:
        """Return a line as it is shown: when, which step, the text."""
        name = self.step(line.task).rpartition(":")[2]
        said = printable(line.text.expandtabs())
        return f"{when(line.occurred_at)}  {name + ' | ' if name else ''}{said}"


def _following(project: Project, run: str, task: str | None, limit: int) -> Iterator[LogLine]:
    """Yield the last lines of a run and then each new one, until the run has ended."""
    from headwater.track import get_run, read_log

    seen: Counter[tuple[str, int, str]] = Counter()
    after = 0
    while True:
        ended = get_run(project, run).status != "running"  # asked first: what it wrote before its end is read below
        now: Counter[tuple[str, int, str]] = Counter()
        for line in read_log(project, run, task=task, after=after, limit=limit if not after else 100_000):
            key = (line.task, line.occurred_at, line.text)
            now[key] += 1
            if now[key] > seen[key]:
                yield line
        if ended:
            return
        seen |= now
        newest = max((at for _, at, _ in seen), default=0)
        after = max(after, newest - _OVERLAP_US)
        seen = Counter({key: count for key, count in seen.items() if key[1] >= after})
        time.sleep(_LOOK_S)


@click.command("progress")
@click.argument("run")
@pass_context
def progress_command(context: Context, run: str) -> None:
    """Show how far RUN is: its tasks by outcome, and what runs now."""
    from headwater.flow import get_progress

    with context.open() as project:
        found = get_progress(project, run)

    def render() -> str:
        counts = ", ".join(f"{count:,} {name}" for name, count in found.counts.items()) or "no steps yet"
        rows = [
            (task.step, f"{task.done:g}/{task.total:g}" if task.total else "", task.text, task.attempt)
            for task in found.live
        ]
        shown = f"run {found.run}: {found.status}: {counts}"
        return f"{shown}\n{table(('step', 'done', 'says', 'attempt'), rows)}" if rows else shown

    context.show(found, render)


@click.command("cancel")
@click.argument("run")
@click.option("--reason", default="", help="Why; it is kept with the run.")
@pass_context
def cancel_command(context: Context, run: str, reason: str) -> int:
    """End RUN, a flow that runs here or elsewhere: its steps' processes die, what was finished stays remembered."""
    from headwater.flow import cancel_run

    with context.open() as project:
        found = cancel_run(project, run, reason)
    said = found.error if found.status != "running" else "was asked to end, and has not answered yet"
    context.show(found, lambda: f"run {found.id}: {found.status}: {said}")
    return 0 if found.status != "running" else 1

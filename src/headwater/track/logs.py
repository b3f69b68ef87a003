"""Log lines of runs and tasks: a stream of events."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headwater.events.schema import declare_stream
from headwater.operation import operation

from .values import LogLine

if TYPE_CHECKING:
    from headwater.project import Project

STREAM = "logs"
declare_stream(
    STREAM,
    {"run": "VARCHAR", "task": "VARCHAR", "level": "VARCHAR", "occurred_at": "BIGINT", "text": "VARCHAR"},
    order=("run", "occurred_at"),
)
LONGEST_LINE = 10_000


@operation("run.log", needs="run:write", audited=False)
def log_lines(project: Project, run: str, lines: list[LogLine]) -> None:
    """Append log lines of a run; durable on return. A line longer than ``LONGEST_LINE`` is cut."""
    project.events.append(STREAM, [row_of(run, line) for line in lines])


def row_of(run: str, line: LogLine) -> dict[str, object]:
    """Return the event of a log line."""
    text = line.text if len(line.text) <= LONGEST_LINE else line.text[:LONGEST_LINE] + "…"
    text = text.encode("utf-8", "replace").decode()
    return {"run": run, "task": line.task, "level": line.level, "occurred_at": line.occurred_at, "text": text}


@operation("run.log.read", needs="run:read")
def read_log(
    project: Project, run: str, *, task: str | None = None, after: int | None = None, limit: int = 1000
) -> list[LogLine]:
    """Return the last ``limit`` lines of a run, or of one of its tasks, in the order they were written.

    ``after``: only those written at this time (UTC microseconds) or later.
    """
    where: str = "run = ?"
    params: list[str | int] = [run.removeprefix("run:")]
    if task is not None:
        where, params = f"{where} AND task = ?", [*params, task.removeprefix("task:")]
    if after is not None:
        where, params = f"{where} AND occurred_at >= ?", [*params, after]
    rows = project.events.rows(STREAM, where, params, "occurred_at DESC", limit)
    return [
        LogLine(task=row["task"], level=row["level"], occurred_at=row["occurred_at"], text=row["text"])
        for row in reversed(rows)
    ]

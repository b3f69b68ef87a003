"""How a run goes, while it does and after: its tasks by pages, its times, what runs now."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from headwater.errors import InvalidInputError
from headwater.ledger.values import unescape_text
from headwater.operation import operation
from headwater.track.runs import find_id

from .attempts import Attempt

if TYPE_CHECKING:
    from headwater.ledger import Tx
    from headwater.project import Project

OUTCOMES = ("running", "waiting", "ran", "remembered", "failed", "killed", "cancelled", "skipped")


class LiveTask(msgspec.Struct, frozen=True, kw_only=True):
    """One task that runs now, or ran when its run was killed: which attempt, how far (0 of 0 where it does not say)."""

    id: str
    position: int
    step: str
    within: str
    attempt: int
    started_at: int
    done: float
    total: float
    text: str


class TaskRow(msgspec.Struct, frozen=True, kw_only=True):
    """One task that has ended, in short."""

    id: str
    position: int
    step: str
    within: str
    outcome: str
    why: str
    started_at: int
    ended_at: int
    seconds: float
    peak_bytes: int
    warnings: tuple[str, ...]
    error: str
    attempts: tuple[Attempt, ...]


class TaskPage(msgspec.Struct, frozen=True, kw_only=True):
    """Some tasks of a run in the order of the flow's calls; ``after`` asks for the next page, None at the end."""

    tasks: tuple[TaskRow, ...]
    after: int | None


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """How far a run is. ``counts`` are tasks by outcome, ``running`` and ``waiting`` among them while it runs."""

    run: str
    status: str
    counts: dict[str, int]
    live: tuple[LiveTask, ...]
    steps: tuple[str, ...]


class Span(msgspec.Struct, frozen=True, array_like=True):
    """When one task ran: its step (with the nested flows around it), outcome, start and end in UTC microseconds."""

    step: str
    outcome: str
    started_at: int
    ended_at: int


@operation("flow.progress", needs="run:read")
def get_progress(project: Project, run: str) -> Progress:
    """Return how far a run of a flow is.

    Raises:
        NotFoundError: there is no such run.
    """
    identifier = find_id(project, run)
    with project.ledger.read() as tx:
        status = str(tx.value("SELECT status FROM runs WHERE id = ?", (identifier,)))
        counts = {
            row.outcome: int(row.n)
            for row in tx.all("SELECT outcome, COUNT(*) AS n FROM tasks WHERE run = ? GROUP BY outcome", (identifier,))
        }
        steps = tx.all("SELECT DISTINCT step FROM tasks WHERE run = ? ORDER BY step LIMIT 200", (identifier,))
        live = _live(tx, identifier)
        called = int(tx.value("SELECT called FROM flow_counts WHERE run = ?", (identifier,)) or 0)
    if status == "running":
        waiting = called - sum(counts.values()) - len(live)
        counts |= {"running": len(live)} if live else {}
        counts |= {"waiting": waiting} if waiting > 0 else {}
    ordered = {name: counts[name] for name in OUTCOMES if name in counts}
    found = tuple(dict.fromkeys([*(row.step for row in steps), *(task.step for task in live)]))
    return Progress(run=identifier, status=status, counts=ordered, live=live, steps=found)


@operation("flow.tasks.list", needs="run:read")
def list_tasks(
    project: Project, run: str, *, outcome: str = "", step: str = "", after: int | None = None, limit: int = 100
) -> TaskPage:
    """Return ended tasks of a run by pages: those of one outcome, or of one step, where given.

    Raises:
        NotFoundError: there is no such run.
        InvalidInputError: there is no such outcome, or a page is to have more than 1,000.
    """
    if outcome and outcome not in OUTCOMES:
        raise InvalidInputError(f"no task is '{outcome}'. There are: {', '.join(OUTCOMES)}.", outcome=outcome)
    if not 1 <= limit <= 1000:
        raise InvalidInputError(f"a page has 1 to 1,000 tasks, not {limit}.", limit=limit)
    where, params = ["run = ?", "position > ?"], [find_id(project, run), -1 if after is None else after]
    for column, value in (("outcome", outcome), ("step", step)):
        if value:
            where.append(f"{column} = ?")
            params.append(value)
    with project.ledger.read() as tx:
        rows = tx.all(
            "SELECT id, position, step, within, outcome, why, started_at, ended_at, seconds, peak_bytes, warnings, "
            f"error, attempts FROM tasks WHERE {' AND '.join(where)} ORDER BY position LIMIT ?",
            (*params, limit + 1),
        )
    tasks = tuple(_row_of(row) for row in rows[:limit])
    return TaskPage(tasks=tasks, after=tasks[-1].position if len(rows) > limit else None)


@operation("flow.times", needs="run:read")
def list_spans(project: Project, run: str, *, limit: int = 20_000) -> list[Span]:
    """Return when each task of a run was executed, ended ones and those that run now, in the order of the calls.

    Remembered and skipped tasks took no time and are left out.

    Raises:
        NotFoundError: there is no such run.
    """
    identifier = find_id(project, run)
    with project.ledger.read() as tx:
        rows = tx.all(
            "SELECT step, within, outcome, started_at, ended_at FROM tasks WHERE run = ? AND outcome NOT IN "
            "('remembered', 'skipped') ORDER BY position LIMIT ?",
            (identifier, limit),
        )
        live = _live(tx, identifier)
    spans = [Span(_named(row.within, row.step), row.outcome, row.started_at, row.ended_at) for row in rows]
    now = project.clock()
    return spans + [Span(_named(task.within, task.step), "running", task.started_at, now) for task in live]


def _named(within: str, step: str) -> str:
    return f"{within}/{step}" if within else step


def _live(tx: Tx, run: str) -> tuple[LiveTask, ...]:
    rows: Sequence[Any] = tx.all("SELECT * FROM live_tasks WHERE run = ? ORDER BY position", (run,))
    return tuple(
        LiveTask(
            id=row.id, position=row.position, step=row.step, within=row.within, attempt=row.attempt,
            started_at=row.started_at, done=row.done, total=row.total, text=unescape_text(row.text),
        )
        for row in rows
    )  # fmt: skip


def _row_of(row: Any) -> TaskRow:
    return TaskRow(
        id=row.id,
        position=row.position,
        step=row.step,
        within=row.within,
        outcome=row.outcome,
        why=unescape_text(row.why),
        started_at=row.started_at,
        ended_at=row.ended_at,
        seconds=row.seconds,
        peak_bytes=row.peak_bytes,
        warnings=msgspec.json.decode(row.warnings, type=tuple[str, ...]),
        error=unescape_text(row.error),
        attempts=msgspec.json.decode(unescape_text(row.attempts), type=tuple[Attempt, ...]),
    )

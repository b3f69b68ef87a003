"""The operations of flows: run, what a run's tasks were, what they gave."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from headwater.errors import GoneError, NotFoundError
from headwater.ledger.values import unescape_text
from headwater.operation import operation
from headwater.track.runs import find_id
from headwater.track.values import Run

from . import cancelling, cards, code_kept, described, drawing, explaining, finding, progressing, publishing
from .attempts import Attempt
from .memory import result_of
from .reads import ReadItem
from .saving import Part, fetch_place, load

if TYPE_CHECKING:
    from headwater.project import Project

__all__ = [
    "Task",
    "cancelling",
    "cards",
    "code_kept",
    "described",
    "drawing",
    "explaining",
    "finding",
    "get_tasks",
    "load_result",
    "progressing",
    "publishing",
    "run_flow",
]


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """One execution of a step in a run, as recorded; ``reads`` and ``parts`` are those of its result."""

    id: str
    run: str
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
    output: str = ""
    reads: tuple[ReadItem, ...] = ()
    parts: tuple[Part, ...] = ()


@operation("flow.run", needs="run:write")
def run_flow(
    project: Project,
    flow: str,
    arguments: dict[str, Any] | None = None,
    *,
    workers: int | None = None,
    tags: dict[str, str] | None = None,
    strict: bool = False,
    forget: bool = False,
    on: str | None = None,
) -> Run:
    """Run a flow of the project's folder to its end and return the run; a failed step gives a failed run.

    ``flow`` is ``module:name`` or a name. ``forget`` runs every step again. ``on`` names what runs the
    steps: processes, warm, threads, dask or dask://HOST:PORT.

    Raises:
        NotFoundError: there is no such flow.
        InvalidInputError: the arguments do not fit it.
        UserCodeError: the project's code cannot be imported.
    """
    from .running import execute_flow

    return execute_flow(project, flow, arguments, workers=workers, tags=tags, strict=strict, forget=forget, on=on).run


@operation("flow.tasks", needs="run:read")
def get_tasks(project: Project, run: str) -> list[Task]:
    """Return the tasks of a run in the order of the flow's calls.

    Raises:
        NotFoundError: there is no such run.
    """
    identifier = find_id(project, run)
    with project.ledger.read() as tx:
        rows = tx.all(
            "SELECT t.id AS id, t.run AS run, t.position AS position, t.step AS step, t.outcome AS outcome, "
            "t.why AS why, t.result AS result, t.started_at AS started_at, t.ended_at AS ended_at, "
            "t.seconds AS seconds, t.warnings AS warnings, t.error AS error, t.traceback AS traceback, "
            "t.within AS within, t.attempts AS attempts, t.peak_bytes AS peak_bytes, "
            "r.output AS output, r.reads AS reads, r.parts AS parts "
            "FROM tasks t LEFT JOIN results r ON r.id = t.result WHERE t.run = ? ORDER BY t.position",
            (identifier,),
        )
    return [_task_of(row) for row in rows]


def load_result(project: Project, task: str, *, trust: bool = False) -> Any:
    """Return the value that a task gave (``task:<id>`` or ``result:<id>``).

    ``trust``: also load formats that run code (pickle, skops); only for results of code you trust.

    Raises:
        NotFoundError: there is no such task, or it gave none.
        RefusedError: its format runs code and ``trust`` is False.
        GoneError: its bytes were collected.
    """
    kind, _, identifier = task.rpartition(":")
    with project.ledger.read() as tx:
        if kind != "result":
            found = tx.value("SELECT result FROM tasks WHERE id = ?", (identifier,))
            if found is None:
                raise NotFoundError(f"task {identifier} does not exist or gave no result.", task=task)
            identifier = str(found)
        row = tx.one(
            "SELECT id, static_key, step, output, parts, reads, seconds, warnings, created_at FROM results "
            "WHERE id = ?",
            (identifier,),
        )
    if row is None:
        raise GoneError(f"the result {identifier} is not kept any more.", result=identifier)
    return load(result_of(row).parts, lambda part: fetch_place(project.objects, part), trust=trust)


def _task_of(row: Any) -> Task:
    return Task(
        id=row.id,
        run=row.run,
        position=row.position,
        step=row.step,
        outcome=row.outcome,
        why=unescape_text(row.why),
        result=row.result,
        started_at=row.started_at,
        ended_at=row.ended_at,
        seconds=row.seconds,
        warnings=msgspec.json.decode(row.warnings, type=tuple[str, ...]),
        error=unescape_text(row.error),
        traceback=unescape_text(row.traceback),
        within=row.within,
        attempts=msgspec.json.decode(unescape_text(row.attempts), type=tuple[Attempt, ...]),
        peak_bytes=row.peak_bytes,
        output=row.output or "",
        reads=msgspec.json.decode(row.reads, type=tuple[ReadItem, ...]) if row.reads else (),
        parts=msgspec.json.decode(row.parts, type=tuple[Part, ...]) if row.parts else (),
    )

"""What a flow would do, before it does it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from headwater.errors import HeadwaterError, InvalidInputError, NotFoundError, UserCodeError
from headwater.operation import operation
from headwater.project.current import using

from .finding import find_flow
from .keys import Call, Ingredients
from .reads import ReadItem
from .steps import taking

if TYPE_CHECKING:
    from headwater.project import Project


class ExplainedTask(msgspec.Struct, frozen=True, kw_only=True):
    """One call of a step: ``remembered``, ``would run``, or ``unknown`` (it depends on one that would run)."""

    step: str
    outcome: str
    why: str


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """What a flow would do, in the order of its calls. ``stopped_at`` names the step whose value the flow's own
    function needs to go on, where that is not known; what comes after it is not listed.
    """

    flow: str
    tasks: tuple[ExplainedTask, ...]
    stopped_at: str | None

    @property
    def would_run(self) -> int:
        """How many of the listed calls would or might run."""
        return sum(task.outcome != "remembered" for task in self.tasks)


class TaskExplanation(msgspec.Struct, frozen=True, kw_only=True):
    """Why a step of a run ran, or did not have to, and everything that its key was made of.

    ``code`` are the statements of the project that it reaches, each with its place. ``read`` is what the result was
    seen to read beside its arguments; both are empty for a step that gave no result.
    """

    run: str
    task: str
    step: str
    outcome: str
    why: str
    warnings: tuple[str, ...]
    key: str = ""
    platform: str = ""
    arguments: dict[str, str] = {}
    seed: int | None = None
    environment: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    libraries: dict[str, str] = {}
    code: tuple[str, ...] = ()
    read: tuple[str, ...] = ()


@operation("flow.explain_task", needs="run:read")
def explain_task(project: Project, run: str, step: str) -> tuple[TaskExplanation, ...]:
    """Return why a step of a run ran or did not have to, for each call of it; ``step`` is its name, or a task's id.

    Raises:
        NotFoundError: there is no such run, or no such step in it; the message names those there are.
    """
    from headwater.ledger.values import unescape_text
    from headwater.track.runs import find_id

    identifier = find_id(project, run)
    with project.ledger.read() as tx:
        rows = tx.all(
            "SELECT t.id AS id, t.step AS step, t.outcome AS outcome, t.why AS why, t.warnings AS warnings, "
            "r.static_key AS static_key, r.call AS call, r.reads AS reads, i.body AS body FROM tasks t "
            "LEFT JOIN results r ON r.id = t.result LEFT JOIN ingredients i ON i.digest = r.ingredients "
            "WHERE t.run = ? ORDER BY t.position",
            (identifier,),
        )
    wanted = [row for row in rows if step in (row.id, row.step, row.step.rpartition(":")[2])]
    if not wanted:
        known = ", ".join(dict.fromkeys(row.step.rpartition(":")[2] for row in rows)) or "none"
        raise NotFoundError(f"run {identifier} has no step '{step}'. It has: {known}.", run=identifier, step=step)
    return tuple(
        TaskExplanation(
            run=identifier,
            task=row.id,
            step=row.step,
            outcome=row.outcome,
            why=unescape_text(row.why),
            warnings=msgspec.json.decode(row.warnings, type=tuple[str, ...]),
            **(_made_of(row) if row.call else {}),
        )
        for row in wanted
    )


def _made_of(row: Any) -> dict[str, Any]:
    call = msgspec.json.decode(row.call, type=Call)
    body = msgspec.json.decode(row.body, type=Ingredients)
    reads = msgspec.json.decode(row.reads, type=list[ReadItem])
    return {
        "key": row.static_key,
        "platform": body.platform,
        "arguments": dict(call.shown),
        "seed": call.seed,
        "environment": tuple(call.env),
        "files": tuple(call.files),
        "libraries": body.libraries,
        "code": tuple(f"{label} ({path}:{line})" for label, _, path, line in body.items),
        "read": tuple(f"{read.kind} {read.name}" for read in reads),
    }


@operation("flow.explain", needs="run:read")
def explain(project: Project, flow: str, arguments: dict[str, Any] | None = None) -> Explanation:
    """Return what running the flow would do, without running a step: exact up to the first miss.

    The flow's own function is run, up to where it needs a value that is not known.

    Raises:
        NotFoundError: there is no such flow.
        UserCodeError: its code cannot be imported, or its function raises.
    """
    from .engine import Engine, FlowStopped
    from .running import check_arguments
    from .worker import users_traceback

    if project.root is None:
        raise InvalidInputError("flows are explained where the project's folder is.")
    found = find_flow(project, flow, project.root)
    given = dict(arguments or {})
    check_arguments(found.flow, given)
    engine = Engine(project, found, workers=1, strict=False, dry=True)
    token = taking.set(engine)
    stopped: str | None = None
    try:
        with using(project):
            found.flow.function(**given)
    except FlowStopped as at:
        stopped = str(at)
    except HeadwaterError:
        raise
    except Exception as error:  # the user's flow may raise anything
        raise UserCodeError(f"{found.ref} raised {type(error).__name__}: {error}", users_traceback(error)) from error
    finally:
        taking.reset(token)
        engine.code.keep()
    tasks = tuple(ExplainedTask(step=task.name, outcome=task.outcome, why=_would(task.why)) for task in engine.tasks)
    return Explanation(flow=found.ref, tasks=tasks, stopped_at=stopped)


def _would(why: str) -> str:
    return why.replace("ran again:", "would run again:").replace("ran:", "would run:")

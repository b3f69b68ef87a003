"""What a flow would do, before it does it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from headwater.errors import HeadwaterError, InvalidInputError, UserCodeError
from headwater.operation import operation

from .finding import find_flow
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

"""Which run and task this code runs in, for code that runs in one."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from headwater.project import Project
    from headwater.track import ActiveRun

RUN = "HEADWATER_RUN"
TASK = "HEADWATER_TASK"
_runs: dict[tuple[int, int, str], ActiveRun] = {}
# The task of a thread, where steps run in threads: the environment belongs to all of them.
_task: ContextVar[str | None] = ContextVar("headwater_task", default=None)


def environment_now() -> dict[str, str]:
    """Return a copy of the environment, without what another thread takes out of it meanwhile.

    ``dict(os.environ)`` fails there: a flow that returns puts the environment back while its first steps are started.
    """
    return {name: value for name in list(os.environ) if (value := os.environ.get(name)) is not None}


def current_run_id() -> str | None:
    """Return the id of the run that this code runs in, None outside of one."""
    return os.environ.get(RUN) or None


def current_task_id() -> str | None:
    """Return the id of the task that this code runs in, None outside of a step's process."""
    return _task.get() or os.environ.get(TASK) or None


def enter(environ: Mapping[str, str], *, thread: bool) -> None:
    """Let code that runs from now on be of the task that the variables name: in this thread, or in this process."""
    mine = dict(environ)
    if thread:
        _task.set(mine.pop(TASK, None))
    os.environ.update(mine)


def project_here() -> Project:
    """Return the project of the run that this code runs in, opened once per process."""
    from headwater.project import current_project

    return current_project()


def active_run() -> ActiveRun | None:
    """Return the run that this code runs in, to log metrics, artefacts and tags to; None outside of one.

    What a step logs is durable when the step ends. A remembered step does not run, so it logs nothing again.
    """
    from headwater.track import ActiveRun

    run = current_run_id()
    if run is None:
        return None
    key = (os.getpid(), threading.get_ident(), run)
    if key not in _runs:
        _runs[key] = ActiveRun(project_here(), run, run)
    return _runs[key]


def finish() -> bool:
    """Send what this thread's step logged, and let go of the project where none runs beside it; tell whether it did."""
    logged = False
    me = (os.getpid(), threading.get_ident())
    for key in [key for key in _runs if key[:2] == me]:
        _runs.pop(key).close()
        logged = True
    opened = sys.modules.get("headwater.project.current")
    if opened is not None and _task.get() is None:
        opened.close_current()
    return logged

"""Which run and task this code runs in, for code that runs in one."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from headwater.project import Project
    from headwater.track import ActiveRun

RUN = "HEADWATER_RUN"
TASK = "HEADWATER_TASK"
_runs: dict[tuple[int, str], ActiveRun] = {}


def current_run_id() -> str | None:
    """Return the id of the run that this code runs in, None outside of one."""
    return os.environ.get(RUN) or None


def current_task_id() -> str | None:
    """Return the id of the task that this code runs in, None outside of a step's process."""
    return os.environ.get(TASK) or None


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
    key = (os.getpid(), run)
    if key not in _runs:
        _runs[key] = ActiveRun(project_here(), run, run)
    return _runs[key]


def finish() -> bool:
    """Send what this process's steps logged, and let go of the project; tell whether anything was logged."""
    logged = False
    from headwater.project.current import close_current

    for key in [key for key in _runs if key[0] == os.getpid()]:
        _runs.pop(key).close()
        logged = True
    close_current()
    return logged

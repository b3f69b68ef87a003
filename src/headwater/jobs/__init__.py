"""Jobs: registered operations that wait for a worker, and the triggers that make them.

The scheduler turns announcements, times, webhooks and people into jobs; workers lease them. Nothing here knows
what an operation does: rooms above announce facts and declare operations.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .fencing import carried, current_fence, current_job, is_lost, let_wait
    from .operations import (
        cancel_job,
        count_jobs,
        fire_trigger,
        get_job,
        get_pauses,
        list_jobs,
        list_triggers,
        pause_jobs,
        pause_trigger,
        resume_jobs,
        retry_job,
        submit,
    )
    from .scheduler import Scheduler
    from .values import Job, Pause, Trigger
    from .worker import Worker

# Names are loaded when first used: a flow asks only for the fence of its job, and pays for no worker and scheduler.
_HOMES = {
    "Job": "values",
    "Pause": "values",
    "Scheduler": "scheduler",
    "Trigger": "values",
    "Worker": "worker",
    "cancel_job": "operations",
    "carried": "fencing",
    "count_jobs": "operations",
    "current_fence": "fencing",
    "current_job": "fencing",
    "fire_trigger": "operations",
    "get_job": "operations",
    "get_pauses": "operations",
    "is_lost": "fencing",
    "let_wait": "fencing",
    "list_jobs": "operations",
    "list_triggers": "operations",
    "pause_jobs": "operations",
    "pause_trigger": "operations",
    "resume_jobs": "operations",
    "retry_job": "operations",
    "submit": "operations",
}

__all__ = [
    "Job",
    "Pause",
    "Scheduler",
    "Trigger",
    "Worker",
    "cancel_job",
    "carried",
    "count_jobs",
    "current_fence",
    "current_job",
    "fire_trigger",
    "get_job",
    "get_pauses",
    "is_lost",
    "let_wait",
    "list_jobs",
    "list_triggers",
    "pause_jobs",
    "pause_trigger",
    "resume_jobs",
    "retry_job",
    "submit",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'headwater.jobs' has no attribute '{name}'")
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value

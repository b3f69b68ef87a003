"""Jobs: registered operations that wait for a worker, and the triggers that make them.

The scheduler turns announcements, times and people into jobs; workers lease them. Nothing here knows
what an operation does: rooms above announce facts and declare operations.
"""

from __future__ import annotations

from .fencing import current_job
from .operations import cancel_job, fire_trigger, get_job, list_jobs, list_triggers, pause_trigger, submit
from .scheduler import Scheduler
from .values import Job, Trigger
from .worker import Worker

__all__ = [
    "Job",
    "Scheduler",
    "Trigger",
    "Worker",
    "cancel_job",
    "current_job",
    "fire_trigger",
    "get_job",
    "list_jobs",
    "list_triggers",
    "pause_trigger",
    "submit",
]

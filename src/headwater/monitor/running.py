"""Running a monitor: each complete window since the last one, measured once."""

from __future__ import annotations

from headwater.operation import operation
from headwater.project import Project

from .values import MonitorReport


@operation("monitor.run", needs="monitor:write")
def run_monitor(project: Project, name: str, upto: int | None = None) -> MonitorReport:
    """Measure the windows that are complete at ``upto`` (UTC microseconds, now unless given) and return them."""
    raise NotImplementedError

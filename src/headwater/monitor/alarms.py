"""Alarms."""

from __future__ import annotations

from headwater.operation import operation
from headwater.project import Project

from .values import Alarm


@operation("monitor.alarms.list", needs="monitor:read")
def list_alarms(
    project: Project,
    monitor: str | None = None,
    *,
    model: str | None = None,
    open_only: bool = False,
    limit: int = 50,
    before: str | None = None,
) -> list[Alarm]:
    """Return alarms, newest first; ``before`` is the id to continue behind."""
    raise NotImplementedError


@operation("monitor.alarms.get", needs="monitor:read")
def get_alarm(project: Project, alarm: str) -> Alarm:
    """Return one alarm by id or ref."""
    raise NotImplementedError


@operation("monitor.alarms.acknowledge", needs="monitor:write")
def acknowledge(project: Project, alarm: str, reason: str) -> Alarm:
    """Say that an alarm was seen and why it is settled; its causes may alarm again from fresh evidence."""
    raise NotImplementedError

"""What jobs and triggers are, as operations take and return them."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

Status = Literal["queued", "running", "done", "failed", "cancelled"]
ENDED: tuple[Status, ...] = ("done", "failed", "cancelled")

FLOW_OPERATION = "flow.run"
"""The operation that a trigger with ``flow =`` runs, with the arguments ``flow`` and ``arguments``."""


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """An operation that waits for a worker, is being run, or was.

    ``cause`` is the ref of the fact that caused it, ``schedule:<time>`` or ``person:<name>``; ``run_after`` and
    ``heartbeat_at`` are the database's time. ``result`` is what the operation returned, as plain values.
    """

    id: str
    operation: str
    arguments: dict[str, Any]
    actor: str
    trigger: str
    cause: str
    label: str
    priority: int
    status: Status
    attempts: int
    most_attempts: int
    run_after: int
    worker: str
    heartbeat_at: int | None
    result: Any
    error: str
    created_at: int
    started_at: int | None
    ended_at: int | None

    @property
    def ref(self) -> str:
        """The text that names the job in edges and announcements."""
        return f"job:{self.id}"


class Trigger(msgspec.Struct, frozen=True, kw_only=True):
    """What turns a fact, a time or a person into a job: one ``[[triggers]]`` of headwater.toml.

    ``on`` is ``manual``, ``schedule`` or the kind of an announcement. ``match`` holds attributes that the fact must
    have (``*`` stands for anything). ``arguments`` may hold ``{attribute}``, which the fact fills in.
    """

    name: str
    on: str
    operation: str
    arguments: dict[str, Any]
    flow: str = ""
    match: dict[str, str] = {}
    cron: str = ""
    timezone: str = "UTC"
    priority: int = 0
    attempts: int = 3
    label: str = ""
    actor: str = ""
    roles: tuple[str, ...] = ("developer",)
    paused: bool = False
    paused_by: str = ""
    next_at: int | None = None
    """When a schedule is due next, UTC microseconds; None for other triggers."""

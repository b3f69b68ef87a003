"""What jobs and triggers are, as operations take and return them."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

Status = Literal["queued", "running", "waiting", "done", "failed", "cancelled"]
ENDED: tuple[Status, ...] = ("done", "failed", "cancelled")
OPEN: tuple[Status, ...] = ("queued", "running", "waiting")

CatchUp = Literal["last", "all", "none"]

FLOW_OPERATION = "flow.run"
"""The operation that a trigger with ``flow =`` runs, with the arguments ``flow`` and ``arguments``."""


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """An operation that waits for a worker, is being run, or was.

    ``cause`` is the ref of the fact that caused it, ``schedule:<time>`` or ``person:<name>``; ``run_after`` and
    ``heartbeat_at`` are the database's time. ``result`` is what the operation returned, as plain values. ``subject`` is
    what limits and pauses speak of: the flow that it runs, else the operation.
    """

    id: str
    operation: str
    subject: str
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

    ``on`` is ``manual``, ``schedule``, ``webhook`` or the kind of an announcement. ``match`` holds attributes that the
    fact must have (``*`` stands for anything). ``arguments`` may hold ``{attribute}``, which the fact fills in.
    ``limit`` is how many of its jobs run at once (0: any number). ``catch_up`` says which of a schedule's times count
    that passed while no scheduler ran: the ``last``, ``all`` of them (the last ``catch_up_most``), or ``none``.
    """

    name: str
    on: str
    operation: str
    arguments: dict[str, Any]
    flow: str = ""
    match: dict[str, str] = {}
    cron: str = ""
    every: str = ""
    timezone: str = "UTC"
    catch_up: CatchUp = "last"
    catch_up_most: int = 100
    limit: int = 0
    secret: str = ""
    largest_kib: int = 256
    tolerance_s: int = 300
    priority: int = 0
    attempts: int = 3
    label: str = ""
    actor: str = ""
    roles: tuple[str, ...] = ("developer",)
    paused: bool = False
    paused_by: str = ""
    next_at: int | None = None
    """When a schedule is due next, UTC microseconds; None for other triggers."""


class Pause(msgspec.Struct, frozen=True, kw_only=True):
    """Jobs that are not to be begun for now: all of them, or those of a flow or an operation."""

    kind: Literal["all", "flow", "operation"]
    name: str
    paused_by: str
    paused_at: int
    reason: str

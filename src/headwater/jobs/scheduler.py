"""The scheduler: facts and times become jobs, each exactly once for each trigger.

One leader works at a time, by lease. Its place in the announcements moves in the transaction that records the jobs
made of them, under the lease's fencing number: a crash repeats nothing and skips nothing, and a leader that was
paused past its lease records nothing.
"""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING, Any

from headwater.errors import ConflictError, InvalidInputError
from headwater.ledger import Lease, release_lease, renew_lease, take_lease
from headwater.project import Actor

from .facts import attributes_of, matches
from .filling import filled
from .queue import add_job, has_open, read_job
from .triggers import declared_triggers, schedule_of
from .values import Job, Trigger

if TYPE_CHECKING:
    from headwater.ledger import Row, Tx, WriteTx
    from headwater.project import Project

CURSOR = "scheduler"
LEASE = "scheduler"
LEASE_S = 30.0
_PAGE = 500


class Scheduler:
    """Follows a project's announcements and schedules; ``tick`` does what is due now."""

    def __init__(self, project: Project, *, name: str = "", lease_s: float = LEASE_S) -> None:
        self._project = project
        self._name = name or f"{socket.gethostname()}:{os.getpid()}:{os.urandom(3).hex()}"
        self._lease_s = lease_s
        self._lease: Lease | None = None

    def tick(self) -> list[Job]:
        """Turn what was announced and what is due into jobs, and return those made; nothing unless it leads.

        The first tick of a project sees all that was announced before; a trigger that is declared later sees what is
        announced from then on. A schedule counts from when it was first seen; which of the times count that passed
        while no scheduler ran is up to its ``catch_up``. One that is due every so often waits while a job of its own is
        not over. While a trigger is paused, what happens makes no job, then or later.

        Raises:
            InvalidInputError: a trigger in headwater.toml is not as it should be.
        """
        triggers = declared_triggers(self._project.settings)
        with self._project.ledger.read() as tx:
            if self._idle(tx, triggers):
                return []
        try:
            with self._project.ledger.write() as tx:
                if not self._leads(tx):
                    return []
                made = self._follow(tx, triggers) + self._schedule(tx, triggers)
                return [read_job(tx, identifier) for identifier in made]
        except ConflictError:
            self._lease = None  # another leads now
            return []

    def resign(self) -> None:
        """Let another lead at once; what a server does when it stops."""
        lease, self._lease = self._lease, None
        if lease is not None:
            with self._project.ledger.write() as tx:
                release_lease(tx, lease)

    def _idle(self, tx: Tx, triggers: list[Trigger]) -> bool:
        """Tell whether there is nothing to write: a scheduler with nothing to do lets its lease lapse."""
        if tx.announcements_since(_cursor(tx), limit=1):
            return False
        now = self._project.clock()
        return not any(_is_due(tx, trigger, now) for trigger in triggers)

    def _leads(self, tx: WriteTx) -> bool:
        if self._lease is None:
            self._lease = take_lease(tx, LEASE, self._name, ttl_s=self._lease_s)
        else:
            self._lease = renew_lease(tx, self._lease, ttl_s=self._lease_s)
        return self._lease is not None

    def _follow(self, tx: WriteTx, triggers: list[Trigger]) -> list[str]:
        made: list[str] = []
        awake = [trigger for trigger in triggers if not _paused(tx, trigger.name)]
        facts = tx.announcements_since(_cursor(tx), limit=_PAGE)
        for fact in facts:
            interested = [trigger for trigger in awake if trigger.on == fact.kind]
            if interested:
                attributes = attributes_of(tx, fact)
                made += [job for trigger in interested if (job := _react(tx, trigger, fact, attributes))]
        if facts:
            move_cursor(tx, CURSOR, facts[-1].seq)
        return made

    def _schedule(self, tx: WriteTx, triggers: list[Trigger]) -> list[str]:
        made: list[str] = []
        now = self._project.clock()
        for trigger in triggers:
            if trigger.on != "schedule":
                continue
            seen = _seen_at(tx, trigger.name)
            if seen is None:
                _see(tx, trigger.name, now)
                continue
            times = _times(trigger, seen, now)
            if times and not _paused(tx, trigger.name):
                made += _add_times(tx, trigger, times)
            last = schedule_of(trigger).last_due(after=seen, until=now, most=1)
            if last:
                _see(tx, trigger.name, last[0])
        return made


def move_cursor(tx: WriteTx, name: str, seq: int) -> None:
    """Record how far a follower has read the announcements."""
    tx.execute(
        "INSERT INTO cursors (name, seq) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET seq = excluded.seq", (name, seq)
    )


def _cursor(tx: Tx) -> int:
    return int(tx.value("SELECT seq FROM cursors WHERE name = ?", (CURSOR,)) or 0)


def _react(tx: WriteTx, trigger: Trigger, fact: Row, attributes: dict[str, Any]) -> str | None:
    if not matches(trigger.match, attributes):
        return None
    return _add(tx, trigger, fact.ref, f"{trigger.name}#{fact.seq}", attributes)


def _add(tx: WriteTx, trigger: Trigger, cause: str, once: str, attributes: dict[str, Any]) -> str | None:
    error = ""
    arguments = trigger.arguments
    try:
        arguments = filled(trigger, attributes)
    except InvalidInputError as problem:
        error = problem.message  # a failed job shows it; the other triggers go on
    return add_job(
        tx,
        operation=trigger.operation,
        arguments=arguments,
        actor=Actor(name=trigger.actor, claimed=True, roles=trigger.roles),
        cause=cause,
        trigger=trigger.name,
        once=once,
        label=trigger.label,
        priority=trigger.priority,
        most_attempts=trigger.attempts,
        error=error,
    )


def _times(trigger: Trigger, seen: int, now: int) -> list[int]:
    return schedule_of(trigger).counting(trigger.catch_up, after=seen, until=now, most=trigger.catch_up_most)


def _add_times(tx: WriteTx, trigger: Trigger, times: list[int]) -> list[str]:
    """Make the jobs of a schedule's times; the job before is not crowded by one that is due every so often."""
    if trigger.every and has_open(tx, trigger.name):
        return []
    schedule = schedule_of(trigger)
    made = []
    for moment in times:
        about = {"at": moment, "date": schedule.date_of(moment)}
        job = _add(tx, trigger, f"schedule:{moment}", f"{trigger.name}@{moment}", about)
        made += [job] if job else []
    return made


def _paused(tx: Tx, name: str) -> bool:
    return bool(tx.value("SELECT paused FROM trigger_states WHERE name = ?", (name,)))


def _seen_at(tx: Tx, name: str) -> int | None:
    found: int | None = tx.value("SELECT scheduled_at FROM trigger_states WHERE name = ?", (name,))
    return found


def _see(tx: WriteTx, name: str, at: int) -> None:
    tx.execute(
        "INSERT INTO trigger_states (name, paused, paused_by, scheduled_at) VALUES (?, 0, '', ?) "
        "ON CONFLICT (name) DO UPDATE SET scheduled_at = excluded.scheduled_at",
        (name, at),
    )


def _is_due(tx: Tx, trigger: Trigger, now: int) -> bool:
    if trigger.on != "schedule":
        return False
    seen = _seen_at(tx, trigger.name)
    return seen is None or schedule_of(trigger).next_due(after=seen) <= now

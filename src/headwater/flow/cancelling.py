"""Cancelling a run: asked for in the ledger by anybody who may, done by the process that runs it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import msgspec

from headwater.errors import ConflictError, InvalidInputError
from headwater.jobs.fencing import is_lost
from headwater.ledger.values import escape_text, unescape_text
from headwater.operation import operation
from headwater.track.liveness import notice_killed
from headwater.track.runs import find_id, get_run
from headwater.track.values import Run

if TYPE_CHECKING:
    from headwater.project import Project

LOOK_S = 0.5
"""How often a running flow looks whether it was cancelled."""


class Cancellation(msgspec.Struct, frozen=True):
    """Who asked that a run end, and why."""

    by: str
    reason: str

    def __str__(self) -> str:
        return f"cancelled by {self.by}" + (f": {self.reason}" if self.reason else "")


@operation("run.cancel", needs="run:write")
def cancel_run(project: Project, run: str, reason: str = "", *, wait_s: float = 5.0) -> Run:
    """Ask a running flow to end, wait for it at most ``wait_s``, and return the run as it then is.

    Its steps' processes die with everything that they started; results that were finished stay remembered. A run
    still ``running`` in the answer has heard it and is writing its end, or does not answer: it is then shown as
    killed once its process is gone.

    Raises:
        NotFoundError: there is no such run.
        ConflictError: it has ended already.
        InvalidInputError: it is no run of a flow: end the program that tracks it instead.
    """
    notice_killed(project)
    identifier = find_id(project, run)
    with project.ledger.write() as tx:
        row = tx.one("SELECT kind, status FROM runs WHERE id = ?", (identifier,))
        assert row is not None
        if row.status != "running":
            raise ConflictError(f"run {identifier} has ended already: {row.status}.", run=identifier, status=row.status)
        if row.kind != "flow":
            raise InvalidInputError(
                f"run {identifier} is of kind '{row.kind}', which nothing here executes: end the program that tracks "
                "it, with Ctrl-C for instance.",
                run=identifier,
                run_kind=row.kind,
            )
        tx.execute(
            "INSERT INTO run_cancels (run, asked_by, reason, asked_at) VALUES (?, ?, ?, ?) "
            "ON CONFLICT (run) DO NOTHING",
            (identifier, escape_text(project.actor.name), escape_text(reason[:1000]), tx.now),
        )
    until = time.monotonic() + min(max(wait_s, 0.0), 30.0)
    while True:
        found = get_run(project, identifier)
        if found.status != "running" or time.monotonic() >= until:
            return found
        time.sleep(0.1)


def asked(project: Project, run: str) -> Cancellation | None:
    """Return the request that a run be cancelled, None while there is none.

    The run of a job that was cancelled, or given to another worker, is to end as well.
    """
    if is_lost():
        return Cancellation("its job", "it was cancelled or given to another worker")
    with project.ledger.read() as tx:
        row = tx.one("SELECT asked_by, reason FROM run_cancels WHERE run = ?", (run,))
    return None if row is None else Cancellation(unescape_text(row.asked_by), unescape_text(row.reason))

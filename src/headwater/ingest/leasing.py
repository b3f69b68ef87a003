"""The lease under which one pull at a time writes to a branch, renewed while it runs."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import ConflictError, HeadwaterError
from ..ledger import Lease, release_lease, renew_lease, take_lease
from ..project import Project

LEASE_S = 60.0


class Held:
    """A lease that is held: its fencing number goes into every transaction of the pull."""

    def __init__(self, lease: Lease) -> None:
        self.name = lease.name
        self.token = lease.token
        self.lost: HeadwaterError | None = None

    def require(self) -> None:
        """Raise the ConflictError that the renewal met, if it met one."""
        if self.lost is not None:
            raise ConflictError(self.lost.message, **self.lost.values)


@contextmanager
def holding(project: Project, name: str) -> Iterator[Held]:
    """Take the lease, renew it from a thread while the block runs, and give it up.

    The project's setting ``[ingest] lease_s`` says for how long a killed pull keeps others out (60 seconds).

    Raises:
        ConflictError: somebody else holds it.
    """
    ttl_s = float(project.settings.table("ingest").get("lease_s", LEASE_S))
    holder = f"{socket.gethostname()}:{os.getpid()}:{os.urandom(3).hex()}"
    with project.ledger.write() as tx:
        lease = take_lease(tx, name, holder, ttl_s=ttl_s)
        other = None if lease else tx.one("SELECT holder, expires_at FROM leases WHERE name = ?", (name,))
        now = tx.database_now()
    if lease is None:
        who = other.holder if other else "somebody"
        left_s = max(0.0, (other.expires_at - now) / 1e6) if other else 0.0
        _, dataset, branch = name.split(":", 2)
        raise ConflictError(
            f"another pull into '{dataset}@{branch}' is running ({who}). Wait for it, then pull again; if it was "
            f"killed, its lease ends by itself in {left_s:.0f} s.",
            lease=name,
            holder=who,
        )
    held = Held(lease)
    stop = threading.Event()
    thread = threading.Thread(
        target=_renew, args=(project, lease, held, stop, ttl_s), name="headwater-pull", daemon=True
    )
    thread.start()
    try:
        yield held
    finally:
        stop.set()
        thread.join()
        with project.ledger.write() as tx:
            release_lease(tx, lease)


def _renew(project: Project, lease: Lease, held: Held, stop: threading.Event, ttl_s: float) -> None:
    while not stop.wait(ttl_s / 3):
        try:
            with project.ledger.write() as tx:
                renew_lease(tx, lease, ttl_s=ttl_s)
        except ConflictError as error:
            held.lost = error
            return
        except HeadwaterError:  # the database did not answer: the next round tries again, and the fence decides
            continue

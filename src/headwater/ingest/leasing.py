"""The lease under which one pull at a time writes to a branch, renewed while it runs."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import ConflictError
from ..ledger import take_lease
from ..ledger.keeping import Held, keep_lease
from ..project import Project

LEASE_S = 60.0


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
    with keep_lease(project.ledger, lease, ttl_s=ttl_s) as held:
        yield held

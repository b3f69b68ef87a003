"""Keeping a lease for as long as some work takes: renewed from a thread, until the work ends or somebody took it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ..errors import ConflictError, HeadwaterError
from .leases import Lease, release_lease, renew_lease

if TYPE_CHECKING:
    from .ledger import Ledger


class Held:
    """A lease that is held: its fencing number goes into the transactions of the work."""

    def __init__(self, lease: Lease) -> None:
        self.name = lease.name
        self.token = lease.token
        self.lost: HeadwaterError | None = None

    def require(self) -> None:
        """Raise the ConflictError that the renewal met, if it met one."""
        if self.lost is not None:
            raise ConflictError(self.lost.message, **self.lost.values)


@contextmanager
def keep_lease(ledger: Ledger, lease: Lease, *, ttl_s: float) -> Iterator[Held]:
    """Renew a lease that was taken until the block ends, and give it up then.

    A process that was paused for longer than the lease lasts does not know that it lost it: what it records must be
    fenced (``Ledger.fenced``, ``WriteTx.fence``).
    """
    held = Held(lease)
    stop = threading.Event()
    thread = threading.Thread(
        target=_renew, args=(ledger, lease, held, stop, ttl_s), name="headwater-lease", daemon=True
    )
    thread.start()
    try:
        yield held
    finally:
        stop.set()
        thread.join()
        with ledger.write() as tx:
            release_lease(tx, lease)


def _renew(ledger: Ledger, lease: Lease, held: Held, stop: threading.Event, ttl_s: float) -> None:
    while not stop.wait(ttl_s / 3):
        try:
            with ledger.write() as tx:
                renew_lease(tx, lease, ttl_s=ttl_s)
        except ConflictError as error:
            held.lost = error
            return
        except HeadwaterError:  # the database did not answer: the next round tries again, and the fence decides
            continue

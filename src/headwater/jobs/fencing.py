"""The job that this thread works on: everything recorded meanwhile commits only while its lease is held."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from headwater.ledger import Lease, Ledger, WriteTx

FOR_EVER_US = 2**62

ON_CANCEL: list[Callable[[WriteTx, str, str], None]] = []
"""Called with the ref of a job and who cancelled it, in the same transaction: rooms above end what the job began."""


class Hand:
    """A job in a worker's hand. ``lost``: its lease is somebody else's, or it was cancelled. ``until``: when it is to
    be looked at again at the latest, where it waits for somebody (the database's time), else None. ``final``: where it
    fails, trying it again would change nothing.
    """

    def __init__(self, lease: Lease) -> None:
        self.lease = lease
        self.lost = threading.Event()
        self.until: int | None = None
        self.final = False


_held: contextvars.ContextVar[Hand | None] = contextvars.ContextVar("the_job_in_hand", default=None)


def current_job() -> str | None:
    """Return the ref of the job that this code runs in (``job:<id>``), or None."""
    hand = _held.get()
    return None if hand is None else hand.lease.name


def current_fence() -> tuple[str, int] | None:
    """Return the name and the fencing number under which this code records facts, or None outside a job."""
    hand = _held.get()
    return None if hand is None else (hand.lease.name, hand.lease.token)


def is_lost() -> bool:
    """Tell whether the job that this code runs in was cancelled or given to another: nothing more can be recorded."""
    hand = _held.get()
    return hand is not None and hand.lost.is_set()


def let_wait(until: int | None = None) -> None:
    """Say that the job in hand is to wait, without a worker, until it is woken or ``until`` (the database's time)."""
    hand = _held.get()
    if hand is not None:
        hand.until = FOR_EVER_US if until is None else until


def never_again() -> None:
    """Say that the job in hand is not to be tried again where it fails: somebody decided so."""
    hand = _held.get()
    if hand is not None:
        hand.final = True


def carried(work: Callable[[], None]) -> Callable[[], None]:
    """Return ``work`` for another thread, in which it belongs to the job of this one: its facts are fenced as here."""
    hand = _held.get()

    def run() -> None:
        token = _held.set(hand)
        try:
            work()
        finally:
            _held.reset(token)

    return run


@contextmanager
def holding(ledger: Ledger, hand: Hand) -> Iterator[None]:
    """Let every transaction of this thread commit only under the lease's current fencing number."""
    if _require_fence not in ledger.before_commit:
        ledger.before_commit.append(_require_fence)
    token = _held.set(hand)
    try:
        yield
    finally:
        _held.reset(token)


def _require_fence(tx: WriteTx) -> None:
    hand = _held.get()
    if hand is not None:
        tx.fence(hand.lease.name, hand.lease.token)

"""The job that this thread works on: everything recorded meanwhile commits only while its lease is held."""

from __future__ import annotations

import contextvars
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from headwater.ledger import Lease, Ledger, WriteTx

_held: contextvars.ContextVar[Lease | None] = contextvars.ContextVar("the_job_in_hand", default=None)


def current_job() -> str | None:
    """Return the ref of the job that this code runs in (``job:<id>``), or None."""
    lease = _held.get()
    return None if lease is None else lease.name


@contextmanager
def holding(ledger: Ledger, lease: Lease) -> Iterator[None]:
    """Let every transaction of this thread commit only under the lease's current fencing number."""
    if _require_fence not in ledger.before_commit:
        ledger.before_commit.append(_require_fence)
    token = _held.set(lease)
    try:
        yield
    finally:
        _held.reset(token)


def _require_fence(tx: WriteTx) -> None:
    lease = _held.get()
    if lease is not None:
        tx.fence(lease.name, lease.token)

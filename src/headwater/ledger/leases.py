"""Leases: who may act alone until when, by the database's clock, with a number that fences out whoever lost one.

A holder that was paused past its lease does not know it. So each taking gets a higher fencing number, and the
holder's facts are recorded in a transaction that calls ``fence`` with its own: a late one is refused.
On SQLite the database's clock is the host's; the clock of the caller is never used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from ..errors import ConflictError, InvalidInputError

if TYPE_CHECKING:
    from .transaction import WriteTx


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """A lease as it was taken or renewed; ``expires_at`` is the database's time, UTC microseconds."""

    name: str
    holder: str
    token: int
    expires_at: int


def take_lease(tx: WriteTx, name: str, holder: str, *, ttl_s: float) -> Lease | None:
    """Take a lease that nobody holds, for ``ttl_s`` seconds; None while somebody does, be it the same holder."""
    ttl = _microseconds(ttl_s)
    taken = tx.one(
        "INSERT INTO leases (name, holder, token, expires_at)"
        f" VALUES (?, ?, 1, {tx.clock_sql} + ?)"
        " ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, token = leases.token + 1,"
        f" expires_at = excluded.expires_at WHERE leases.expires_at <= {tx.clock_sql}"
        " RETURNING token, expires_at",
        (name, holder, ttl),
    )
    return None if taken is None else Lease(name=name, holder=holder, token=taken.token, expires_at=taken.expires_at)


def renew_lease(tx: WriteTx, lease: Lease, *, ttl_s: float) -> Lease:
    """Return the lease, held for ``ttl_s`` seconds from now; a lapsed one is renewed if nobody took it meanwhile.

    Raises:
        ConflictError: somebody else holds it now, or it was released.
    """
    until = tx.value(
        f"UPDATE leases SET expires_at = {tx.clock_sql} + ? WHERE name = ? AND token = ? RETURNING expires_at",
        (_microseconds(ttl_s), lease.name, lease.token),
    )
    if until is None:
        raise _lost(tx, lease.name, lease.token)
    return Lease(name=lease.name, holder=lease.holder, token=lease.token, expires_at=until)


def release_lease(tx: WriteTx, lease: Lease) -> bool:
    """Give a lease up, so that the next may take it at once; False when it was lost before."""
    # The number rises here too: a fact of the former holder that is still on its way must not pass the fence.
    sql = "UPDATE leases SET holder = '', token = token + 1, expires_at = 0 WHERE name = ? AND token = ?"
    return tx.execute(sql, (lease.name, lease.token)) == 1


def fence(tx: WriteTx, name: str, token: int) -> None:
    """Raise ConflictError unless ``token`` is the lease's current fencing number, and keep it so until the commit."""
    # An update and not a select: on Postgres it locks the row, so nobody takes the lease before this commits.
    if tx.execute("UPDATE leases SET token = token WHERE name = ? AND token = ?", (name, token)) != 1:
        raise _lost(tx, name, token)


def _lost(tx: WriteTx, name: str, token: int) -> ConflictError:
    found = tx.one("SELECT holder, token FROM leases WHERE name = ?", (name,))
    now = (
        "nobody holds it" if found is None or not found.holder else f"'{found.holder}' holds it (number {found.token})"
    )
    return ConflictError(
        f"the lease '{name}' with number {token} is lost: {now}. Stop this work; whoever holds the lease does it.",
        lease=name,
        token=token,
    )


def _microseconds(ttl_s: float) -> int:
    if not ttl_s > 0:
        raise InvalidInputError(f"a lease lasts more than 0 seconds, not {ttl_s}.", ttl_s=ttl_s)
    return round(ttl_s * 1_000_000)

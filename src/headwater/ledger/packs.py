"""The packs of the object store as facts: who relies on them, and which were given up."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ..errors import ConflictError, GoneError

if TYPE_CHECKING:
    from .ledger import Ledger
    from .transaction import Tx, WriteTx

USE_AGAIN_US = 20 * 60 * 1_000_000
"""A use is written down again when the last one is this old; the shortest grace of a collection is thrice that."""

DROPS = "pack_drops"
LOST = "lost"
"""How objects went whose loss somebody accepted; others were collected or erased."""
_PART = 400


def use_packs(ledger: Ledger, packs: list[str]) -> set[str]:
    """Return those of the packs that the ledger lists, and note that somebody relies on what they hold.

    Nothing is written for packs that are young, or in use already: a use counts for ``USE_AGAIN_US``.
    """
    with ledger.read() as tx:
        now = tx.database_now()
        rows = tx.all_in(
            "SELECT p.id, p.created_at, u.used_at FROM packs p LEFT JOIN pack_uses u ON u.pack = p.id "
            "WHERE p.id IN (??)",
            packs,
        )
    old = [row.id for row in rows if max(row.created_at, row.used_at or 0) < now - USE_AGAIN_US]
    listed = {row.id for row in rows}
    if not old or ledger.writing_here:
        return listed
    with ledger.write() as tx:
        there = {row.id for row in tx.all_in("SELECT id FROM packs WHERE id IN (??)", old)}
        tx.executemany(
            "INSERT INTO pack_uses (pack, used_at) VALUES (?, ?) "
            "ON CONFLICT (pack) DO UPDATE SET used_at = excluded.used_at",
            [(pack, now) for pack in sorted(there)],
        )
    return (listed - set(old)) | there


def count_drops(tx: Tx) -> int:
    """Return how often packs were given up."""
    return int(tx.value("SELECT COALESCE(MAX(value), 0) FROM counters WHERE name = ?", (DROPS,)))


def dropped_packs(tx: Tx, packs: list[str]) -> set[str]:
    """Return those of the packs that were given up."""
    return {row.pack for row in tx.all_in("SELECT pack FROM dropped_packs WHERE pack IN (??)", packs)}


def refuse_dropped(tx: WriteTx, packs: list[str]) -> None:
    """Raise ConflictError when one of the packs that a transaction would list was given up; ``values`` names them."""
    lost = sorted(dropped_packs(tx, packs))
    if lost:
        raise ConflictError(
            f"{len(lost)} packs of bytes were collected before a fact named them: they lay unnamed for longer than "
            "the grace period, or were erased. Nothing was recorded; put the bytes again and run it again.",
            packs=lost,
        )


def explain_gone(tx: Tx, ref: str) -> GoneError | None:
    """Return the error that says when and why something went; None where nothing of it is recorded."""
    row = tx.one("SELECT at, how, why FROM gone WHERE ref = ?", (ref,))
    if row is None:
        return None
    when = datetime.fromtimestamp(row.at / 1e6, UTC).strftime("%Y-%m-%d")
    return GoneError(
        f"{ref} was {row.how} on {when}: {row.why}. Its facts and its lineage stay, its bytes do not.",
        ref=ref,
        at=row.at,
        how=row.how,
        why=row.why,
    )

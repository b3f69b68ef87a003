"""What pulls hold: proofs of where data came from, where the next pull goes on, and what was sent to webhooks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headwater.lake.collecting import Plan
from headwater.objects.collecting import Mark, holder

if TYPE_CHECKING:
    from headwater.ledger import Tx


@holder("ingest", floor=25, speaks_for=("pulls", "webhook_deliveries"))
def mark_pulls(plan: Plan, tx: Tx, mark: Mark) -> None:
    """Keep proofs, states and deliveries. A state's own digests hold nothing: versions say which files are kept."""
    mark.keep((row.proof for row in tx.stream("SELECT proof FROM pulls WHERE proof IS NOT NULL")), "proofs of pulls")
    states = tx.stream("SELECT state_object FROM pulls WHERE state_object IS NOT NULL")
    mark.keep((row.state_object for row in states), "where pulls go on")
    mark.keep((row.object for row in tx.stream("SELECT object FROM webhook_deliveries")), "deliveries to webhooks")

"""What models hold, for ever: their files, their training profiles, and what they descend from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headwater.lake.collecting import Plan, ancestors
from headwater.objects.collecting import Mark, holder

if TYPE_CHECKING:
    from headwater.ledger import Tx

WHY = "model versions and what they came from"


@holder("model", floor=50, speaks_for=("model_files", "model_versions", "api_answers"))
def mark_models(plan: Plan, tx: Tx, mark: Mark) -> None:
    """Keep every model version's objects, and pin the runs and versions that it or its evidence came from."""
    for row in tx.stream("SELECT digest FROM model_files"):
        mark.keep([row.digest], WHY)
    refs = []
    for row in tx.stream("SELECT id, reference FROM model_versions"):
        refs.append(f"modelversion:{row.id}")
        if row.reference is not None:
            mark.keep([row.reference], WHY)
    evidence = [row.child for row in tx.stream("SELECT DISTINCT child FROM edges WHERE child LIKE 'evidence:%'")]
    found = ancestors(tx, [*refs, *evidence], past_versions=True)
    mark.pin([ref for ref in found if ref.partition(":")[0] in ("run", "version", "result")], WHY)

"""Removing what the memory keeps of runs that are deleted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from headwater.ledger import WriteTx


def remove_tasks(tx: WriteTx, runs: Sequence[str]) -> None:
    """Take away the tasks of runs, and the results that no other run used, in this transaction."""
    marks = ", ".join("?" * len(runs))
    only_theirs = (
        f"SELECT t.result FROM tasks t WHERE t.run IN ({marks}) AND t.result IS NOT NULL AND NOT EXISTS "
        f"(SELECT 1 FROM tasks o WHERE o.result = t.result AND o.run NOT IN ({marks}))"
    )
    owners = f"SELECT 'result:' || g.result FROM ({only_theirs}) g"
    tx.execute(f"DELETE FROM cards WHERE owner IN ({owners})", (*runs, *runs))
    tx.execute(f"DELETE FROM cards WHERE owner IN (SELECT 'task:' || id FROM tasks WHERE run IN ({marks}))", runs)
    for table in ("live_tasks", "flow_counts", "run_cancels"):
        tx.execute(f"DELETE FROM {table} WHERE run IN ({marks})", runs)
    tx.execute(f"DELETE FROM results WHERE id IN ({only_theirs})", (*runs, *runs))
    tx.execute(f"DELETE FROM tasks WHERE run IN ({marks})", runs)

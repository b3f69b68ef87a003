"""Reading the audit."""

from __future__ import annotations

import msgspec

from headwater.operation import operation
from headwater.project import Project


class AuditEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One operation that somebody ran."""

    id: str
    at: int
    actor: str
    claimed: bool
    operation: str
    subject: str
    outcome: str


@operation("access.audit", needs="access:admin", audited=False)
def list_audit(
    project: Project, *, actor: str | None = None, prefix: str = "", before: str | None = None, limit: int = 100
) -> list[AuditEntry]:
    """Return who did what, newest first; ``before`` is the id of the last entry of the page before."""
    conditions, values = ["operation >= ?", "operation < ?"], [prefix, prefix + "\U0010ffff"]
    if actor is not None:
        conditions.append("actor = ?")
        values.append(actor)
    if before is not None:
        conditions.append("id < ?")
        values.append(before)
    with project.ledger.read() as tx:
        rows = tx.all(
            "SELECT id, at, actor, claimed, operation, subject, outcome FROM audit "
            f"WHERE {' AND '.join(conditions)} ORDER BY id DESC LIMIT ?",
            (*values, limit),
        )
    return [
        AuditEntry(
            id=row.id,
            at=row.at,
            actor=row.actor,
            claimed=bool(row.claimed),
            operation=row.operation,
            subject=row.subject,
            outcome=row.outcome,
        )
        for row in rows
    ]

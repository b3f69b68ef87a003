"""The head of the governance chain, to be kept where the ledger's owner cannot reach it."""

from __future__ import annotations

from headwater.ledger import Head
from headwater.operation import operation
from headwater.project import Project


@operation("trace.head", needs="trace:read")
def export_head(project: Project) -> Head:
    """Return the newest link of the chain: project, number, hash and time; ``verify`` takes it back as SEQ:HASH.

    A head kept elsewhere shows a history rewritten since, even by whoever owns the database.
    """
    return project.ledger.export_head()

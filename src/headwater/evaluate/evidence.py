"""Recording and finding evidence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from headwater.errors import InvalidInputError, NotFoundError
from headwater.jobs import current_job
from headwater.model import documents
from headwater.operation import operation
from headwater.project import Project, running_operations

from .values import Evidence

if TYPE_CHECKING:
    from headwater.ledger import Row, Tx

_COLUMNS = "id, subject, kind, body, created_at, maker, claimed, data, run, operation, job"


def record_evidence(
    project: Project,
    subject: str,
    kind: str,
    body: dict[str, Any],
    *,
    data: Sequence[str] = (),
    against: Sequence[str] = (),
    run: str | None = None,
) -> Evidence:
    """Record a measurement of ``subject`` (a ref such as ``modelversion:…``) and return it.

    ``data`` holds refs of what it was measured on (``version:…``), ``against`` of what it was held against, ``run``
    the id of the run that made it; all of them and the subject become lineage. Evidence is never edited: a later
    measurement is new evidence.

    Raises:
        InvalidInputError: the subject is no ref, or the kind is empty.
    """
    # Numbers of numpy become Python's own here, so that the body also travels to a server.
    plain = documents.parse(documents.dump(body))
    return record_measurement(project, subject, kind, plain, data=data, against=against, run=run)


@operation("evidence.record", needs="model:write")
def record_measurement(
    project: Project,
    subject: str,
    kind: str,
    body: dict[str, Any],
    *,
    data: Sequence[str] = (),
    against: Sequence[str] = (),
    run: str | None = None,
) -> Evidence:
    """Record a measurement of a subject whose body is of plain values; see ``record_evidence``."""
    if ":" not in subject or not kind:
        raise InvalidInputError(
            f"evidence needs a subject such as 'modelversion:ID' and a kind; got '{subject}' and '{kind}'."
        )
    with project.ledger.write() as tx:
        evidence = Evidence(
            id=tx.new_id(),
            subject=subject,
            kind=kind,
            body=body,
            created_at=tx.now,
            maker=project.actor.name,
            claimed=project.actor.claimed,
            data=tuple(data),
            run=run,
            operation=_measured_by(),
            job=current_job(),
        )
        tx.insert(
            "evidence",
            id=evidence.id,
            subject=subject,
            kind=kind,
            body=documents.dump(body),
            created_at=evidence.created_at,
            maker=evidence.maker,
            claimed=int(evidence.claimed),
            data=documents.dump(evidence.data),
            run=run,
            operation=evidence.operation,
            job=evidence.job,
        )
        tx.edge(evidence.ref, "subject", subject)
        for ref in dict.fromkeys(evidence.data):
            tx.edge(evidence.ref, "data", ref)
        for ref in dict.fromkeys(against):
            tx.edge(evidence.ref, "against", ref)
        if run:
            tx.edge(evidence.ref, "run", f"run:{run}")
        if evidence.job:
            tx.edge(evidence.ref, "job", evidence.job)
        tx.announce("evidence", evidence.ref)
    return evidence


@operation("evidence.get", needs="model:read")
def get_evidence(project: Project, evidence: str) -> Evidence:
    """Return one piece of evidence by id or ref.

    Raises:
        NotFoundError: there is none of that id.
    """
    identifier = evidence.removeprefix("evidence:")
    with project.ledger.read() as tx:
        row = tx.one(f"SELECT {_COLUMNS} FROM evidence WHERE id = ?", (identifier,))
    if row is None:
        raise NotFoundError(f"there is no evidence '{identifier}'. 'hw model show MODEL@vN' lists a version's.")
    return _from_row(row)


@operation("evidence.list", needs="model:read")
def list_evidence(
    project: Project, subject: str, *, kind: str | None = None, limit: int = 100, before: str | None = None
) -> list[Evidence]:
    """Return the evidence about a subject, newest first; ``before`` is the id to continue behind."""
    with project.ledger.read() as tx:
        return read_evidence(tx, subject, kind, limit=limit, before=before)


@operation("evidence.find", needs="model:read")
def find_evidence(project: Project, subject: str, kind: str) -> Evidence | None:
    """Return the newest evidence of a kind about a subject, or None."""
    with project.ledger.read() as tx:
        found = read_evidence(tx, subject, kind, limit=1)
    return found[0] if found else None


def read_evidence(
    tx: Tx, subject: str, kind: str | None = None, *, limit: int = 100, before: str | None = None
) -> list[Evidence]:
    """Return the evidence about a subject, newest first, within a transaction."""
    clauses, values = ["subject = ?"], [subject]
    if kind is not None:
        clauses.append("kind = ?")
        values.append(kind)
    if before is not None:
        clauses.append("id < ?")
        values.append(before)
    rows = tx.all(
        f"SELECT {_COLUMNS} FROM evidence WHERE {' AND '.join(clauses)} ORDER BY id DESC LIMIT ?", (*values, limit)
    )
    return [_from_row(row) for row in rows]


def _measured_by() -> str:
    """Return the operation that called for the recording, or the recording itself where a person or program did."""
    running = running_operations()
    return running[-2] if len(running) > 1 else running[-1]


def _from_row(row: Row) -> Evidence:
    return Evidence(
        id=row.id,
        subject=row.subject,
        kind=row.kind,
        body=documents.parse(row.body),
        created_at=row.created_at,
        maker=row.maker,
        claimed=bool(row.claimed),
        data=tuple(documents.parse(row.data)),
        run=row.run,
        operation=row.operation,
        job=row.job,
    )

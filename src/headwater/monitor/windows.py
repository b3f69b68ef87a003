"""Windows as facts: recorded once, read as pages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from headwater.jobs import current_job
from headwater.model import documents
from headwater.operation import operation
from headwater.project import Project

from .sequential import Evidence
from .spans import Span
from .values import Kind, Window

if TYPE_CHECKING:
    from headwater.ledger import Row, Tx, WriteTx

_COLUMNS = "id, monitor, kind, model, version, number, start_at, end_at, rows, body, computed_at"


@operation("monitor.windows.list", needs="monitor:read")
def list_windows(
    project: Project,
    monitor: str,
    *,
    kind: Kind | None = None,
    version: str | None = None,
    limit: int = 100,
    before: int | None = None,
) -> list[Window]:
    """Return measured windows, newest first; ``before`` is a ``start_at`` to continue below.

    ``version`` is the id of a model version.
    """
    given = {"monitor = ?": monitor, "kind = ?": kind, "version = ?": version, "start_at < ?": before}
    clauses = " AND ".join(clause for clause, value in given.items() if value is not None)
    values = [value for value in given.values() if value is not None]
    with project.ledger.read() as tx:
        rows = tx.all(
            f"SELECT {_COLUMNS} FROM monitor_windows WHERE {clauses} ORDER BY start_at DESC, id DESC LIMIT ?",
            (*values, limit),
        )
    return [_window(row) for row in rows]


def last_span(tx: Tx, monitor: str, kind: Kind) -> Span | None:
    """Return the stretch that a monitor measured last for a kind, or None."""
    row = tx.one(
        "SELECT start_at, start_after, end_at, end_with FROM monitor_windows WHERE monitor = ? AND kind = ? "
        "ORDER BY end_at DESC, end_with DESC LIMIT 1",
        (monitor, kind),
    )
    if row is None:
        return None
    return Span(start_at=row.start_at, start_after=row.start_after, end_at=row.end_at, end_with=row.end_with)


def insert_window(tx: WriteTx, window: Window, span: Span) -> None:
    """Record a window.

    Raises:
        ConflictError: it was recorded already, by another run of the monitor.
    """
    tx.insert(
        "monitor_windows",
        id=window.id,
        monitor=window.monitor,
        kind=window.kind,
        model=window.model,
        version=window.version,
        number=window.number,
        start_at=window.start_at,
        start_after=span.start_after,
        end_at=window.end_at,
        end_with=span.end_with,
        rows=window.rows,
        body=documents.dump(window.body),
        computed_at=window.computed_at,
    )
    tx.edge(f"window:{window.id}", "model", f"modelversion:{window.version}")
    if job := current_job():
        tx.edge(f"window:{window.id}", "job", job)


def read_states(tx: Tx, monitor: str, version: str) -> dict[str, Evidence]:
    """Return the evidence that a monitor's tests about a version gathered so far, by cause."""
    rows = tx.all("SELECT cause, body FROM monitor_states WHERE monitor = ? AND version = ?", (monitor, version))
    return {row.cause: Evidence.decode(bytes(row.body)) for row in rows}


def write_states(tx: WriteTx, monitor: str, version: str, states: dict[str, Evidence]) -> None:
    """Replace the evidence of some causes."""
    tx.executemany(
        "INSERT INTO monitor_states (monitor, version, cause, body) VALUES (?, ?, ?, ?) "
        "ON CONFLICT (monitor, version, cause) DO UPDATE SET body = excluded.body",
        [(monitor, version, cause, evidence.encode()) for cause, evidence in states.items()],
    )


def _window(row: Row) -> Window:
    body: dict[str, Any] = documents.parse(row.body)
    return Window(
        id=row.id,
        monitor=row.monitor,
        kind=row.kind,
        model=row.model,
        version=row.version,
        number=row.number,
        start_at=row.start_at,
        end_at=row.end_at,
        rows=row.rows,
        body=body,
        computed_at=row.computed_at,
    )

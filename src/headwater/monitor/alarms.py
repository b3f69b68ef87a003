"""Alarms: raised with their evidence, once per cause until somebody acknowledges them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from headwater.errors import ConflictError, InvalidInputError, NotFoundError
from headwater.model import documents
from headwater.operation import operation
from headwater.project import Project

from .testing import Outcome
from .values import Alarm, Window

if TYPE_CHECKING:
    from headwater.ledger import Row, Tx, WriteTx

_SELECT = (
    "SELECT a.id, a.monitor, a.kind, a.model, a.version, a.number, a.window_id, a.start_at, a.end_at, a.title, a.body, "
    "a.created_at, k.at AS acknowledged_at, k.person, k.reason "
    "FROM alarms a LEFT JOIN alarm_acknowledgements k ON k.alarm = a.id"
)
_LARGEST_SHOWN = 700.0  # beyond it exp() overflows


@operation("monitor.alarms.list", needs="monitor:read")
def list_alarms(
    project: Project,
    monitor: str | None = None,
    *,
    model: str | None = None,
    open_only: bool = False,
    limit: int = 50,
    before: str | None = None,
) -> list[Alarm]:
    """Return alarms, newest first; ``before`` is the id to continue behind, ``open_only`` drops acknowledged ones."""
    given = {"a.monitor = ?": monitor, "a.model = ?": model, "a.id < ?": before}
    clauses = [clause for clause, value in given.items() if value is not None]
    clauses += ["k.at IS NULL"] if open_only else []
    values = [value for value in given.values() if value is not None]
    where = f" WHERE {' AND '.join(clauses)}" if clauses else ""
    with project.ledger.read() as tx:
        return [_alarm(row) for row in tx.all(f"{_SELECT}{where} ORDER BY a.id DESC LIMIT ?", (*values, limit))]


@operation("monitor.alarms.get", needs="monitor:read")
def get_alarm(project: Project, alarm: str) -> Alarm:
    """Return one alarm by id or ref.

    Raises:
        NotFoundError: there is none of that id.
    """
    with project.ledger.read() as tx:
        return _read(tx, alarm)


@operation("monitor.alarms.acknowledge", needs="monitor:write")
def acknowledge(project: Project, alarm: str, reason: str) -> Alarm:
    """Say that an alarm was seen and why it is settled; its causes may alarm again, from fresh evidence.

    Raises:
        NotFoundError: there is no such alarm.
        ConflictError: somebody acknowledged it before.
        InvalidInputError: the reason is empty.
    """
    if not reason.strip():
        raise InvalidInputError("acknowledging an alarm takes a reason: what was found, or why it does not matter.")
    with project.ledger.write() as tx:
        found = _read(tx, alarm)
        if found.acknowledged_at is not None:
            raise ConflictError(f"the alarm was acknowledged already, by {found.acknowledged_by}: '{found.reason}'.")
        tx.insert(
            "alarm_acknowledgements",
            alarm=found.id,
            person=project.actor.name,
            claimed=int(project.actor.claimed),
            reason=reason,
            at=tx.now,
        )
        tx.executemany(
            "DELETE FROM monitor_states WHERE monitor = ? AND version = ? AND cause = ?",
            [(found.monitor, found.version, cause) for cause in found.causes],
        )
        tx.announce("alarm.acknowledged", found.ref)
        return _read(tx, alarm)


def open_causes(tx: Tx, monitor: str, version: str) -> set[str]:
    """Return the causes that have an alarm about a version which nobody acknowledged yet."""
    rows = tx.all(
        "SELECT c.cause FROM alarm_causes c LEFT JOIN alarm_acknowledgements k ON k.alarm = c.alarm "
        "WHERE c.monitor = ? AND c.version = ? AND k.alarm IS NULL",
        (monitor, version),
    )
    return {row.cause for row in rows}


def raise_alarm(
    tx: WriteTx,
    window: Window,
    fired: Sequence[Outcome],
    *,
    label: str,
    threshold: float,
    sample: Sequence[str],
    baseline: str | None,
) -> Alarm:
    """Record one alarm for what fired in a window, with its evidence, and announce it."""
    causes = [_cause(each, threshold) for each in fired]
    alarm = Alarm(
        id=tx.new_id(),
        monitor=window.monitor,
        kind=window.kind,
        model=window.model,
        version=window.version,
        number=window.number,
        window=window.id,
        start_at=window.start_at,
        end_at=window.end_at,
        title=_title(label, window.kind, fired),
        body={"causes": causes, "sample": list(sample)},
        created_at=tx.now,
        causes=tuple(each.cause for each in fired),
    )
    tx.insert(
        "alarms",
        id=alarm.id,
        monitor=alarm.monitor,
        kind=alarm.kind,
        model=alarm.model,
        version=alarm.version,
        number=alarm.number,
        window_id=alarm.window,
        start_at=alarm.start_at,
        end_at=alarm.end_at,
        title=alarm.title,
        body=documents.dump(alarm.body),
        created_at=alarm.created_at,
    )
    tx.insert_many(
        "alarm_causes",
        ("alarm", "monitor", "version", "cause"),
        [(alarm.id, alarm.monitor, alarm.version, cause) for cause in alarm.causes],
    )
    tx.edge(alarm.ref, "window", f"window:{window.id}")
    tx.edge(alarm.ref, "model", f"modelversion:{window.version}")
    if baseline:
        tx.edge(alarm.ref, "baseline", baseline)
    tx.announce("alarm", alarm.ref)
    return alarm


def sentence(outcome: Outcome) -> str:
    """Return in a sentence what a test found."""
    name = f"'{outcome.feature}'"
    if outcome.test == "drift":
        begun = f", for {outcome.since + 1} windows" if outcome.since else ""
        return f"{name} drifted from training: stability index {outcome.statistic:.3f}, bar {outcome.bar:g}{begun}"
    if outcome.test == "nulls":
        return f"{name} is missing in {outcome.statistic:.1%} of rows, at most {outcome.bar:.1%} expected"
    if outcome.test == "outside":
        return f"{name} is outside what training saw in {outcome.statistic:.1%} of rows, bar {outcome.bar:.1%}"
    if outcome.test == "refused":
        return f"{outcome.statistic:.1%} of rows were refused by the contract, bar {outcome.bar:.1%}"
    direction = "fell to" if outcome.test == "auc" else "rose to"
    return f"{outcome.test} {direction} {outcome.extra['value']:.4f}, limit {outcome.extra['limit']:.4f}"


def _cause(outcome: Outcome, threshold: float) -> dict[str, Any]:
    return {
        "cause": outcome.cause,
        "test": outcome.test,
        "feature": outcome.feature,
        "statistic": outcome.statistic,
        "bar": outcome.bar,
        "e_value": math.exp(min(outcome.log_e, _LARGEST_SHOWN)),
        "log_e": outcome.log_e,
        "threshold": threshold,
        "rows": outcome.rows,
        "since_windows": outcome.since,
        **outcome.extra,
        "sentence": sentence(outcome),
    }


def _title(label: str, kind: str, fired: Sequence[Outcome]) -> str:
    first = max(fired, key=lambda each: each.log_e)
    more = f" (and {len(fired) - 1} more)" if len(fired) > 1 else ""
    return f"{label}: {sentence(first)}{more}"


def _read(tx: Tx, alarm: str) -> Alarm:
    identifier = alarm.removeprefix("alarm:").upper()
    row = tx.one(f"{_SELECT} WHERE a.id = ?", (identifier,))
    if row is None:
        raise NotFoundError(f"there is no alarm '{identifier}'. 'hw watch alarms' lists them.", alarm=identifier)
    return _alarm(row)


def _alarm(row: Row) -> Alarm:
    body = documents.parse(row.body)
    return Alarm(
        id=row.id,
        monitor=row.monitor,
        kind=row.kind,
        model=row.model,
        version=row.version,
        number=row.number,
        window=row.window_id,
        start_at=row.start_at,
        end_at=row.end_at,
        title=row.title,
        body=body,
        created_at=row.created_at,
        causes=tuple(each["cause"] for each in body["causes"]),
        acknowledged_at=row.acknowledged_at,
        acknowledged_by=row.person,
        reason=row.reason,
    )

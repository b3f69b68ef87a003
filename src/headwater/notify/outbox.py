"""The outbox: which announcements concern which notifier, and what became of each message.

A notifier's place in the announcements moves in the transaction that records its messages, so each announcement
makes one message, also across a crash. Sending is at least once: whoever takes a message sets its next attempt
before sending, so that a process that dies in between leaves it to the next. Each carries its id.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from headwater.errors import NotFoundError
from headwater.jobs.facts import attributes_of, matches
from headwater.jobs.scheduler import move_cursor

from .declared import Declared
from .telling import titled
from .values import Delivery

if TYPE_CHECKING:
    from headwater.ledger import Row, Tx, WriteTx

MOST_ATTEMPTS = 6
FIRST_WAIT_US = 10_000_000
SENDING_US = 120_000_000
_PAGE = 500
_COLUMNS = "id, notifier, event, ref, body, status, attempts, next_at, answer, created_at, ended_at"


def cursor_name(notifier: str) -> str:
    """Return the name of a notifier's cursor."""
    return f"notify:{notifier}"


def follow(tx: WriteTx, declared: list[Declared], project: str) -> int:
    """Record the messages that new announcements make and return how many; a new notifier starts at the present."""
    made = 0
    newest = int(tx.value("SELECT COALESCE(MAX(seq), 0) FROM announcements"))
    for each in declared:
        name = cursor_name(each.notifier.name)
        place = tx.value("SELECT seq FROM cursors WHERE name = ?", (name,))
        if place is None:
            move_cursor(tx, name, newest)
            continue
        facts = tx.announcements_since(place, kinds=each.notifier.on, limit=_PAGE)
        for fact in facts:
            attributes = attributes_of(tx, fact)
            if matches(each.notifier.match, attributes):
                body = message_of(project, fact, titled(tx, fact.kind, attributes))
                add(tx, each.notifier.name, fact.seq, body)
                made += 1
        reached = facts[-1].seq if len(facts) == _PAGE else newest
        if reached != place:
            move_cursor(tx, name, reached)
    return made


def anything_to_do(tx: Tx, declared: list[Declared]) -> bool:
    """Tell whether there is a reason to open a write transaction."""
    for each in declared:
        place = tx.value("SELECT seq FROM cursors WHERE name = ?", (cursor_name(each.notifier.name),))
        if place is None or tx.announcements_since(place, kinds=each.notifier.on, limit=1):
            return True
    return tx.value(f"SELECT 1 AS found FROM deliveries WHERE {_due(tx)} LIMIT 1") is not None


def message_of(project: str, fact: Row, attributes: dict[str, Any]) -> dict[str, Any]:
    """Return the body of a message about an announced fact."""
    return {"project": project, "event": fact.kind, "ref": fact.ref, "at": fact.at, "fact": attributes}


def add(tx: WriteTx, notifier: str, seq: int, body: dict[str, Any]) -> str:
    """Record a message to be sent now and return its id."""
    identifier = tx.new_id()
    tx.insert(
        "deliveries",
        id=identifier,
        notifier=notifier,
        seq=seq,
        event=body["event"],
        ref=body["ref"],
        body=msgspec.json.encode(body).decode(),
        status="waiting",
        attempts=0,
        next_at=tx.database_now(),
        answer="",
        created_at=tx.now,
        ended_at=None,
    )
    return identifier


def take(tx: WriteTx) -> Delivery | None:
    """Take the next message that is due, so that nobody else sends it meanwhile; None when none is."""
    row = tx.one(f"SELECT id FROM deliveries WHERE {_due(tx)} ORDER BY next_at, id LIMIT 1")
    if row is None:
        return None
    tx.execute(
        f"UPDATE deliveries SET attempts = attempts + 1, next_at = {tx.clock_sql} + ? WHERE id = ?",
        (SENDING_US, row.id),
    )
    return read(tx, row.id)


def sent(tx: WriteTx, delivery: Delivery, answer: str) -> None:
    """Record that a message was taken."""
    _end(tx, delivery, "sent", answer)


def failed(tx: WriteTx, delivery: Delivery, answer: str, *, final: bool) -> None:
    """Record that a message was not taken: it is tried again later and later, unless that is no use."""
    if final or delivery.attempts >= MOST_ATTEMPTS:
        _end(tx, delivery, "failed", answer)
        return
    wait_us = FIRST_WAIT_US * 4 ** (delivery.attempts - 1)
    tx.execute(
        f"UPDATE deliveries SET next_at = {tx.clock_sql} + ?, answer = ? WHERE id = ? AND status = 'waiting'",
        (wait_us, answer, delivery.id),
    )


def again(tx: WriteTx, identifier: str) -> Delivery:
    """Put a message that ended back into the outbox; raises as ``read``."""
    found = read(tx, identifier)
    tx.execute(
        "UPDATE deliveries SET status = 'waiting', attempts = 0, next_at = ?, ended_at = NULL WHERE id = ?",
        (tx.database_now(), found.id),
    )
    return read(tx, found.id)


def read(tx: Tx, identifier: str) -> Delivery:
    """Return a delivery.

    Raises:
        NotFoundError: there is none of that id.
    """
    row = tx.one(f"SELECT {_COLUMNS} FROM deliveries WHERE id = ?", (identifier,))
    if row is None:
        raise NotFoundError(
            f"there is no delivery '{identifier}'. headwater.notify.list_deliveries gives those there are.",
            delivery=identifier,
        )
    return _delivery(row)


def page(tx: Tx, *, notifier: str | None, status: str | None, before: str | None, limit: int) -> list[Delivery]:
    """Return deliveries, newest first."""
    given = [("notifier = ?", notifier), ("status = ?", status), ("id < ?", before)]
    conditions = [condition for condition, value in given if value is not None]
    where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
    values = [value for _, value in given if value is not None]
    sql = f"SELECT {_COLUMNS} FROM deliveries {where} ORDER BY id DESC LIMIT ?"
    return [_delivery(row) for row in tx.all(sql, [*values, limit])]


def _due(tx: Tx) -> str:
    return f"status = 'waiting' AND next_at <= {tx.clock_sql}"


def _end(tx: WriteTx, delivery: Delivery, status: str, answer: str) -> None:
    tx.execute(
        "UPDATE deliveries SET status = ?, answer = ?, ended_at = ? WHERE id = ? AND status = 'waiting'",
        (status, answer, tx.now, delivery.id),
    )


def _delivery(row: Row) -> Delivery:
    return Delivery(
        id=row.id,
        notifier=row.notifier,
        event=row.event,
        ref=row.ref,
        body=msgspec.json.decode(row.body),
        status=row.status,
        attempts=row.attempts,
        next_at=row.next_at,
        answer=row.answer,
        created_at=row.created_at,
        ended_at=row.ended_at,
    )

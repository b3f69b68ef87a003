"""Sending what waits in the outbox."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import msgspec

from headwater.errors import HeadwaterError, InvalidInputError, RefusedError

from . import outbox
from .declared import Declared, Webhook, declared_notifiers
from .mail import send
from .values import Delivery
from .webhook import post

if TYPE_CHECKING:
    from headwater.project import Project

_log = logging.getLogger("headwater.notify")
_MOST_AT_ONCE = 100


def deliver_pending(project: Project) -> int:
    """Send what new announcements and earlier failures left to send; returns how many messages were taken.

    A notifier hears of what is announced after it was first seen here. A message that the other side cannot take is
    tried six times over about an hour; then it counts as failed, which ``notify.deliveries`` shows.

    Raises:
        InvalidInputError: a notifier in headwater.toml is not as it should be.
    """
    declared = declared_notifiers(project.settings)
    with project.ledger.read() as tx:
        if not outbox.anything_to_do(tx, declared):
            return 0
    with project.ledger.write() as tx:
        outbox.follow(tx, declared, project.name)
    by_name = {each.notifier.name: each for each in declared}
    taken = 0
    for _ in range(_MOST_AT_ONCE):
        with project.ledger.write() as tx:
            delivery = outbox.take(tx)
        if delivery is None:
            break
        taken += _attempt(project, by_name.get(delivery.notifier), delivery)
    return taken


def _attempt(project: Project, declared: Declared | None, delivery: Delivery) -> bool:
    """Try one message and record what came of it; True when it was taken."""
    try:
        if declared is None:
            raise RefusedError("headwater.toml declares this notifier no longer.")
        answer = _send(project, declared, delivery)
    except HeadwaterError as error:
        _log.warning("notifier '%s': %s", delivery.notifier, error.message)
        with project.ledger.write() as tx:
            outbox.failed(tx, delivery, error.message, final=isinstance(error, (RefusedError, InvalidInputError)))
        return False
    with project.ledger.write() as tx:
        outbox.sent(tx, delivery, answer)
    return True


def _send(project: Project, declared: Declared, delivery: Delivery) -> str:
    way = declared.way
    subject, text = words(delivery.body)
    if isinstance(way, Webhook):
        body = msgspec.json.encode({"id": delivery.id, "text": subject, **delivery.body})
        return post(way, body, delivery=delivery.id, timestamp_s=project.clock() // 1_000_000)
    return send(way, subject, text, delivery=delivery.id)


def words(body: dict[str, Any]) -> tuple[str, str]:
    """Return a message about a fact as people read it: one line, and the whole."""
    fact = body.get("fact", {})
    said = next((str(fact[key]) for key in ("title", "message", "reason", "error", "name") if fact.get(key)), "")
    subject = f"[{body['project']}] {body['event']}: {said or body['ref']}"
    lines = [subject, "", f"ref: {body['ref']}", f"'hw trace {body['ref']}' shows where it came from.", ""]
    lines += [f"{key}: {value}" for key, value in sorted(fact.items()) if key not in ("body", "ref", "event")]
    return subject, "\n".join(lines)

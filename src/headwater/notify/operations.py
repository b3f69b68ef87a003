"""What people do with notifiers and their deliveries."""

from __future__ import annotations

from typing import Literal

from headwater.operation import operation
from headwater.project import Project

from . import outbox
from .declared import declared_notifiers, find_declared
from .values import Delivery, Notifier

_MOST = 1000


@operation("notify.list", needs="jobs:read")
def list_notifiers(project: Project) -> list[Notifier]:
    """Return the notifiers of headwater.toml in their order, without their secrets.

    Raises:
        InvalidInputError: one of them cannot be read.
    """
    return [each.notifier for each in declared_notifiers(project.settings)]


@operation("notify.deliveries", needs="jobs:read")
def list_deliveries(
    project: Project,
    notifier: str | None = None,
    status: Literal["waiting", "sent", "failed"] | None = None,
    *,
    limit: int = 100,
    before: str | None = None,
) -> list[Delivery]:
    """Return deliveries, newest first, at most ``limit`` (1 to 1000); ``before``: the last id of the page before."""
    with project.ledger.read() as tx:
        return outbox.page(tx, notifier=notifier, status=status, before=before, limit=max(1, min(limit, _MOST)))


@operation("notify.test", needs="jobs:admin")
def send_test(project: Project, name: str) -> Delivery:
    """Put a test message for a notifier into the outbox and return it; the server sends it within a second.

    Raises:
        NotFoundError: headwater.toml declares no such notifier.
    """
    declared = find_declared(project.settings, name)
    with project.ledger.write() as tx:
        body = {
            "project": project.name,
            "event": "test",
            "ref": f"person:{project.actor.name}",
            "at": tx.now,
            "fact": {"message": f"{project.actor.name} asked for this test message."},
        }
        return outbox.read(tx, outbox.add(tx, declared.notifier.name, 0, body))


@operation("notify.retry", needs="jobs:write")
def retry_delivery(project: Project, delivery: str) -> Delivery:
    """Send a message again, whatever became of it, and return it as it waits.

    Raises:
        NotFoundError: there is no such delivery.
    """
    with project.ledger.write() as tx:
        return outbox.again(tx, delivery)

"""Notify: webhooks and e-mails about what was announced, as headwater.toml asks for.

It follows the announcements like the scheduler does and decides nothing: who should act on a fact
is told, what should run is a trigger's matter.
"""

from __future__ import annotations

from .operations import list_deliveries, list_notifiers, retry_delivery, send_test
from .sending import deliver_pending
from .values import Delivery, Notifier

__all__ = [
    "Delivery",
    "Notifier",
    "deliver_pending",
    "list_deliveries",
    "list_notifiers",
    "retry_delivery",
    "send_test",
]

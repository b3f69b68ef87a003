"""Requests that a version failed to answer: kept as a stream, so that a canary goes back and people see why."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from headwater.errors import InvalidInputError, StorageError
from headwater.events import declare_stream
from headwater.model import ContractError

from .limits import BusyError

if TYPE_CHECKING:
    from concurrent.futures import Future

    from headwater.events import EventLog

    from .deployments import Deployment

_log = logging.getLogger("headwater.serve")
_LONGEST = 500

FAILURES = declare_stream(
    "serve_failures",
    {
        "model": "VARCHAR",
        "version": "VARCHAR",
        "channel": "VARCHAR",
        "occurred_at": "BIGINT",
        "kind": "VARCHAR",
        "message": "VARCHAR",
        "answered_by": "VARCHAR",
    },
)


def is_fault(error: Exception) -> bool:
    """Tell whether an error is a version's own: not the disk's, and not that of a server with too much to do.

    A version that refuses a request which the present one takes is at fault too; who asks must know the other's word.
    """
    return isinstance(error, ContractError) or not isinstance(error, (InvalidInputError, StorageError, BusyError))


def record_failure(
    events: EventLog, deployment: Deployment, error: Exception, now: int, *, answered_by: str = ""
) -> None:
    """Keep that a version failed a request; ``answered_by`` is the version (id) that answered it in its place.

    The caller does not wait for the disk.
    """
    kept = events.append_soon(
        FAILURES.name,
        [
            {
                "model": deployment.model,
                "version": deployment.version.id,
                "channel": deployment.channel,
                "occurred_at": now,
                "kind": type(error).__name__,
                "message": str(error)[:_LONGEST],
                "answered_by": answered_by,
            }
        ],
    )
    kept.add_done_callback(_log_failure)


def _log_failure(done: Future[None]) -> None:
    if done.exception() is not None:
        _log.error("a failed request was not kept: %s", done.exception())

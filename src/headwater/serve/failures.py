"""Requests that a version failed to answer: kept as a stream, so that a canary goes back and people see why."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from headwater.errors import InvalidInputError, StorageError
from headwater.events import declare_stream
from headwater.model import ContractError

from .limits import BusyError, DeadlineError
from .recording import keep_soon

if TYPE_CHECKING:
    from headwater.events import EventLog

    from .deployments import Deployment

_LONGEST = 500
NOT_KEPT = "the text is not kept, as it may quote a masked value"

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
    """Tell whether an error is a version's own: not the disk's, not that of a server with too much to do, and no
    deadline's, which who asks may set as short as they like.

    A version that refuses a request which the present one takes is at fault too; who asks must know the other's word.
    """
    others = (InvalidInputError, StorageError, BusyError, DeadlineError)
    return isinstance(error, ContractError) or not isinstance(error, others)


def record_failure(
    events: EventLog,
    deployment: Deployment,
    error: Exception,
    now: int,
    *,
    answered_by: str = "",
    masked: Sequence[str] = (),
) -> None:
    """Keep that a version failed a request; ``answered_by`` is the version (id) that answered it in its place.

    What the error says may quote values: where there are ``masked`` fields, only its class is kept. The caller does not
    wait for the disk.
    """
    keep_soon(
        events,
        FAILURES.name,
        [
            {
                "model": deployment.model,
                "version": deployment.version.id,
                "channel": deployment.channel,
                "occurred_at": now,
                "kind": type(error).__name__,
                "message": NOT_KEPT if masked else str(error)[:_LONGEST],
                "answered_by": answered_by,
            }
        ],
    )

"""What serving keeps: predictions, refused requests, outcomes as streams; execution records as facts.

``inputs`` and ``outputs`` are canonical MessagePack of the validated row and of the answer (``headwater.canonical``):
a 32-bit float is kept as the 64-bit float of the same value, so its bits are all there. ``left_out`` names the inputs
that were masked, ``*`` those sampled out whole; it is null where all is kept (``keeping.py``). ``caller`` is who asked.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

import msgspec

from headwater.durable import Pace
from headwater.errors import HeadwaterError
from headwater.events import declare_stream

if TYPE_CHECKING:
    from headwater.events import EventLog
    from headwater.model import ContractError, Execution
    from headwater.project import Project

    from .deployments import Deployment

_log = logging.getLogger("headwater.serve")

PREDICTIONS = declare_stream(
    "predictions",
    {
        "prediction": "VARCHAR",
        "batch": "VARCHAR",
        "position": "BIGINT",
        "batch_size": "BIGINT",
        "model": "VARCHAR",
        "version": "VARCHAR",
        "channel": "VARCHAR",
        "occurred_at": "BIGINT",
        "inputs": "BLOB",
        "outputs": "BLOB",
        "execution": "VARCHAR",
        "latency_us": "BIGINT",
        "caller": "VARCHAR",
        "left_out": "VARCHAR",
        "commitment": "VARCHAR",
    },
    order=("prediction",),
)
OUTCOMES = declare_stream(
    "outcomes",
    {"prediction": "VARCHAR", "occurred_at": "BIGINT", "label": "VARCHAR", "source": "VARCHAR"},
    order=("prediction",),
)
REFUSALS = declare_stream(
    "refusals",
    {
        "model": "VARCHAR",
        "version": "VARCHAR",
        "channel": "VARCHAR",
        "occurred_at": "BIGINT",
        "rows": "BIGINT",
        "refused": "BIGINT",
        "problems": "VARCHAR",
        "caller": "VARCHAR",
    },
)
_PROBLEMS_KEPT = 20
_MASKED = "is not what the contract says (the value is masked)"

ROWS_HERE = 256
"""At most so many rows are written by the event loop itself."""

ALONE_S = 0.02
"""A lone request's sync may take so long in the event loop: by a thread it would cost three times the CPU."""


def record_execution(project: Project, execution: Execution) -> str:
    """Return the digest of an execution record, which the ledger holds once however often it is recorded."""
    digest = execution.digest
    with project.ledger.read() as tx:
        known = tx.one("SELECT 1 AS one FROM executions WHERE digest = ?", (digest,))
    if known is None:
        body = msgspec.json.encode(execution, order="deterministic").decode()
        with project.ledger.write() as tx:
            tx.execute(
                "INSERT INTO executions (digest, body, recorded_at) VALUES (?, ?, ?) ON CONFLICT (digest) DO NOTHING",
                (digest, body, tx.now),
            )
    return digest


def record_refusal(
    events: EventLog,
    deployment: Deployment,
    rows: int,
    error: ContractError,
    occurred_at: int,
    caller: str = "",
    masked: Sequence[str] = (),
) -> None:
    """Keep that a request was refused, and for which fields; the caller does not wait for the disk.

    Of ``masked`` fields only that they were wrong is kept: what was wrong quotes the value.
    """
    problems = error.values["problems"]
    short = [
        {"field": name, "what": _MASKED if name in masked else each["what"][:200]}
        for each in problems[:_PROBLEMS_KEPT]
        for name in [_field_of(each["field"], masked)]
    ]
    keep_soon(
        events,
        REFUSALS.name,
        [
            {
                "model": deployment.model,
                "version": deployment.version.id,
                "channel": deployment.channel,
                "occurred_at": occurred_at,
                "rows": rows,
                "refused": len({each["row"] for each in problems}),
                "problems": msgspec.json.encode(short).decode("utf-8", "replace"),
                "caller": caller,
            }
        ],
    )


def keep_soon(events: EventLog, stream: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Append rows for which nobody waits; that they could not be kept is logged, and fails no request."""

    def look(done: Future[None]) -> None:
        if (error := done.exception()) is not None:
            _log.error("%d rows of '%s' were not kept: %s", len(rows), stream, error)

    try:
        events.append_soon(stream, rows).add_done_callback(look)
    except HeadwaterError as error:
        _log.error("%d rows of '%s' were not kept: %s", len(rows), stream, error)


def _field_of(path: str, masked: Sequence[str]) -> str:
    """Return the path of what was wrong; in a masked field, the field alone."""
    return next((name for name in masked if path == name or path.startswith((f"{name}.", f"{name}["))), path)


class SharedWriter:
    """Makes the predictions of requests under way in one event loop durable together.

    Rows that arrive in one turn of the loop are a group. While the disk is quick the loop itself writes the group:
    handing it to a thread and back takes longer than the sync. While it is slow a thread writes, and meanwhile the next
    group gathers.
    """

    def __init__(self, events: EventLog) -> None:
        self._events = events
        self._waiting: list[tuple[Sequence[dict[str, Any]], asyncio.Future[None]]] = []
        self._busy = False
        self._pace = Pace()
        self._pace_alone = Pace(slow_s=ALONE_S)

    def write_alone(self, rows: Sequence[dict[str, Any]]) -> bool:
        """Make the rows durable at once, in the loop, if nobody else writes and it is not likely to take long.

        For a request that is alone: whom the loop keeps waiting meanwhile has not come yet.

        Raises:
            StorageError: the disk failed.
        """
        return not self._busy and self._written_here(rows, self._pace_alone)

    async def write(self, rows: Sequence[dict[str, Any]]) -> None:
        """Return when the rows are durable.

        Raises:
            StorageError: the disk or the database failed.
        """
        loop = asyncio.get_running_loop()
        done = loop.create_future()
        self._waiting.append((rows, done))
        if not self._busy:
            self._busy = True
            loop.call_soon(self._start, loop)
        await done

    def _start(self, loop: asyncio.AbstractEventLoop) -> None:
        group, self._waiting = self._waiting, []
        if not group:
            self._busy = False
            return
        rows = [row for rows, _ in group for row in rows]
        try:
            if self._written_here(rows, self._pace):
                self._busy = False
                _settle(group, None)
                return
            written = self._events.append_soon("predictions", rows)
        except Exception as error:  # noqa: BLE001  # whatever it is, each waiting request must learn of it
            _settle(group, error)
            loop.call_soon(self._start, loop)
            return
        written.add_done_callback(lambda future: loop.call_soon_threadsafe(self._finish, loop, group, future))

    def _written_here(self, rows: Sequence[dict[str, Any]], pace: Pace) -> bool:
        """Write the rows in the loop, if that is likely to be quick; tell whether they were written."""
        if len(rows) > ROWS_HERE or not pace.quick():
            return False
        begun = time.perf_counter()
        if not self._events.append_here("predictions", rows):
            return False
        pace.took(time.perf_counter() - begun)
        return True

    def _finish(
        self,
        loop: asyncio.AbstractEventLoop,
        group: list[tuple[Sequence[dict[str, Any]], asyncio.Future[None]]],
        written: Future[None],
    ) -> None:
        _settle(group, written.exception())
        self._start(loop)


def _settle(group: list[tuple[Sequence[dict[str, Any]], asyncio.Future[None]]], error: BaseException | None) -> None:
    for _, done in group:
        if done.done():  # the client went away
            continue
        if error is None:
            done.set_result(None)
        else:
            done.set_exception(error)

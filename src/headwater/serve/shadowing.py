"""A shadow: a version that computes a copy of what a channel is asked, after the answer was given, for nobody.

It never delays or changes an answer: copies wait in a short queue for one thread, and what does not fit is left out and
counted. What it said is kept beside the ids of the answers, so that the two can be compared row by row.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from headwater import canonical
from headwater.events import declare_stream

from .failures import NOT_KEPT
from .keeping import in_sample
from .recording import keep_soon

if TYPE_CHECKING:
    from headwater.events import EventLog

    from .deployments import Deployment
    from .keeping import Keeping
    from .values import Answer

MOST_WAITING = 256
_log = logging.getLogger("headwater.serve")

SHADOWS = declare_stream(
    "serve_shadows",
    {
        "prediction": "VARCHAR",
        "model": "VARCHAR",
        "version": "VARCHAR",
        "channel": "VARCHAR",
        "occurred_at": "BIGINT",
        "answered_by": "VARCHAR",
        "agrees": "BOOLEAN",
        "outputs": "BLOB",
        "error": "VARCHAR",
        "latency_us": "BIGINT",
        "left_out": "BIGINT",
    },
    order=("prediction",),
)
"""``agrees``: all outputs are the answer's, byte for byte. ``left_out``: requests that did not fit since the last."""

Copy = tuple["Deployment", "Sequence[dict[str, Any]] | bytes", "Answer", "Keeping | None"]
_any_rows = msgspec.json.Decoder(list[dict[str, Any]])


class Shadower:
    """Computes copies of requests in a thread of its own. Safe to use from many threads."""

    def __init__(self, events: EventLog) -> None:
        self._events = events
        self._waiting: queue.Queue[Copy | None] = queue.Queue(MOST_WAITING)
        self._left_out = 0
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def copy(
        self,
        shadow: Deployment,
        rows: Sequence[dict[str, Any]] | bytes,
        answer: Answer,
        keeping: Keeping | None = None,
    ) -> None:
        """Let a shadow compute a request that was answered, some time; returns at once. ``rows`` may be their JSON.

        ``keeping`` is what is kept of the model's predictions; everything where it is None.
        """
        if self._thread is None:
            self._start()
        try:
            self._waiting.put_nowait((shadow, rows, answer, keeping))
        except queue.Full:
            self._left_out += 1

    def close(self) -> None:
        """Compute what waits, then stop."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._waiting.put(None)
            thread.join()

    def _start(self) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="headwater-shadow", daemon=True)
                self._thread.start()

    def _work(self) -> None:
        while (copied := self._waiting.get()) is not None:
            left_out, self._left_out = self._left_out, 0
            try:
                keep_soon(self._events, SHADOWS.name, _computed(*copied, left_out))
            except Exception:  # noqa: BLE001  # a shadow must never end what answers
                _log.exception("what a shadow said could not be kept")


def _computed(
    shadow: Deployment,
    rows: Sequence[dict[str, Any]] | bytes,
    answer: Answer,
    keeping: Keeping | None,
    left_out: int,
) -> list[dict[str, Any]]:
    begun = time.perf_counter_ns()
    error = short = ""
    outputs: list[dict[str, Any] | None] = [None] * len(answer.predictions)
    try:
        given_rows = _any_rows.decode(rows) if isinstance(rows, bytes) else rows
        outputs = [*shadow.loaded.predict(shadow.loaded.contract.validate(given_rows), validated=True)]
    except Exception as failure:  # noqa: BLE001  # a model may raise anything; that it did is what a shadow is for
        error = f"{type(failure).__name__}: {failure}"[:500]
        short = f"{type(failure).__name__}: {NOT_KEPT}"
    masked = keeping is not None and bool(keeping.masked)
    latency_us = (time.perf_counter_ns() - begun) // 1000
    made = []
    for place, (given, output) in enumerate(zip(answer.predictions, outputs, strict=True)):
        said = None if output is None else canonical.encode(output)
        kept = keeping is None or in_sample(given["id"], keeping.sample)
        answered = canonical.encode({name: value for name, value in given.items() if name != "id"})
        made.append(
            {
                "prediction": given["id"],
                "model": shadow.model,
                "version": shadow.version.id,
                "channel": shadow.channel,
                "occurred_at": answer.occurred_at,
                "answered_by": answer.model_version,
                "agrees": said == answered,
                "outputs": said if kept else None,
                "error": short if masked or not kept else error,
                "latency_us": latency_us,
                "left_out": left_out if place == 0 else 0,
            }
        )
    return made

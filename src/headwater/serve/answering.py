"""Answers: validate, compute, and what is to be kept of them before they are given."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from headwater.errors import InvalidInputError
from headwater.ids import new_id

from .deployments import Deployment
from .keeping import Keeping
from .values import Answer

MOST_ROWS = 10_000


class Ask:
    """The validated rows of one request: when what they describe happened, who asks, and until when it is of use."""

    __slots__ = ("caller", "deadline_s", "occurred_at", "rows")

    def __init__(
        self, rows: list[dict[str, Any]], occurred_at: int, caller: str = "", deadline_s: float = float("inf")
    ) -> None:
        self.rows = rows
        self.occurred_at = occurred_at
        self.caller = caller
        self.deadline_s = deadline_s  # time.monotonic


class Done:
    """The answer to one request, and the prediction events that must be durable before it is given."""

    __slots__ = ("answer", "events")

    def __init__(self, answer: Answer, events: list[dict[str, Any]]) -> None:
        self.answer = answer
        self.events = events

    @property
    def ids(self) -> list[str]:
        """The ids of its predictions."""
        return [each["prediction"] for each in self.events]


def validate(deployment: Deployment, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows as the contract wants them.

    Raises:
        ContractError: lists every problem of every row.
        InvalidInputError: there is no row, or more than ``MOST_ROWS``.
    """
    if not 0 < len(rows) <= MOST_ROWS:
        raise InvalidInputError(
            f"a request holds 1 to {MOST_ROWS:,} rows, not {len(rows):,}: send more in several requests.",
            rows=len(rows),
        )
    return deployment.loaded.contract.validate(rows)


def compute(deployment: Deployment, asks: Sequence[Ask], now: int, keeping: Keeping) -> list[Done]:
    """Return the answers to some requests, whose rows are computed as one batch in the order given.

    Each event names the batch and its place in it, so that a replay repeats what was computed.
    """
    rows = asks[0].rows if len(asks) == 1 else [row for ask in asks for row in ask.rows]
    start = time.perf_counter_ns()
    outputs = deployment.loaded.predict(rows, validated=True)
    latency_us = (time.perf_counter_ns() - start) // 1000
    ids = [new_id(now) for _ in rows]
    common = {
        "batch": ids[0],
        "batch_size": len(rows),
        "model": deployment.model,
        "version": deployment.version.id,
        "channel": deployment.channel,
        "execution": deployment.execution,
        "latency_us": latency_us,
    }
    done, first = [], 0
    for ask in asks:
        after = first + len(ask.rows)
        mine = range(first, after)
        events = [
            {
                **common,
                "prediction": ids[at],
                "position": at,
                "occurred_at": ask.occurred_at,
                "caller": ask.caller,
                **keeping.row(ids[at], rows[at], outputs[at]),
            }
            for at in mine
        ]
        answer = Answer(
            id=ids[first],
            model=deployment.model,
            version=deployment.label,
            model_version=deployment.version.id,
            channel=deployment.channel,
            occurred_at=ask.occurred_at,
            predictions=[{"id": ids[at], **outputs[at]} for at in mine],
        )
        done.append(Done(answer, events))
        first = after
    return done

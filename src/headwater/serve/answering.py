"""One answer: validate, compute, and what is to be kept of it before it is given."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from headwater import canonical
from headwater.errors import InvalidInputError
from headwater.ids import new_id

from .deployments import Deployment
from .values import Answer

MOST_ROWS = 10_000


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


def compute(
    deployment: Deployment, rows: list[dict[str, Any]], occurred_at: int, now: int
) -> tuple[Answer, list[dict[str, Any]]]:
    """Return the answer to validated rows, and the prediction events that must be durable before it is given."""
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
        "occurred_at": occurred_at,
        "execution": deployment.execution,
        "latency_us": latency_us,
    }
    events = [
        {
            **common,
            "prediction": ids[position],
            "position": position,
            "inputs": canonical.encode(rows[position]),
            "outputs": canonical.encode(outputs[position]),
        }
        for position in range(len(rows))
    ]
    answer = Answer(
        id=ids[0],
        model=deployment.model,
        version=deployment.label,
        model_version=deployment.version.id,
        channel=deployment.channel,
        occurred_at=occurred_at,
        predictions=[{"id": each, **output} for each, output in zip(ids, outputs, strict=True)],
    )
    return answer, events

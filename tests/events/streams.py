"""Streams that the tests of events declare, and the stores they are tested on."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from headwater.events import EventLog, declare_stream, open_events
from headwater.project import LocalProject

POINTS = declare_stream(
    "test_points",
    {"run": "VARCHAR", "step": "BIGINT", "occurred_at": "BIGINT", "value": "DOUBLE"},
    order=("run", "step"),
)
ALL_TYPES = declare_stream(
    "test_types", {"words": "VARCHAR", "number": "BIGINT", "real": "DOUBLE", "flag": "BOOLEAN", "raw": "BLOB"}
)


def now_us() -> int:
    return time.time_ns() // 1000


def point(step: int, value: float | None = 0.5, run: str = "r", occurred_at: int | None = None) -> dict[str, Any]:
    return {"run": run, "step": step, "value": value, "occurred_at": occurred_at}


def points(steps: Sequence[int], run: str = "r") -> list[dict[str, Any]]:
    return [point(step, run=run) for step in steps]


class Stores(msgspec.Struct, frozen=True):
    """A project whose event log a test opens as often as it likes, as other processes would."""

    project: LocalProject

    @property
    def folder(self) -> Path:
        return self.project.state / "events"

    @property
    def postgres(self) -> bool:
        return self.project.ledger.dialect == "postgres"

    def open(self) -> EventLog:
        return open_events(self.folder, self.project.ledger, self.project.objects, now_us)

    def steps(self, log: EventLog | None = None) -> list[int]:
        """Return the steps that a query finds, in order: one too many or too few shows."""
        reader = log or self.open()
        try:
            return [row["step"] for row in reader.rows("test_points", order="step")]
        finally:
            if log is None:
                reader.close()

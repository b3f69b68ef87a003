"""The live figures of a rollout: what its version and the present one answered and failed, and alarms about it."""

from __future__ import annotations

from typing import Any

from headwater.project import Project
from headwater.serve.failures import FAILURES
from headwater.serve.recording import PREDICTIONS

from .controller_rules import Live, Side

_BEHIND_US = 86_400_000_000
"""Requests that tell of something older than a day before are not counted: what is older is not looked through."""

_ANSWERS = (
    "SELECT version, count(DISTINCT batch), quantile_disc(latency_us, 0.95) FROM predictions "
    "WHERE model = ? AND channel = ? AND recorded_at >= ? GROUP BY version"
)
_FAILED = (
    "SELECT version, count(*) FROM serve_failures WHERE model = ? AND channel = ? AND recorded_at >= ? GROUP BY version"
)


def live_figures(
    project: Project, *, model: str, channel: str, canary: str, stable: str, since: int, begun: int
) -> Live:
    """Return what two versions (ids) did on a channel since a moment, and alarms about the first since it ``begun``.

    A request counts once, however many rows it had. Where the log samples, so do these counts of answers.
    """
    asked = (model, channel, since)
    start = since - _BEHIND_US
    answers = {
        version: (int(count), int(p95))
        for version, count, p95 in _rows(project, _ANSWERS, asked, PREDICTIONS.name, start)
    }
    failures = {version: int(count) for version, count in _rows(project, _FAILED, asked, FAILURES.name, start)}
    with project.ledger.read() as tx:
        fired = tx.all(
            "SELECT id FROM alarms WHERE model = ? AND version = ? AND created_at >= ? ORDER BY id",
            (model, canary, begun),
        )
    return Live(
        canary=_side(canary, answers, failures),
        stable=_side(stable, answers, failures),
        alarms=tuple(f"alarm:{row.id}" for row in fired),
    )


def _rows(project: Project, sql: str, asked: tuple[Any, ...], stream: str, start: int) -> list[tuple[Any, ...]]:
    return project.events.query(sql, list(asked), streams=[stream], start=start).fetchall()


def _side(version: str, answers: dict[str, tuple[int, int]], failures: dict[str, int]) -> Side:
    count, p95 = answers.get(version, (0, None))
    return Side(answers=count, failures=failures.get(version, 0), p95_us=p95)

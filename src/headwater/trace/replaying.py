"""Replaying."""

from __future__ import annotations

from collections.abc import Sequence

from headwater.operation import operation
from headwater.project import Project

from .values import ReplayReport


@operation("trace.replay", needs="trace:read")
def replay(project: Project, predictions: Sequence[str], *, tolerance: float = 1e-5) -> ReplayReport:
    """Compute predictions again, each in its recorded batch and position, and compare the bytes."""
    raise NotImplementedError


@operation("trace.sample", needs="trace:read")
def sample_predictions(project: Project, n: int, *, seed: int = 0, model: str | None = None) -> list[str]:
    """Return ids of predictions over all model versions that served, every version represented."""
    raise NotImplementedError

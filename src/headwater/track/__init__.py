"""Runs: their parameters, metric series, artefacts, tags, log lines, and the code and environment they had.

A run is written by ``track`` (a block of the user's own code), by flows, or by other rooms. Points and lines are
events; of each series the ledger keeps a summary that is derived from the events and can be rebuilt.
"""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager
from types import ModuleType
from typing import Any

from headwater.project import Project, current_project

from .artefacts import add_artefact, list_artefacts
from .capture import capture_environment
from .comparing import compare_runs
from .listing import list_runs
from .liveness import heartbeat
from .logs import log_lines, read_log
from .metrics import fold_metrics, log_metrics, rebuild_summaries
from .runs import end_run, get_run, log_params, set_tags, start_run
from .series import metric_keys, metric_series
from .shelving import archive_runs
from .tracking import ActiveRun, track
from .values import (
    Artefact,
    Comparison,
    LogLine,
    MetricSummary,
    Point,
    Row,
    Run,
    RunPage,
    Series,
    SeriesPoint,
    Status,
)

__all__ = [
    "ActiveRun",
    "Artefact",
    "Comparison",
    "LogLine",
    "MetricSummary",
    "Point",
    "Row",
    "Run",
    "RunPage",
    "Series",
    "SeriesPoint",
    "Status",
    "add_artefact",
    "archive_runs",
    "capture_environment",
    "compare_runs",
    "end_run",
    "fold_metrics",
    "get_run",
    "heartbeat",
    "here",
    "list_artefacts",
    "list_runs",
    "log_lines",
    "log_metrics",
    "log_params",
    "metric_keys",
    "metric_series",
    "read_log",
    "rebuild_summaries",
    "set_tags",
    "start_run",
    "track",
]


def here(
    name: str, params: dict[str, Any] | None = None, *, project: Project | None = None, **options: Any
) -> AbstractContextManager[ActiveRun]:
    """Return a block that is a run of the current project: ``with hw.track("fit", {"depth": 8}) as run: ...``."""
    return track(project or current_project(), name, params, **options)


class _CallableModule(ModuleType):
    """This package under the name ``hw.track``, which is also the function: importing a package binds its name."""

    def __call__(self, name: str, params: dict[str, Any] | None = None, **options: Any) -> Any:
        return here(name, params, **options)


sys.modules[__name__].__class__ = _CallableModule

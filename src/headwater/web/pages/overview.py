"""The first page: the loop and its health."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from headwater.check import quarantine
from headwater.lake import list_datasets
from headwater.model import get_model_version, list_models
from headwater.monitor import list_alarms
from headwater.project import Project
from headwater.release import list_release_requests, release_log
from headwater.track import list_runs

from ..rendering import page
from .common import colour_of, read

_RUNS = 50


async def show(request: Request) -> Response:
    """GET /: what there is, what waits for somebody, what happened last."""

    def look(project: Project) -> dict[str, Any]:
        models = list_models(project)
        runs = list_runs(project, limit=_RUNS)
        return {
            "datasets": list_datasets(project),
            "models": models,
            "places": [(name, get_model_version(project, each)) for m in models for name, each in m.channels.items()],
            "runs": runs.runs,
            "more_runs": bool(runs.after),
            "waiting": list_release_requests(project, status="waiting"),
            "alarms": list_alarms(project, open_only=True, limit=10),
            "quarantined": quarantine(project),
            "releases": release_log(project, limit=6),
        }

    found = await read(request, look)
    return page(request, "overview.html", title="Overview", colour_of=colour_of, **found)

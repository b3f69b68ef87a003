"""Serving: what answers, the traffic, and single predictions."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from headwater.model import get_model_version
from headwater.project import Project
from headwater.serve import count_predictions, get_prediction, list_predictions, list_served

from ..rendering import page
from .common import asked, read

_SHOWN = 50


async def show(request: Request) -> Response:
    """GET /serving: what answers on which channel, predictions a day, and the newest ones."""
    model, before = asked(request, "model") or None, asked(request, "before") or None

    def look(project: Project) -> dict[str, Any]:
        return {
            "served": list_served(project),
            "counts": count_predictions(project, model),
            "newest": list_predictions(project, model, limit=_SHOWN, before=before),
        }

    found = await read(request, look)
    numbers = {each.version: f"{each.model} v{each.number}" for each in found["served"]}
    for version in {each.version for each in (*found["counts"], *found["newest"])} - set(numbers):
        numbers[version] = await _label(request, version)
    rows = [
        {
            "day": datetime.fromtimestamp(each.start_at / 1e6, UTC).strftime("%Y-%m-%d"),
            "predictions": each.predictions,
            "p99": each.latency_p99_us / 1000,
            "version": numbers[each.version],
        }
        for each in found["counts"]
    ]
    return page(request, "serving.html", title="Serving", charts=bool(rows), rows=rows, numbers=numbers, **found)


async def prediction_page(request: Request) -> Response:
    """GET /serving/{prediction}: its inputs, outputs, outcome and execution."""
    identifier = request.path_params["prediction"]

    def look(project: Project) -> dict[str, Any]:
        prediction = get_prediction(project, identifier)
        return {"prediction": prediction, "version": get_model_version(project, prediction.version)}

    found = await read(request, look)
    return page(request, "prediction.html", title="Prediction", **found)


async def _label(request: Request, version: str) -> str:
    return await read(request, lambda project: get_model_version(project, version).label)

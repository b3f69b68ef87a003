"""A search over parameters: its trials as parallel coordinates, what mattered, and the table."""

from __future__ import annotations

import math
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from headwater.errors import MissingExtraError
from headwater.flow.tuning import Search, list_trials, read_space
from headwater.flow.tuning.searching import parameter_importance
from headwater.flow.tuning.spaces import Dimension
from headwater.project import Project

from ..rendering import page
from .common import bars, colour_of, lines, read

_DRAWN = 500


async def search_page(request: Request) -> Response:
    """GET /runs/{run}/trials: the trials of a search."""
    identifier = request.path_params["run"]

    def look(project: Project) -> tuple[Search, dict[str, float], str]:
        found = list_trials(project, identifier)
        try:
            return found, parameter_importance(project, identifier), ""
        except MissingExtraError as error:
            return found, {}, error.message

    found, shares, missing = await read(request, look)
    sign = -1 if found.maximize else 1
    ranked = sorted(found.trials, key=lambda t: (t.value is None, sign * (t.value or 0.0), t.number))
    finished = [each for each in found.trials if each.value is not None]
    history = [{"trial": each.number, found.objective: each.value} for each in finished]
    return page(
        request,
        "search.html",
        title=f"Search of {found.flow}",
        search=found,
        ranked=ranked[:_DRAWN],
        names=list(found.space),
        coordinates=_coordinates(found) if len(finished) > 1 else None,
        history=lines(history, "trial", found.objective, title=found.objective) if len(finished) > 1 else None,
        importance=bars([{"parameter": k, "share": v} for k, v in shares.items()], "parameter", "share", "share")
        if shares
        else None,
        missing=missing,
        charts=len(finished) > 1,
        colour_of=colour_of,
    )


def _coordinates(found: Search) -> dict[str, Any]:
    """Return a chart with an upright axis for each parameter and the objective, and a line for each trial."""
    dimensions = read_space(found.space)
    trials = [each for each in found.trials if each.value is not None][:_DRAWN]
    values = [each.value for each in trials if each.value is not None]
    least, greatest = min(values), max(values)
    rows = []
    for trial in trials:
        assert trial.value is not None
        for name, dimension in dimensions.items():
            value = trial.params.get(name)
            rows.append({"axis": name, "place": _place(dimension, value), "is": str(value), "trial": trial.number,
                         found.objective: trial.value})  # fmt: skip
        share = (trial.value - least) / ((greatest - least) or 1.0)
        rows.append({"axis": found.objective, "place": share, "is": f"{trial.value:.5g}", "trial": trial.number,
                     found.objective: trial.value})  # fmt: skip
    order = [*dimensions, found.objective]
    return {
        "data": {"values": rows},
        "mark": {"type": "line", "point": True, "strokeWidth": 1.4, "opacity": 0.7},
        "encoding": {
            "x": {"field": "axis", "type": "nominal", "sort": order, "title": None, "axis": {"labelAngle": 0}},
            "y": {
                "field": "place",
                "type": "quantitative",
                "title": "from least to greatest",
                "axis": {"labels": False},
            },
            "color": {"field": found.objective, "type": "quantitative", "scale": {"reverse": not found.maximize}},
            "detail": {"field": "trial"},
            "tooltip": [{"field": "trial"}, {"field": "axis"}, {"field": "is"}, {"field": found.objective}],
        },
        "height": 260,
    }


def _place(dimension: Dimension, value: Any) -> float:
    """Return where a value lies between the least and the greatest of its dimension, 0 to 1."""
    if dimension.choices:
        last = len(dimension.choices) - 1
        return dimension.choices.index(value) / last if value in dimension.choices and last else 0.5
    if dimension.high == dimension.low or not isinstance(value, int | float):
        return 0.5
    if dimension.log:
        return math.log(value / dimension.low) / math.log(dimension.high / dimension.low)
    return float((value - dimension.low) / (dimension.high - dimension.low))

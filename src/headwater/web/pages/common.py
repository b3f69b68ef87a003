"""What the pages share: running blocking reads off the event loop, and paging."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from headwater.api.identity import project_of
from headwater.project import Project

T = TypeVar("T")


async def read(request: Request, look: Callable[[Project], T]) -> T:
    """Return what ``look`` reads of the project, as the person who asks, in a thread of its own."""
    project = project_of(request)
    return await run_in_threadpool(look, project)


def asked(request: Request, name: str, default: str = "") -> str:
    """Return a query parameter, trimmed."""
    return request.query_params.get(name, default).strip()


def colour_of(status: str) -> str:
    """Return the badge colour of a status."""
    good = {"passed", "done", "released", "open", "approve", "ok"}
    bad = {"failed", "killed", "cancelled", "rejected", "closed", "reject", "alarm"}
    return "good" if status in good else "bad" if status in bad else "warn"


def bars(rows: list[dict[str, Any]], x: str, y: str, title: str, *, colour: str | None = None) -> dict[str, Any]:
    """Return a Vega-Lite bar chart of rows."""
    encoding: dict[str, Any] = {
        "x": {"field": x, "type": "nominal", "sort": None, "title": None, "axis": {"labelAngle": 0, "labelLimit": 90}},
        "y": {"field": y, "type": "quantitative", "title": title},
        "tooltip": [{"field": x}, {"field": y, "format": ".4g"}],
    }
    if colour:
        encoding["color"] = {"field": colour, "type": "nominal", "title": None}
        encoding["xOffset"] = {"field": colour}
    return {
        "data": {"values": rows},
        "mark": {"type": "bar", "cornerRadiusEnd": 2},
        "encoding": encoding,
        "height": 180,
    }


def lines(
    rows: list[dict[str, Any]],
    x: str,
    y: str,
    *,
    x_type: str = "quantitative",
    colour: str | None = None,
    title: str = "",
) -> dict[str, Any]:
    """Return a Vega-Lite line chart of rows, with points where there are few."""
    encoding: dict[str, Any] = {
        "x": {"field": x, "type": x_type, "title": None if x_type == "temporal" else x},
        "y": {"field": y, "type": "quantitative", "title": title or None, "scale": {"zero": False}},
        "tooltip": [{"field": x, "type": x_type}, {"field": y, "format": ".5g"}],
    }
    if colour:
        encoding["color"] = {"field": colour, "type": "nominal", "title": None}
        encoding["tooltip"].append({"field": colour})
    return {
        "data": {"values": rows},
        "mark": {"type": "line", "point": len(rows) <= 120, "strokeWidth": 1.8},
        "encoding": encoding,
        "height": 200,
    }

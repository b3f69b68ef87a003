"""Monitoring: windows, drift, quality, alarms."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from headwater.api.identity import project_of
from headwater.monitor import acknowledge, get_alarm, list_alarms, list_monitors, list_windows
from headwater.project import Project

from ..forms import checked_form
from ..rendering import page
from .common import read

_WINDOWS = 120


async def show(request: Request) -> Response:
    """GET /monitoring: each monitor's windows as charts, and the alarms."""

    def look(project: Project) -> dict[str, Any]:
        monitors = list_monitors(project)
        return {
            "monitors": monitors,
            "windows": {m.name: list_windows(project, m.name, limit=_WINDOWS) for m in monitors},
            "alarms": list_alarms(project, limit=50),
        }

    found = await read(request, look)
    drawn = {name: _charts(windows) for name, windows in found["windows"].items()}
    return page(request, "monitoring.html", title="Monitoring", charts=True, drawn=drawn, **found)


async def alarm_page(request: Request) -> Response:
    """GET /monitoring/alarms/{alarm}: what fired, with its evidence."""
    identifier = request.path_params["alarm"]
    alarm = await read(request, lambda project: get_alarm(project, identifier))
    return page(request, "alarm.html", title=alarm.title, alarm=alarm)


async def acknowledge_form(request: Request) -> Response:
    """POST /monitoring/alarms/{alarm}/acknowledge: settle it, with a reason."""
    form = await checked_form(request)
    identifier = request.path_params["alarm"]
    await run_in_threadpool(acknowledge, project_of(request), identifier, form.get("reason", ""))
    return RedirectResponse(f"/monitoring/alarms/{identifier}", 303)


def _charts(windows: list[Any]) -> list[tuple[str, dict[str, Any]]]:
    """Return the charts of a monitor: drift by column, performance against its reference."""
    drift = [
        {"start": _day(w.start_at), "column": c["name"], "psi": c["psi"], "version": f"v{w.number}"}
        for w in windows
        if w.kind == "drift"
        for c in w.body.get("columns", [])
        if c.get("psi") is not None
    ]
    measured = [
        {"start": _day(w.start_at), "metric": name, "value": each["value"], "version": f"v{w.number}"}
        for w in windows
        if w.kind == "performance"
        for name, each in w.body.get("metrics", {}).items()
        if name == "auc" and each.get("value") is not None
    ]
    found = []
    if drift:
        found.append(("Drift of each column (stability index)", _heat(drift)))
    if measured:
        found.append(("AUC once outcomes arrived", _trend(measured)))
    return found


def _heat(rows: list[dict[str, Any]]) -> dict[str, Any]:
    # A square root keeps what is near the bar apart from what is near nothing, whatever the worst column does.
    greatest = max(0.5, *(row["psi"] for row in rows))
    return {
        "data": {"values": rows},
        "mark": "rect",
        "height": 40 + 22 * len({row["column"] for row in rows}),
        "encoding": {
            "x": {"field": "start", "type": "ordinal", "title": None, "axis": {"labelAngle": 0, "labelOverlap": True}},
            "y": {"field": "column", "type": "nominal", "title": None},
            "color": {
                "field": "psi",
                "type": "quantitative",
                "title": "index",
                "scale": {"type": "sqrt", "domain": [0, greatest]},
            },
            "tooltip": [
                {"field": "start"},
                {"field": "column"},
                {"field": "psi", "format": ".3f"},
                {"field": "version"},
            ],
        },
    }


def _trend(rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "data": {"values": rows},
        "mark": {"type": "line", "point": True},
        "height": 200,
        "encoding": {
            "x": {"field": "start", "type": "ordinal", "title": None, "axis": {"labelAngle": 0, "labelOverlap": True}},
            "y": {"field": "value", "type": "quantitative", "title": None, "scale": {"zero": False}},
            "color": {"field": "version", "type": "nominal", "title": None},
            "tooltip": [{"field": "start"}, {"field": "value", "format": ".4f"}, {"field": "version"}],
        },
    }


def _day(at_us: int) -> str:
    return datetime.fromtimestamp(at_us / 1e6, UTC).strftime("%Y-%m-%d")

"""Charts of what was measured of a model version."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

Spec = dict[str, Any]
_FORMAT = ".4g"


def interval_row(name: str, interval: dict[str, float], **more: Any) -> dict[str, Any]:
    """Return a row of an interval chart; an end that is not finite is drawn at the value."""
    value = interval["value"]
    low, high = (end if math.isfinite(end) else value for end in (interval["low"], interval["high"]))
    return {"name": name, "value": value, "low": low, "high": high, **more}


def drawable(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows whose value is a number that can be drawn."""
    return [each for each in rows if each["value"] is not None and math.isfinite(each["value"])]


def intervals(rows: Sequence[dict[str, Any]], title: str, *, mark: float | None = None, colour: str = "") -> Spec:
    """Return dots with their intervals, one line each; ``mark`` draws an upright line at a value."""
    encoding: Spec = {
        "y": {"field": "name", "type": "nominal", "title": None, "sort": None, "axis": {"labelLimit": 190}},
        "tooltip": [{"field": "name"}, *({"field": each, "format": _FORMAT} for each in ("value", "low", "high"))],
    }
    if colour:
        encoding["color"] = {"field": colour, "type": "nominal", "title": None, "legend": {"orient": "top"}}
        encoding["yOffset"] = {"field": colour}
    x = {"field": "low", "type": "quantitative", "title": title, "scale": {"zero": False}}
    dot = {"x": {"field": "value", "type": "quantitative"}}
    layers: list[Spec] = [
        {
            "mark": {"type": "rule", "strokeWidth": 3, "opacity": 0.6},
            "encoding": {**encoding, "x": x, "x2": {"field": "high"}},
        },
        {"mark": {"type": "point", "filled": True, "size": 90, "opacity": 1}, "encoding": {**encoding, **dot}},
    ]
    if mark is not None:
        upright = {"x": {"datum": mark, "type": "quantitative"}}
        layers.insert(0, {"mark": {"type": "rule", "strokeDash": [4, 4], "aria": False}, "encoding": upright})
    height = 40 + (26 if not colour else 44) * len({each["name"] for each in rows})
    return {"data": {"values": list(rows)}, "height": height, "layer": layers}


def calibration(bins: Sequence[dict[str, Any]], chance: bool) -> Spec:
    """Return what came against what was said, with intervals, and the line on which both are equal."""
    low = min(min(each["predicted"], each["low"]) for each in bins) if not chance else 0.0
    high = max(max(each["predicted"], each["high"]) for each in bins) if not chance else 1.0
    scale = {"domain": [low, high], "nice": False}
    x = {"field": "predicted", "type": "quantitative", "title": "what it said", "scale": scale}
    y = {"field": "observed", "type": "quantitative", "title": "what came", "scale": scale}
    tips = [{"field": each, "format": _FORMAT} for each in ("predicted", "observed", "low", "high", "rows")]
    ends = {"x": x, "y": {**y, "field": "low"}, "y2": {"field": "high"}}
    return {
        "height": 260,
        "layer": [
            {
                "data": {"values": [{"predicted": low, "observed": low}, {"predicted": high, "observed": high}]},
                "mark": {"type": "line", "strokeDash": [4, 4], "strokeWidth": 1, "opacity": 0.7},
                "encoding": {"x": x, "y": y},
            },
            {
                "data": {"values": list(bins)},
                "mark": {"type": "rule", "strokeWidth": 2, "opacity": 0.6},
                "encoding": ends,
            },
            {
                "data": {"values": list(bins)},
                "mark": {"type": "point", "filled": True, "size": 80, "opacity": 1},
                "encoding": {"x": x, "y": y, "tooltip": tips},
            },
        ],
    }


def staleness(points: Sequence[dict[str, Any]], metric: str) -> Spec:
    """Return the metric by how old a version was, a line for each version, with intervals."""
    rows = [
        {
            **{name: each[name] for name in ("label", "age_days", "start", "end")},
            **interval_row("", each["metric"]),
        }
        for each in points
    ]
    x = {"field": "age_days", "type": "quantitative", "title": "days since its training data ended"}
    colour = {"field": "label", "type": "nominal", "title": None, "legend": {"orient": "top"}}
    tips = [{"field": each} for each in ("label", "start", "end", "age_days")]
    y = {"field": "value", "type": "quantitative", "title": metric, "scale": {"zero": False}}
    return {
        "data": {"values": drawable(rows)},
        "height": 260,
        "encoding": {"x": x, "color": colour, "tooltip": [*tips, {"field": "value", "format": _FORMAT}]},
        "layer": [
            {
                "mark": {"type": "rule", "strokeWidth": 2, "opacity": 0.5},
                "encoding": {"y": {**y, "field": "low"}, "y2": {"field": "high"}},
            },
            {"mark": {"type": "line", "strokeWidth": 1.8, "point": {"filled": True, "size": 60}}, "encoding": {"y": y}},
        ],
    }

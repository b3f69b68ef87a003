"""Trace: the lineage of anything, drawn by the server as SVG."""

from __future__ import annotations

from typing import Any, Literal

from starlette.requests import Request
from starlette.responses import Response

from headwater.trace import trace

from ..graph import draw, told
from ..rendering import page
from .common import asked, read


async def show(request: Request) -> Response:
    """GET /trace?ref=…: what a thing came from, or with down=1 what came of it."""
    ref, down = asked(request, "ref"), asked(request, "down") == "1"
    values: dict[str, Any] = {"ref": ref, "down": down, "graph": None, "svg": ""}
    if ref:
        direction: Literal["up", "down"] = "down" if down else "up"
        graph = await read(request, lambda project: trace(project, ref, direction, depth=12))
        values |= {"graph": graph, "svg": draw(graph)}
    return page(request, "trace.html", title="Trace", told=told, **values)

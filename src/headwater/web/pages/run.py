"""One run: its parameters and metrics, its steps as they go, what they left, their log; ending it."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, urlencode

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from headwater.api.identity import project_of
from headwater.errors import NotFoundError
from headwater.flow import cancel_run, get_progress, list_notebooks, list_spans, list_tasks, read_card
from headwater.flow.code_kept import find_run_code
from headwater.project import Project
from headwater.track import Run, get_run, list_artefacts, metric_series, read_log

from ..cards import POLICY, shown_cards
from ..forms import checked_form
from ..rendering import page
from ..timeline import draw
from .common import asked, colour_of, lines, read

_CHARTS = 12
_POINTS = 600  # of each curve
_TASKS = 50
_LINES = 300


async def run_page(request: Request) -> Response:
    """GET /runs/{run}: everything about one run; what moves is fetched again by the page itself while it runs."""
    identifier = request.path_params["run"]
    chosen = _chosen(request)

    def look(project: Project) -> dict[str, Any]:
        run = get_run(project, identifier)
        return {
            **_moving(project, run, chosen),
            "cards": shown_cards(project, run.id) if run.kind == "flow" else [],
            "notebooks": list_notebooks(project, run.id) if run.kind == "flow" else [],
            "code": find_run_code(project, run.id) if run.code else None,
        }

    found = await read(request, look)
    run = found["run"]
    # A run that goes on may draw its first curve in a moment.
    charts = run.status == "running" or bool(found["drawn"]) or any(c.info.kind == "chart" for c in found["cards"])
    return page(request, "run.html", title=run.name, charts=charts, colour_of=colour_of, **found)


async def moving_part(request: Request) -> Response:
    """GET /runs/{run}/moving: the part of the page that changes while the run goes on."""
    identifier, chosen = request.path_params["run"], _chosen(request)
    found = await read(request, lambda project: _moving(project, get_run(project, identifier), chosen))
    return page(request, "run_moving.html", title="", colour_of=colour_of, **found)


def _chosen(request: Request) -> dict[str, str]:
    return {name: asked(request, name) for name in ("outcome", "step", "after")}


def _moving(project: Project, run: Run, chosen: dict[str, str]) -> dict[str, Any]:
    """Return what changes while a run goes on."""
    found: dict[str, Any] = {
        "run": run,
        "log": read_log(project, run.id, limit=_LINES),
        "flow": None,
        "drawn": _curves(project, run),
    }
    kept = {name: value for name, value in chosen.items() if value}
    found["address"] = f"/runs/{run.id}/moving" + (f"?{urlencode(kept)}" if kept else "")
    if run.kind != "flow":
        return found
    after = int(chosen["after"]) if chosen["after"].isdigit() else None
    tasks = list_tasks(project, run.id, outcome=chosen["outcome"], step=chosen["step"], after=after, limit=_TASKS)
    spans = list_spans(project, run.id)
    # From the first step on: a run of a remembered flow took its time with the memory.
    start = min((span.started_at for span in spans), default=run.started_at)
    end = max((span.ended_at for span in spans), default=start)
    filters: dict[str, Any] = {name: kept[name] for name in ("outcome", "step") if name in kept}
    found["flow"] = {
        "progress": get_progress(project, run.id),
        "tasks": tasks.tasks,
        "next": f"?{urlencode({**filters, 'after': tasks.after})}" if tasks.after is not None else "",
        "timeline": draw(spans, start, end) if spans else None,
        "chosen": chosen,
    }
    return found


def _curves(project: Project, run: Run) -> list[tuple[str, dict[str, Any]]]:
    """Return a chart of each metric that has more than one point."""
    keys = [key for key, each in sorted(run.metrics.items()) if each.points > 1][:_CHARTS]
    found = []
    for key in keys:
        points = metric_series(project, run.id, key, _POINTS).points
        rows = [{"step": point.step, "value": point.value} for point in points]
        found.append((key, lines(rows, "step", "value", title=key)))
    return found


async def cancel_form(request: Request) -> Response:
    """POST /runs/{run}/cancel: ask a running flow to end."""
    form = await checked_form(request)
    identifier = request.path_params["run"]
    await run_in_threadpool(cancel_run, project_of(request), identifier, form.get("reason", "").strip(), wait_s=2.0)
    return RedirectResponse(f"/runs/{quote(identifier)}", 303)


async def card_body(request: Request) -> Response:
    """GET /cards/{task}/{position}: an image or HTML that a step left, under a policy that runs nothing."""
    task, position = request.path_params["task"], request.path_params["position"]
    card = await read(request, lambda project: read_card(project, task, position))
    media = f"{card.media}; charset=utf-8" if card.media.startswith("text/") else card.media
    return Response(card.data, media_type=media, headers={"Content-Security-Policy": POLICY})


async def artefact_body(request: Request) -> Response:
    """GET /runs/{run}/artefacts/{name}: a file that a run left, to be saved."""
    identifier, name = request.path_params["run"], request.path_params["name"]

    def look(project: Project) -> bytes:
        run = get_run(project, identifier)
        found = next((each for each in list_artefacts(project, run.id) if each.name == name), None)
        if found is None:
            raise NotFoundError(f"run {run.id} left no artefact '{name}'.", run=run.id, name=name)
        return project.objects.get(found.digest)

    data = await read(request, look)
    saved_as = quote(name.rpartition("/")[2] or "artefact")
    headers = {"Content-Disposition": f"attachment; filename*=UTF-8''{saved_as}", "Content-Security-Policy": POLICY}
    return Response(data, media_type="application/octet-stream", headers=headers)

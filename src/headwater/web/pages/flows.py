"""Flows: what there is, the picture of one, and the notebooks that steps ran."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response

from headwater.errors import HeadwaterError, NotFoundError
from headwater.flow import draw_flow, get_notebook, list_flows, list_notebooks, show_flow
from headwater.flow.drawing import as_svg
from headwater.project import Project
from headwater.track import get_run, list_runs

from ..notebook import shown_cells
from ..rendering import page
from .common import asked, colour_of, read

_RUNS = 20


async def list_page(request: Request) -> Response:
    """GET /flows: the flows of the project, with what each takes."""
    found = await read(request, list_flows)
    return page(request, "flows.html", title="Flows", flows=found)


async def flow_page(request: Request) -> Response:
    """GET /flows/show?flow=…: a flow's parameters, its picture and its newest runs."""
    name, every_step = asked(request, "flow"), asked(request, "steps") == "1"

    def look(project: Project) -> dict[str, Any]:
        info = show_flow(project, name)
        picture, problem = None, ""
        try:
            picture = draw_flow(project, info.ref, every_step=every_step)
        except NotFoundError:
            raise
        except HeadwaterError as error:  # a flow that needs arguments, or whose code does not import, has a page too
            problem = error.message
        runs = list_runs(project, filter=f"flow = '{info.ref}'", limit=_RUNS).runs
        return {"flow": info, "picture": picture, "problem": problem, "runs": runs}

    found = await read(request, look)
    svg = Markup(as_svg(found["picture"])) if found["picture"] else ""
    return page(
        request, "flow.html", title=found["flow"].name, svg=svg, every_step=every_step, colour_of=colour_of, **found
    )


async def notebook_page(request: Request) -> Response:
    """GET /runs/{run}/notebooks/{task}: the executed notebook of a step, read-only."""
    run, task, text = await _notebook(request)
    name = next(each.step for each in run["notebooks"] if each.task == task)
    return page(request, "notebook.html", title=name, run=run["run"], step=name, task=task, cells=shown_cells(text))


async def notebook_file(request: Request) -> Response:
    """GET /runs/{run}/notebooks/{task}.ipynb: the file itself, to keep."""
    _, task, text = await _notebook(request)
    name = PurePosixPath(f"{task}.ipynb").name
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(text.encode(), media_type="application/x-ipynb+json", headers=headers)


async def _notebook(request: Request) -> tuple[dict[str, Any], str, str]:
    task = request.path_params["task"]

    def look(project: Project) -> dict[str, Any]:
        run = get_run(project, request.path_params["run"])
        notebooks = list_notebooks(project, run.id)
        if task not in {each.task for each in notebooks}:
            raise NotFoundError(f"the run {run.id} has no notebook of a task '{task}'.", task=task)
        return {"run": run, "notebooks": notebooks, "text": get_notebook(project, task)}

    found = await read(request, look)
    return found, task, found["text"]

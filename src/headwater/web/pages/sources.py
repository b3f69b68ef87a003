"""Sources of data: what is declared, how the last pulls went, and pulling now."""

from __future__ import annotations

from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from headwater.api.identity import project_of
from headwater.ingest import history, list_sources, show_source
from headwater.jobs import list_jobs, submit
from headwater.project import Project

from ..forms import checked_form
from ..rendering import page
from .common import asked, read

_PULLS = 50
_JOBS = 200
_COLOURS = {"published": "good", "quarantined": "warn", "committed": "warn", "overtaken": "warn", "failed": "bad"}


async def list_page(request: Request) -> Response:
    """GET /sources: the declared sources, their last pull and the next, and the newest pulls of all."""

    def look(project: Project) -> dict[str, Any]:
        return {"sources": list_sources(project), "pulls": history(project, limit=_PULLS)}

    return page(request, "sources.html", title="Sources", colours=_COLOURS, **await read(request, look))


async def source_page(request: Request) -> Response:
    """GET /sources/{source}: one source, its pulls with what went wrong, and a form to pull it now."""
    name, before = request.path_params["source"], asked(request, "before") or None

    def look(project: Project) -> dict[str, Any]:
        jobs = [job for job in list_jobs(project, limit=_JOBS) if job.operation == "ingest.pull"]
        waiting = [job for job in jobs if job.arguments.get("name") == name and job.status in ("queued", "running")]
        return {
            "source": show_source(project, name),
            "pulls": history(project, name, limit=_PULLS, before=before),
            "waiting": waiting,
        }

    return page(request, "source.html", title=name, colours=_COLOURS, most=_PULLS, **await read(request, look))


async def pull_form(request: Request) -> Response:
    """POST /sources/{source}/pull: queue a pull, which the server's worker runs as whoever asked."""
    form = await checked_form(request)
    name = request.path_params["source"]
    given = {key.removeprefix("parameter-"): value for key, value in form.items() if key.startswith("parameter-")}
    arguments = {"name": name, "parameters": given}
    # One attempt: whoever pressed the button sees the error and decides.
    await run_in_threadpool(submit, project_of(request), "ingest.pull", arguments, attempts=1)
    return RedirectResponse(f"/sources/{name}", 303)

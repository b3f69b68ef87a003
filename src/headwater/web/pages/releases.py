"""Releases: what each channel points to and demands, what waits, what was where when and why; deciding."""

from __future__ import annotations

from typing import Any, Literal

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from headwater.api.identity import project_of
from headwater.model import get_model_version
from headwater.project import Project
from headwater.release import (
    approve,
    get_release,
    get_release_request,
    list_channels,
    list_release_requests,
    list_rollouts,
    reject,
    release_log,
    request_release,
    review_version,
    rollback,
)

from ..forms import checked_form
from ..rendering import page
from .common import asked, colour_of, read

_RELEASES = 50
_REQUESTS = 30


async def releases_page(request: Request) -> Response:
    """GET /releases: what waits, what each channel points to and demands, and what was where when."""
    at, before = asked(request, "at") or None, asked(request, "before") or None
    requests_before = asked(request, "requests_before") or None

    def look(project: Project) -> dict[str, Any]:
        return {
            "waiting": list_release_requests(project, status="waiting"),
            "rollouts": list_rollouts(project, status="open"),
            "states": [each for each in list_channels(project) if each.release or each.gates or each.approvals],
            "requests": list_release_requests(project, limit=_REQUESTS, before=requests_before),
            "releases": release_log(project, at=at, limit=_RELEASES, before=None if at else before),
        }

    found = await read(request, look)
    return page(
        request,
        "releases.html",
        title="Releases",
        at=at or "",
        colour_of=colour_of,
        more_releases=_next(found["releases"], _RELEASES, "before") if not at else "",
        more_requests=_next(found["requests"], _REQUESTS, "requests_before"),
        **found,
    )


async def release_page(request: Request) -> Response:
    """GET /releases/log/{release}: one release with its approvals and what each gate found; and the way back."""
    identifier = request.path_params["release"]

    def look(project: Project) -> dict[str, Any]:
        made = get_release(project, identifier)
        [newest] = release_log(project, made.model, made.channel, limit=1)
        return {
            "made": made,
            "in_force": newest.id == made.id,
            "version": get_model_version(project, made.version),
            "before": get_model_version(project, made.previous) if made.previous else None,
        }

    found = await read(request, look)
    made = found["made"]
    title = f"{made.model}@{made.channel} → v{made.number}"
    return page(request, "release.html", title=title, colour_of=colour_of, **found)


async def request_page(request: Request) -> Response:
    """GET /releases/{request}: the gates, what they looked at, and approve or reject with a reason."""
    identifier = request.path_params["request"]

    def look(project: Project) -> dict[str, Any]:
        asked_for = get_release_request(project, identifier)
        before = get_model_version(project, asked_for.replaces) if asked_for.replaces else None
        return {"asked": asked_for, "version": get_model_version(project, asked_for.version), "before": before}

    found = await read(request, look)
    title = f"{found['asked'].model} v{found['asked'].number} → {found['asked'].channel}"
    return page(request, "request.html", title=title, colour_of=colour_of, **found)


async def decide_form(request: Request) -> Response:
    """POST /releases/{request}/decide: approve or reject, with a reason."""
    form = await checked_form(request)
    act = approve if form.get("decision") == "approve" else reject
    identifier = request.path_params["request"]
    await run_in_threadpool(act, project_of(request), identifier, form.get("reason", ""))
    return RedirectResponse(f"/releases/{identifier}", 303)


async def request_release_form(request: Request) -> Response:
    """POST /models/{model}/{version}/request: ask that a channel point to this version."""
    form = await checked_form(request)
    ref = f"{request.path_params['model']}@{request.path_params['version']}"
    made = await run_in_threadpool(
        request_release, project_of(request), ref, form.get("channel", ""), form.get("reason", "")
    )
    return RedirectResponse(f"/releases/{made.id}", 303)


async def review_form(request: Request) -> Response:
    """POST /models/{model}/{version}/review: say what one thinks of a version; moves nothing."""
    form = await checked_form(request)
    model, version = request.path_params["model"], request.path_params["version"]
    decision: Literal["approve", "reject"] = "approve" if form.get("decision") == "approve" else "reject"
    await run_in_threadpool(review_version, project_of(request), f"{model}@{version}", decision, form.get("reason", ""))
    return RedirectResponse(f"/models/{model}/{version}#reviews", 303)


async def rollback_form(request: Request) -> Response:
    """POST /models/{model}/rollback/{channel}: put back what was there before."""
    form = await checked_form(request)
    model, channel = request.path_params["model"], request.path_params["channel"]

    def act(project: Project) -> None:
        rollback(project, model, channel, to=form.get("to") or None, reason=form.get("reason", ""))

    await run_in_threadpool(act, project_of(request))
    return RedirectResponse(f"/models/{model}", 303)


def _next(shown: list[Any], limit: int, name: str) -> str:
    """Return the link to the next page; empty where this one was not full."""
    return f"/releases?{name}={shown[-1].id}" if len(shown) == limit else ""

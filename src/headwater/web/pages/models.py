"""Models: versions with their evidence, releases, and deciding on a request."""

from __future__ import annotations

from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from headwater.api.identity import project_of
from headwater.evaluate import list_evidence
from headwater.model import channels, get_model, get_model_version, list_model_versions, list_models
from headwater.project import Project
from headwater.release import (
    approve,
    get_release_request,
    list_release_requests,
    reject,
    release_log,
    request_release,
    rollback,
)

from ..forms import checked_form
from ..rendering import page
from .common import asked, colour_of, read

_EVALUATIONS = 4


async def list_page(request: Request) -> Response:
    """GET /models: the models and what their channels point to."""

    def look(project: Project) -> list[tuple[Any, dict[str, Any], Any]]:
        rows = []
        for model in list_models(project):
            newest = list_model_versions(project, model.name, limit=1)
            places = {name: get_model_version(project, each) for name, each in model.channels.items()}
            rows.append((model, places, newest[0] if newest else None))
        return rows

    return page(request, "models.html", title="Models", models=await read(request, look))


async def model_page(request: Request) -> Response:
    """GET /models/{model}: its versions and its releases."""
    name = request.path_params["model"]

    def look(project: Project) -> dict[str, Any]:
        before = int(asked(request, "before") or 0) or None
        return {
            "model": get_model(project, name),
            "versions": list_model_versions(project, name, limit=50, before=before),
            "where": {each.id: channel for channel, each in channels(project, name).items()},
            "releases": release_log(project, name, limit=20),
            "requests": list_release_requests(project, name, limit=20),
        }

    return page(request, "model.html", title=name, colour_of=colour_of, **await read(request, look))


async def version_page(request: Request) -> Response:
    """GET /models/{model}/{version}: contract, evidence with intervals, slices, parity, files."""
    ref = f"{request.path_params['model']}@{request.path_params['version']}"

    def look(project: Project) -> dict[str, Any]:
        version = get_model_version(project, ref)
        return {
            "version": version,
            "evidence": list_evidence(project, version.ref),
            "places": [name for name, each in channels(project, version.model).items() if each.id == version.id],
        }

    found = await read(request, look)
    return page(
        request,
        "model_version.html",
        title=found["version"].label,
        charts=True,
        **_measured(found["evidence"]),
        **found,
    )


async def releases_page(request: Request) -> Response:
    """GET /releases: what waits, and what was in production when."""
    at = asked(request, "at") or None

    def look(project: Project) -> dict[str, Any]:
        return {
            "waiting": list_release_requests(project, status="waiting"),
            "requests": list_release_requests(project, limit=30),
            "releases": release_log(project, at=at, limit=50),
        }

    return page(
        request, "releases.html", title="Releases", at=at or "", colour_of=colour_of, **await read(request, look)
    )


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


async def rollback_form(request: Request) -> Response:
    """POST /models/{model}/rollback/{channel}: put back what was there before."""
    form = await checked_form(request)
    model, channel = request.path_params["model"], request.path_params["channel"]

    def act(project: Project) -> None:
        rollback(project, model, channel, to=form.get("to") or None, reason=form.get("reason", ""))

    await run_in_threadpool(act, project_of(request))
    return RedirectResponse(f"/models/{model}", 303)


def _measured(evidence: list[Any]) -> dict[str, Any]:
    """Return the newest evaluations side by side: their windows, a row per metric, and the AUCs for the chart."""
    chosen = [e for e in evidence if e.kind == "evaluation" and isinstance(e.body.get("metrics"), dict)][:_EVALUATIONS]
    windows = [str(each.body.get("window", "")) for each in chosen]
    metrics = [
        {name: found for name, found in each.body["metrics"].items() if isinstance(found, dict)} for each in chosen
    ]
    names = list(dict.fromkeys(name for each in metrics for name in each))
    return {
        "windows": windows,
        "measured": [(name, [each.get(name) for each in metrics]) for name in names],
        "auc": [{"window": w, **each["auc"]} for w, each in zip(windows, metrics, strict=True) if "auc" in each],
    }

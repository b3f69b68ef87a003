"""Models: versions with their evidence, and their releases."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from headwater.evaluate import list_evidence
from headwater.evaluate.words import card_words
from headwater.model import channels, get_model, get_model_version, list_model_versions, list_models
from headwater.project import Project
from headwater.release import list_release_requests, list_reviews, release_log

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
            "reviews": list_reviews(project, version.id),
            "words": card_words(project, version.id).words,
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

"""Who relies on a model: those who are registered, and those who were seen to ask."""

from __future__ import annotations

from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from headwater.api.identity import project_of
from headwater.model import get_model
from headwater.project import Project
from headwater.serve.rehearsal import list_callers, list_consumers, register_consumer, remove_consumer

from ..forms import checked_form
from ..rendering import page
from .common import asked, read


async def consumers_page(request: Request) -> Response:
    """GET /models/{model}/consumers: of one channel, production unless ``?channel=`` says another."""
    name = request.path_params["model"]
    channel = asked(request, "channel") or "production"

    def look(project: Project) -> dict[str, Any]:
        model = get_model(project, name)
        registered = list_consumers(project, name, channel=channel)
        seen = list_callers(project, name, channel=channel)
        return {
            "model": model,
            "consumers": [(each, [caller for caller in seen if caller.consumer == each.name]) for each in registered],
            "strangers": [caller for caller in seen if caller.consumer is None],
        }

    found = await read(request, look)
    return page(request, "consumers.html", title="Consumers", channel=channel, **found)


async def register_form(request: Request) -> Response:
    """POST /models/{model}/consumers: register somebody, or replace what was registered."""
    form = await checked_form(request)
    model, channel = request.path_params["model"], form.get("channel") or "production"

    def act(project: Project) -> None:
        register_consumer(
            project,
            model,
            form.get("name", ""),
            channel=channel,
            callers=_words(form.get("callers", "")),
            reads=_words(form.get("reads", "")),
            contact=form.get("contact", ""),
        )

    await run_in_threadpool(act, project_of(request))
    return RedirectResponse(f"/models/{model}/consumers?channel={channel}", 303)


async def remove_form(request: Request) -> Response:
    """POST /models/{model}/consumers/remove: forget a registered consumer."""
    form = await checked_form(request)
    model, channel = request.path_params["model"], form.get("channel") or "production"
    await run_in_threadpool(remove_consumer, project_of(request), model, form.get("name", ""), channel=channel)
    return RedirectResponse(f"/models/{model}/consumers?channel={channel}", 303)


def _words(text: str) -> tuple[str, ...]:
    return tuple(each.strip() for each in text.split(",") if each.strip())

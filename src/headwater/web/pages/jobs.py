"""Jobs and what makes them: what waits and runs, the triggers with their next times, what runs ask a person."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, urlencode

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from headwater.api.identity import project_of
from headwater.errors import HeadwaterError
from headwater.flow import approve_run, list_questions, list_streams, reject_run, show_flow
from headwater.flow.finding import Parameter
from headwater.jobs import (
    Trigger,
    cancel_job,
    count_jobs,
    fire_trigger,
    get_job,
    get_pauses,
    list_jobs,
    list_triggers,
    pause_jobs,
    pause_trigger,
    resume_jobs,
    retry_job,
)
from headwater.jobs.filling import holes
from headwater.jobs.triggers import find_trigger
from headwater.jobs.values import OPEN
from headwater.operation import get_operation
from headwater.project import Project

from ..forms import checked_form
from ..rendering import page
from .common import asked, read

_PAGE = 50
_COLOURS = {"done": "good", "failed": "bad", "cancelled": "bad"}
_FIELD = "p-"


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """A field of the form that runs a trigger now."""

    name: str
    kind: str
    value: str
    required: bool


async def list_page(request: Request) -> Response:
    """GET /jobs: jobs, newest first, a page at a time, with what is paused and what waits for an answer."""
    found = await read(request, lambda project: _listed(project, request))
    return page(request, "jobs.html", title="Jobs", **found)


async def moving_part(request: Request) -> Response:
    """GET /jobs/moving: the part of the list that changes by itself."""
    found = await read(request, lambda project: _listed(project, request))
    return page(request, "jobs_moving.html", title="", **found)


async def job_page(request: Request) -> Response:
    """GET /jobs/{job}: one job, with what came of it."""
    found = await read(request, lambda project: get_job(project, request.path_params["job"]))
    arguments = msgspec.json.format(msgspec.json.encode(found.arguments, enc_hook=str), indent=2).decode()
    result = msgspec.json.format(msgspec.json.encode(found.result, enc_hook=str), indent=2).decode()
    run = found.result.get("id") if isinstance(found.result, dict) and found.operation == "flow.run" else None
    return page(
        request, "job.html", title=found.subject, job=found, arguments=arguments, result=result, run=run,
        colours=_COLOURS, going=found.status in OPEN,
    )  # fmt: skip


async def job_form(request: Request) -> Response:
    """POST /jobs/{job}/cancel and /retry: cancel a job, or try it again."""
    await checked_form(request)
    job = request.path_params["job"]
    act = cancel_job if request.url.path.endswith("/cancel") else retry_job
    await run_in_threadpool(act, project_of(request), job)
    return RedirectResponse(f"/jobs/{quote(job)}", 303)


async def pause_form(request: Request) -> Response:
    """POST /jobs/pause and /jobs/resume: begin no more jobs, or of one flow; let them go on."""
    form = await checked_form(request)
    flow, what = form.get("flow", "").strip(), form.get("operation", "").strip()
    if request.url.path.endswith("/pause"):
        reason = form.get("reason", "").strip()
        await run_in_threadpool(pause_jobs, project_of(request), flow, what, reason=reason)
    else:
        await run_in_threadpool(resume_jobs, project_of(request), flow, what)
    return RedirectResponse("/jobs", 303)


async def triggers_page(request: Request) -> Response:
    """GET /triggers: what makes jobs, when each is due next, and the streams."""

    def look(project: Project) -> dict[str, Any]:
        return {"triggers": list_triggers(project), "streams": list_streams(project)}

    return page(request, "triggers.html", title="Triggers", **await read(request, look))


async def trigger_page(request: Request) -> Response:
    """GET /triggers/{trigger}: one trigger, its last jobs, and a form that runs it now with parameters."""
    name = request.path_params["trigger"]

    def look(project: Project) -> dict[str, Any]:
        trigger = find_trigger(project, name)
        shown = next((each for each in list_triggers(project) if each.name == name), trigger)
        return {
            "trigger": shown,
            "fields": _fields(project, trigger),
            "jobs": list_jobs(project, limit=20, trigger=name),
        }

    return page(request, "trigger.html", title=name, colours=_COLOURS, **await read(request, look))


async def fire_form(request: Request) -> Response:
    """POST /triggers/{trigger}/fire: make its job now, as whoever asks, with the fields that were filled in."""
    form = await checked_form(request)
    given = {key[len(_FIELD) :]: _value(text) for key, text in form.items() if key.startswith(_FIELD) and text.strip()}
    job = await run_in_threadpool(fire_trigger, project_of(request), request.path_params["trigger"], given)
    return RedirectResponse(f"/jobs/{job.id}", 303)


async def pause_trigger_form(request: Request) -> Response:
    """POST /triggers/{trigger}/pause and /resume."""
    await checked_form(request)
    name, paused = request.path_params["trigger"], request.url.path.endswith("/pause")
    await run_in_threadpool(pause_trigger, project_of(request), name, paused=paused)
    return RedirectResponse(f"/triggers/{quote(name)}", 303)


async def decide_form(request: Request) -> Response:
    """POST /questions/{question}: say yes or no to what a run waits for."""
    form = await checked_form(request)
    decide = approve_run if form.get("decision") == "approve" else reject_run
    question = f"question:{request.path_params['question']}"
    found = await run_in_threadpool(decide, project_of(request), question, form.get("reason", ""))
    return RedirectResponse(f"/runs/{found.run}", 303)


def _listed(project: Project, request: Request) -> dict[str, Any]:
    chosen = {name: value for name in ("status", "trigger", "before") if (value := asked(request, name))}
    status: Any = chosen.get("status")
    jobs = list_jobs(project, status, limit=_PAGE, before=chosen.get("before"), trigger=chosen.get("trigger"))
    kept = {name: value for name, value in chosen.items() if name != "before"}
    return {
        "jobs": jobs,
        "counts": count_jobs(project),
        "pauses": get_pauses(project),
        "questions": list_questions(project, status="waiting", limit=20),
        "chosen": chosen,
        "address": f"/jobs/moving?{urlencode(chosen)}",
        "older": f"/jobs?{urlencode({**kept, 'before': jobs[-1].id})}" if len(jobs) == _PAGE else "",
        "colours": _COLOURS,
    }


def _fields(project: Project, trigger: Trigger) -> list[Field]:
    """Return a field for each parameter: of the flow's signature, else of the operation's; and for each hole."""
    given = trigger.arguments
    parameters: list[Parameter] = []
    if trigger.flow:
        try:
            parameters = list(show_flow(project, trigger.flow).parameters)
        except HeadwaterError:
            parameters = []
    else:
        signature = get_operation(trigger.operation).signature().parameters
        parameters = [Parameter(name=name, required=required) for name, (_, required, _) in signature.items()]
    asked_for = holes(given)
    fields = [Field(name=name, kind="", value="", required=True) for name in sorted(asked_for)]
    for parameter in parameters:
        if holes(given.get(parameter.name)):
            continue  # its hole is asked for
        preset = msgspec.json.encode(given[parameter.name]).decode() if parameter.name in given else parameter.default
        required = parameter.required and parameter.name not in given
        fields.append(Field(name=parameter.name, kind=parameter.annotation, value=_shown(preset), required=required))
    return fields


def _shown(preset: str) -> str:
    """Return a preset as a person types it: a text without its quotes."""
    value = _value(preset)
    return value if isinstance(value, str) and preset[:1] in "\"'" else preset


def _value(text: str) -> Any:
    """Return what was typed: JSON where it is JSON, else text."""
    try:
        return msgspec.json.decode(text.encode())
    except msgspec.DecodeError:
        return text.strip("'") if text[:1] == "'" else text

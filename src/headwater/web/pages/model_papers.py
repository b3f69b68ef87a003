"""What a model version comes with for people: its card, which they may write into, and its readiness."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from headwater.api.identity import project_of
from headwater.evaluate import find_evidence, model_card
from headwater.evaluate.words import TITLES, card_words, write_card
from headwater.model import ModelVersion, get_model_version
from headwater.project import Project
from headwater.trace.describing import KINDS
from headwater.trace.readiness import model_readiness, record_readiness
from headwater.trace.readiness.values import Readiness, Score

from ..cards import markdown
from ..forms import checked_form
from ..rendering import page
from .common import bars, read

_SHOWN_NEXT = 3


def version_ref(request: Request) -> str:
    """Return the ref of the model version that an address names."""
    return f"{request.path_params['model']}@{request.path_params['version']}"


async def card_page(request: Request) -> Response:
    """GET /models/{model}/{version}/card: the card, and a form for the words that only people can say."""

    def look(project: Project) -> dict[str, Any]:
        version = get_model_version(project, version_ref(request))
        return {
            "version": version,
            "text": model_card(project, version.id, address=""),
            "words": card_words(project, version.id),
        }

    found = await read(request, look)
    # The page has the title as its heading already.
    body = markdown(found.pop("text").partition("\n")[2])
    # HTML in the words is shown as text, so every table in here is one of the card's own or of Markdown's.
    scrolled = str(body).replace("<table>", '<div class="scroll"><table>').replace("</table>", "</table></div>")
    return page(
        request, "card.html", title=f"Card of {found['version'].label}", body=Markup(scrolled), titles=TITLES, **found
    )


async def card_file(request: Request) -> Response:
    """GET /models/{model}/{version}/card.md: the card as a Markdown file."""

    def look(project: Project) -> tuple[ModelVersion, str]:
        version = get_model_version(project, version_ref(request))
        return version, model_card(project, version.id, address=str(request.base_url).rstrip("/"))

    version, text = await read(request, look)
    headers = {"Content-Disposition": f'attachment; filename="{version.model}-v{version.number}.md"'}
    return Response(text, media_type="text/markdown; charset=utf-8", headers=headers)


async def card_form(request: Request) -> Response:
    """POST /models/{model}/{version}/card: write the author's words."""
    form = await checked_form(request)
    words = {name: form[name].replace("\r\n", "\n").strip() for name in TITLES if name in form}
    await run_in_threadpool(write_card, project_of(request), version_ref(request), words)
    return RedirectResponse(_address(request, "card"), 303)


async def readiness_page(request: Request) -> Response:
    """GET /models/{model}/{version}/readiness: every test, level and phase as the ledger shows them now."""

    def look(project: Project) -> dict[str, Any]:
        found = model_readiness(project, version_ref(request))
        recorded = find_evidence(project, f"modelversion:{found.version}", "readiness")
        return {"found": found, "recorded": recorded, "version": get_model_version(project, found.version)}

    shown = await read(request, look)
    found: Readiness = shown["found"]
    return page(
        request,
        "readiness.html",
        title=f"Readiness of {found.model}",
        charts=True,
        chart_spec=_chart(found),
        acts=[found.test(name) for name in found.next[:_SHOWN_NEXT]],
        by_section=_by_section(found),
        traced=KINDS.keys(),
        **shown,
    )


async def readiness_form(request: Request) -> Response:
    """POST /models/{model}/{version}/readiness: record the score as evidence."""
    await checked_form(request)
    await run_in_threadpool(record_readiness, project_of(request), version_ref(request))
    return RedirectResponse(_address(request, "readiness"), 303)


def _address(request: Request, what: str) -> str:
    return f"/models/{request.path_params['model']}/{request.path_params['version']}/{what}"


def _by_section(found: Readiness) -> list[tuple[str, float, list[Score]]]:
    return [
        (each.name, each.points, [test for test in found.tests if test.section == each.name]) for each in found.sections
    ]


def _chart(found: Readiness) -> dict[str, Any]:
    rows = [{"section": each.name, "points": each.points} for each in found.sections]
    spec = bars(rows, "section", "points", "points of 7")
    spec["encoding"]["y"]["scale"] = {"domain": [0, 7]}
    return spec

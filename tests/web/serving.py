"""The whole server in a thread of the test, and what the tests look at in its pages."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from axe_playwright_python.sync_playwright import Axe

from headwater.jobs import list_jobs
from headwater.lake import list_datasets
from headwater.model import list_models
from headwater.monitor import list_alarms
from headwater.project import LocalProject, Project
from headwater.release import list_release_requests, release_log
from headwater.serve import list_predictions
from headwater.track import list_runs
from tests.projects import running

if TYPE_CHECKING:
    from playwright.sync_api import Page


@dataclass(frozen=True, slots=True)
class Site:
    """A server's address and the project it shows."""

    url: str
    project: LocalProject


@contextmanager
def site(project: Project) -> Iterator[Site]:
    """Serve pages, API and serving of a project on a free loopback port; it is closed with the server."""
    from headwater.web.app import build_server

    assert isinstance(project, LocalProject)
    with running(build_server(project, workers=0)) as address:
        yield Site(url=address, project=project)


def addresses(project: Project) -> dict[str, str]:
    """Return a path for every page that the project can show, by a name for the test."""
    runs = list_runs(project, limit=3).runs
    searches = list_runs(project, filter="kind = 'search'").runs
    prediction = list_predictions(project, "delay", limit=1)[0]
    assert list_datasets(project) and list_models(project)
    asked = {request.channel: request for request in list_release_requests(project, status="waiting")}
    return {
        "overview": "/",
        "data": "/data",
        "dataset": "/data/flights",
        "data-found": "/data?q=hour",
        "diff": "/data/flights/diff",
        "diff-rows": "/data/flights/diff?a=v1&b=v2&key=distance,hour,dep_delay",
        "usage": "/data/flights/usage",
        "version": "/data/flights/v2",
        "quarantined": "/data/flights/v3",
        "sources": "/sources",
        "source": "/sources/stations",
        "source-with-parameters": "/sources/partner",
        "runs": "/runs",
        "runs-filtered": "/runs?filter=metrics.auc+%3E+0.7&order=-metrics.auc",
        "search": f"/runs/{searches[0].id}/trials",
        "compare": "/runs/compare?" + "&".join(f"run={run.id}" for run in runs),
        "run": f"/runs/{runs[0].id}",
        "flows": "/flows",
        "flow": "/flows/show?flow=train",
        "jobs": "/jobs",
        "job": f"/jobs/{list_jobs(project)[0].id}",
        "triggers": "/triggers",
        "trigger": "/triggers/retrain-on-alarm",
        "models": "/models",
        "model": "/models/delay",
        "model-consumers": "/models/delay/consumers",
        "model-version": "/models/delay/v2",
        "model-evidence": "/models/delay/v2/evidence",
        "model-card": "/models/delay/v2/card",
        "model-readiness": "/models/delay/v1/readiness",
        "releases": "/releases",
        "release": f"/releases/log/{release_log(project, limit=1)[0].id}",
        "request": f"/releases/{asked['production'].id}",
        "serving": "/serving",
        "prediction": f"/serving/{prediction.id}",
        "monitoring": "/monitoring",
        "alarm": f"/monitoring/alarms/{list_alarms(project)[0].id}",
        "trace": f"/trace?ref=prediction:{prediction.id}",
        "trace-empty": "/trace",
        "sign-in": "/sign-in",
    }


def drawn(page: Page) -> int:
    """Wait until each chart of the page is drawn and return how many there are; fails on one that could not be."""
    page.wait_for_function("[...document.querySelectorAll('figure[data-spec]')].every(f => f.querySelector('svg'))")
    failed = page.locator("figure.failed").all_text_contents()
    assert failed == [], failed
    return page.locator("figure.drawn").count()


def violations(page: Page) -> list[str]:
    """Return what axe finds wrong with the page as it stands: the rule and where."""
    found: dict[str, Any] = Axe().run(page).response
    return [
        f"{each['id']}: {node['target']} {node['failureSummary']}"
        for each in found["violations"]
        for node in each["nodes"]
    ]

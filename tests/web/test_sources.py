from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from headwater.ingest import history
from headwater.jobs import Worker, get_job, list_jobs
from tests.web.serving import Site

if TYPE_CHECKING:
    from playwright.sync_api import Page


def test_the_sources_page_tells_how_pulls_went_and_when_the_next_is(shown: Site, browser_page: Page) -> None:
    browser_page.goto(f"{shown.url}/data")
    browser_page.get_by_role("link", name="Sources").click()
    text = browser_page.inner_text("main")

    assert "stations-every-morning" in text and "unchanged" in text
    assert "failed" in text and "UA" in text
    assert browser_page.get_by_role("link", name="stations@v2").count() >= 1


def test_the_button_queues_a_pull_that_a_worker_runs_as_whoever_pressed_it(
    fresh: Callable[[], Site], browser_page: Page
) -> None:
    site = fresh()
    (site.project.folder / "inbox" / "UA").mkdir(parents=True)
    (site.project.folder / "inbox" / "UA" / "a.csv").write_text("x\n1\n")
    browser_page.goto(f"{site.url}/sources/partner")
    browser_page.get_by_label("airline").fill("UA")
    browser_page.get_by_role("button", name="Pull now").click()

    assert "waiting for a worker" in browser_page.inner_text("main")
    job = list_jobs(site.project)[0]
    assert (job.operation, job.arguments) == ("ingest.pull", {"name": "partner", "parameters": {"airline": "UA"}})
    worker = Worker(site.project)
    while worker.run_once() is not None:  # the alarm of this project has made a job too
        pass
    assert get_job(site.project, job.id).status == "done"
    browser_page.reload()
    assert "published" in browser_page.inner_text("main")
    assert history(site.project, "partner")[0].actor == job.actor

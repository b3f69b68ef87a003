"""Jobs and triggers in a browser: what is listed, running now with parameters, pausing, answering a run."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from axe_playwright_python.sync_playwright import Axe

from headwater.errors import RefusedError
from headwater.flow import execute_flow, list_questions
from headwater.jobs import Worker, get_job, get_pauses, list_jobs, list_triggers, submit
from headwater.project import create_project
from headwater.track import get_run
from tests.jobs.places import BEHAVIOUR, fail
from tests.web.serving import Site, site

if TYPE_CHECKING:
    from playwright.sync_api import Page

SETTINGS = """[project]
name = "test"

[[triggers]]
name = "nightly"
on = "schedule"
cron = "30 6 * * 1-5"
timezone = "Europe/Berlin"
catch_up = "all"
flow = "flows:train"
arguments = { data = "flights@main", depth = 4 }
limit = 1

[[triggers]]
name = "built"
on = "webhook"
secret = "env:HOOK_SECRET"
operation = "test.behave"
arguments = { ref = "{tag}" }

[[stream]]
name = "clicks"
flow = "flows:train"
into = "clicks@main"
every = "1d"
source = { kind = "kafka", servers = "127.0.0.1:9092", topics = "clicks" }
"""
FLOWS = """
import headwater as hw


@hw.flow
def train(data: str, depth: int = 3, rate: float = 0.1):
    return [data, depth, rate]


@hw.flow
def asking():
    return hw.approval("Shall it go out?", details={"accuracy": 0.93}, not_author=False).reason
"""


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Site]:
    (tmp_path / "headwater.toml").write_text(SETTINGS)
    (tmp_path / "flows.py").write_text(FLOWS)
    with site(create_project(tmp_path, actor="ann")) as made:
        yield made


def look(page: Page, name: str) -> None:
    """Check a page for what keeps people out; $HEADWATER_SHOTS keeps a picture of it."""
    found = Axe().run(page)
    assert [each["id"] for each in found.response["violations"]] == []
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    if os.environ.get("HEADWATER_SHOTS"):
        page.screenshot(path=f"{os.environ['HEADWATER_SHOTS']}/{name}.png", full_page=True)


def test_a_trigger_is_run_now_with_parameters_from_a_form_of_the_flows_signature(
    served: Site, browser_page: Page
) -> None:
    browser_page.goto(f"{served.url}/triggers")
    assert "06:30" in browser_page.inner_text("main") or "05:30" in browser_page.inner_text("main")
    look(browser_page, "triggers")
    browser_page.get_by_role("link", name="nightly").click()
    fields = [browser_page.get_by_label(name) for name in ("data", "depth", "rate")]
    assert [field.input_value() for field in fields] == ["flights@main", "4", "0.1"]
    look(browser_page, "trigger")
    fields[1].fill("8")
    browser_page.get_by_role("button", name="Run it now").click()

    (job,) = list_jobs(served.project)
    assert browser_page.url.endswith(f"/jobs/{job.id}")
    assert (job.actor, job.arguments) == (
        "visitor",
        {"flow": "flows:train", "arguments": {"data": "flights@main", "depth": 8, "rate": 0.1}},
    )
    Worker(served.project).run_once()
    browser_page.reload()
    assert "done" in browser_page.inner_text("h1")
    look(browser_page, "job")


def test_a_trigger_is_paused_and_goes_on(served: Site, browser_page: Page) -> None:
    browser_page.goto(f"{served.url}/triggers/nightly")
    browser_page.get_by_role("button", name="Pause").click()
    assert "paused by visitor" in browser_page.inner_text("h1")
    assert list_triggers(served.project)[0].paused

    browser_page.get_by_role("button", name="Let it go on").click()
    assert not list_triggers(served.project)[0].paused


def test_jobs_are_listed_a_page_at_a_time_paused_and_tried_again(served: Site, browser_page: Page) -> None:
    BEHAVIOUR.act = fail(RefusedError("the gate is closed."))
    bad = submit(served.project, "test.behave", attempts=1)
    Worker(served.project).run_once()
    BEHAVIOUR.act = lambda project: "better"
    for _ in range(60):
        submit(served.project, "test.behave")
    browser_page.goto(f"{served.url}/jobs")
    assert browser_page.locator("tbody tr").count() == 50
    look(browser_page, "jobs")
    browser_page.set_viewport_size({"width": 390, "height": 844})
    look(browser_page, "jobs-phone")
    browser_page.get_by_role("link", name="Older jobs").click()
    assert browser_page.locator("tbody tr").count() == 11

    browser_page.goto(f"{served.url}/jobs?status=failed")
    browser_page.locator("tbody a").first.click()
    assert "the gate is closed." in browser_page.inner_text("main")
    browser_page.get_by_role("button", name="Try it again").click()
    assert get_job(served.project, bad.id).status == "queued"

    browser_page.goto(f"{served.url}/jobs")
    browser_page.get_by_text("Pause", exact=True).click()
    browser_page.get_by_label("Why").fill("the data is wrong")
    browser_page.get_by_role("button", name="Begin no more").click()
    assert [pause.reason for pause in get_pauses(served.project)] == ["the data is wrong"]
    assert Worker(served.project).run_once() is None
    look(browser_page, "paused-phone")
    browser_page.get_by_role("button", name="Let it go on").click()
    assert get_pauses(served.project) == []


def test_the_list_of_jobs_follows_what_happens(served: Site, browser_page: Page) -> None:
    browser_page.goto(f"{served.url}/jobs")
    assert "No job yet" in browser_page.inner_text("main")
    submit(served.project, "test.behave")

    browser_page.get_by_role("link", name="test.behave").wait_for(timeout=20_000)


def test_a_run_that_waits_is_answered_with_a_reason(served: Site, browser_page: Page) -> None:
    outcome = execute_flow(served.project, "flows:asking")
    browser_page.goto(f"{served.url}/runs/{outcome.run.id}")
    assert "it waits for an answer: Shall it go out?" in browser_page.inner_text("main")
    browser_page.get_by_role("link", name="Answer it under Jobs").click()
    assert "0.93" in browser_page.inner_text("main")
    look(browser_page, "question")
    browser_page.get_by_label("Reason, kept for ever").fill("good enough")
    browser_page.get_by_role("button", name="Approve").click()

    (question,) = list_questions(served.project)
    assert (question.status, question.decided_by, question.reason) == ("approve", "visitor", "good enough")
    Worker(served.project).run_once()
    assert get_run(served.project, outcome.run.id).status == "done"

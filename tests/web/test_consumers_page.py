"""Consumers are registered and forgotten on their page, and a version is spoken for or against on its own."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import Page

from headwater.release import list_reviews
from headwater.serve.rehearsal import list_callers, list_consumers
from tests.web.serving import Site
from tests.web.test_pages import claim, look


def test_a_consumer_is_registered_seen_to_ask_and_forgotten(fresh: Callable[[], Site], browser_page: Page) -> None:
    site = fresh()
    claim(browser_page, site, "ann")
    assert [each.consumer for each in list_callers(site.project, "delay")] == [None]

    browser_page.add_init_script("window.confirm = () => true")  # the browser is shared: see test_pages
    look(browser_page, f"{site.url}/models/delay/consumers")
    assert browser_page.get_by_role("heading", name="Seen to ask, not registered").count() == 1
    browser_page.get_by_label("Name", exact=True).fill("boards")
    browser_page.get_by_label("Asks as").fill("boards-1, boards-2")
    browser_page.get_by_label("Whom to ask").fill("bo@example.org")
    browser_page.get_by_role("button", name="Register").click()
    browser_page.get_by_text("bo@example.org").wait_for()

    [made] = list_consumers(site.project, "delay")
    assert (made.name, made.callers, made.reads, made.by) == ("boards", ("boards-1", "boards-2"), (), "ann")

    browser_page.get_by_role("button", name="Forget boards").click()
    browser_page.get_by_text("Nobody is registered.").wait_for()
    assert list_consumers(site.project, "delay") == []


def test_a_version_is_reviewed_on_its_page(fresh: Callable[[], Site], browser_page: Page) -> None:
    site = fresh()
    claim(browser_page, site, "cy")

    look(browser_page, f"{site.url}/models/delay/v2")
    browser_page.get_by_label("What you looked at").fill("two hours of evenings, all wrong")
    browser_page.get_by_role("button", name="Speak against it").click()
    browser_page.get_by_text("two hours of evenings").first.wait_for()

    [said] = list_reviews(site.project, "delay@v2")
    assert (said.by, said.decision, said.reason) == ("cy", "reject", "two hours of evenings, all wrong")

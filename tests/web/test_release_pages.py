from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from headwater.model import channels
from headwater.project import Actor
from headwater.release import approve, list_release_requests, release_log
from tests.web.serving import Site

if TYPE_CHECKING:
    from playwright.sync_api import Page


def test_a_release_shows_who_approved_it_on_what_evidence_and_is_taken_back_from_there(
    fresh: Callable[[], Site], browser_page: Page
) -> None:
    site = fresh()
    [request] = [r for r in list_release_requests(site.project, status="waiting") if r.channel == "production"]
    made = approve(site.project.as_actor("maria"), request.id, "better on the same rows")

    browser_page.goto(f"{site.url}/releases")
    browser_page.locator(f'a[href="/releases/log/{made.release}"]').first.click()
    main = browser_page.inner_text("main")
    assert "better on the same rows" in main and "maria" in main
    assert all(gate.found in main for gate in made.gates)
    browser_page.get_by_label("Reason, kept for ever").fill("complaints since noon")
    browser_page.get_by_role("button", name="Put back what was there before").click()
    browser_page.wait_for_url("**/models/delay")

    assert channels(site.project, "delay")["production"].number == 1
    browser_page.goto(f"{site.url}/releases/log/{made.release}")
    assert "replaced since" in browser_page.inner_text("main").lower()
    [newest] = release_log(site.project, "delay", "production", limit=1)
    browser_page.goto(f"{site.url}/releases/log/{newest.id}")
    assert "Going back takes no gate" in browser_page.inner_text("main")


def test_each_channel_shows_what_it_points_to_and_demands(shown: Site, browser_page: Page) -> None:
    browser_page.goto(f"{shown.url}/releases")

    row = browser_page.locator("h2:has-text('Channels') + div tr", has_text="production").first.inner_text()

    assert "v1" in row
    assert "parity" in row
    assert "1, not the author" in row


def test_a_request_says_which_approvals_are_missing(fresh: Callable[[], Site], browser_page: Page) -> None:
    site = fresh()
    rules = site.project.settings.table("channels")["production"]
    rules["approvals"] = {"reviewer": 1, "owner": 1}
    [request] = [r for r in list_release_requests(site.project, status="waiting") if r.channel == "production"]
    reviewer = Actor(name="maria", claimed=False, roles=("approver", "reviewer"))
    approve(site.project.as_actor(reviewer), request.id, "better on the same rows")

    browser_page.goto(f"{site.url}/releases")
    assert "waits for 1 approval (1 owner)" in browser_page.inner_text("main")
    browser_page.goto(f"{site.url}/releases/{request.id}")

    assert "It waits for 1 approval (1 owner)." in browser_page.inner_text("form[action$='/decide']")

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import httpx
import pytest

from headwater.access import add_person
from headwater.lake import set_description
from headwater.model import channels
from headwater.monitor import get_alarm, list_alarms
from headwater.release import get_release_request, list_release_requests, release_log
from headwater.track import list_runs, track
from headwater.web.routes import PAGES
from tests.web.serving import Site, addresses, drawn, violations

if TYPE_CHECKING:
    from playwright.sync_api import Page

HTML = {"accept": "text/html"}
CHARTS = {
    "dataset": 1,
    "usage": 1,
    "search": 3,
    "compare": 2,
    "run": 2,
    "model-version": 1,
    "model-evidence": 1,
    "model-readiness": 1,
    "serving": 2,
    "monitoring": 2,
}


def look(page: Page, address: str, scheme: str = "light") -> list[str]:
    """Open a page in a colour scheme; returns what it wrote to its console as warnings and errors."""
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text) if message.type in ("error", "warning") else None)
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    answer = page.goto(address)
    assert answer is not None
    assert answer.status == 200, page.inner_text("main")
    return said


def waiting(site: Site) -> str:
    [request] = list_release_requests(site.project, status="waiting")
    return request.id


def claim(page: Page, site: Site, name: str) -> None:
    page.goto(f"{site.url}/sign-in")
    page.get_by_label("Name").fill(name)
    page.get_by_role("button", name="Use this name").click()


# Parts of pages that a script fetches, and pages that need what only their own tests make.
LOOKED_AT_ELSEWHERE = {
    "/jobs/moving",
    "/runs/{run}/notebooks/{task}",
    "/runs/{run}/notebooks/{task}.ipynb",
}


def test_every_address_of_the_routes_is_looked_at(shown: Site) -> None:
    paths = [path.partition("?")[0] for path in addresses(shown.project).values()]
    gets = [route for route in PAGES if "GET" in (route.methods or ())]

    unseen = {r.path for r in gets if not any(r.path_regex.fullmatch(path) for path in paths)}

    assert unseen == LOOKED_AT_ELSEWHERE


@pytest.mark.parametrize("turn", range(4))  # so that several workers share them
def test_every_page_answers_draws_its_charts_and_fits_a_phone(shown: Site, browser_page: Page, turn: int) -> None:
    for name, path in list(addresses(shown.project).items())[turn::4]:
        browser_page.set_viewport_size({"width": 1280, "height": 800})
        said = look(browser_page, shown.url + path)

        assert drawn(browser_page) == CHARTS.get(name, 0), name
        assert said == [], name
        browser_page.set_viewport_size({"width": 390, "height": 800})
        wider = browser_page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert wider <= 0, f"{name} scrolls sideways by {wider} px"


@pytest.mark.long
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_breaks_an_accessibility_rule(shown: Site, browser_page: Page, scheme: str) -> None:
    found = {}
    for name, path in addresses(shown.project).items():
        look(browser_page, shown.url + path, scheme)
        drawn(browser_page)
        found[name] = violations(browser_page)

    assert {name: wrong for name, wrong in found.items() if wrong} == {}


def test_the_accessibility_check_finds_a_planted_image_without_words(shown: Site, browser_page: Page) -> None:
    look(browser_page, shown.url)
    assert violations(browser_page) == []

    browser_page.evaluate("document.querySelector('main').append(new Image())")

    assert [each.partition(":")[0] for each in violations(browser_page)] == ["image-alt"]


def test_the_first_tab_stop_skips_to_the_content(shown: Site, browser_page: Page) -> None:
    look(browser_page, f"{shown.url}/runs")

    browser_page.keyboard.press("Tab")
    assert browser_page.evaluate("document.activeElement.textContent") == "Skip to the content"
    browser_page.keyboard.press("Enter")

    assert browser_page.evaluate("document.activeElement.id") == "content"


def test_a_slash_focuses_the_search_and_is_typed_only_there(shown: Site, browser_page: Page) -> None:
    look(browser_page, f"{shown.url}/data")

    browser_page.keyboard.press("/")
    assert browser_page.evaluate("document.activeElement.name") == "q"
    browser_page.keyboard.type("air/")

    assert browser_page.locator("input[name=q]").input_value() == "air/"


def test_approving_with_a_reason_moves_the_release_and_records_the_claimed_name(
    fresh: Callable[[], Site], browser_page: Page
) -> None:
    site = fresh()
    request = waiting(site)
    claim(browser_page, site, "maria")

    look(browser_page, f"{site.url}/releases/{request}")
    browser_page.get_by_label("Reason, kept for ever").fill("better on the same rows")
    browser_page.get_by_role("button", name="Approve").click()
    browser_page.get_by_text("released", exact=True).first.wait_for()

    assert channels(site.project, "delay")["production"].number == 2
    [newest] = release_log(site.project, "delay", "production", limit=1)
    [approval] = newest.approvals
    assert (approval.by, approval.claimed, approval.reason) == ("maria", True, "better on the same rows")
    assert "maria" in browser_page.inner_text("main")


def test_rejecting_keeps_the_reason_and_moves_nothing(fresh: Callable[[], Site], browser_page: Page) -> None:
    site = fresh()
    request = waiting(site)
    claim(browser_page, site, "maria")

    look(browser_page, f"{site.url}/releases/{request}")
    browser_page.get_by_label("Reason, kept for ever").fill("evenings are too few")
    browser_page.get_by_role("button", name="Reject").click()
    browser_page.get_by_text("evenings are too few").first.wait_for()

    assert get_release_request(site.project, request).status == "rejected"
    assert channels(site.project, "delay")["production"].number == 1


def test_a_channel_is_rolled_back_through_the_form(fresh: Callable[[], Site], browser_page: Page) -> None:
    site = fresh()
    # Answered in the page: the run's workers share one browser, and any of them may dismiss a native dialog first.
    browser_page.add_init_script("window.confirm = (question) => { window.asked = question; return true; }")
    look(browser_page, f"{site.url}/models/delay")

    browser_page.get_by_label("Reason to roll staging back").fill("v2 was slower")
    browser_page.get_by_role("button", name="Roll staging back").click()
    browser_page.get_by_text("v2 was slower").first.wait_for()

    assert channels(site.project, "delay")["staging"].number == 1


def test_an_alarm_is_acknowledged_with_a_reason(fresh: Callable[[], Site], browser_page: Page) -> None:
    site = fresh()
    [alarm] = list_alarms(site.project)
    claim(browser_page, site, "maria")

    look(browser_page, f"{site.url}/monitoring/alarms/{alarm.id}")
    browser_page.get_by_label("Reason").fill("a storm; departures were late")
    browser_page.get_by_role("button", name="Acknowledge").click()
    browser_page.get_by_text("settled").first.wait_for()

    settled = get_alarm(site.project, alarm.id)
    assert (settled.acknowledged_by, settled.reason) == ("maria", "a storm; departures were late")


def test_a_release_is_asked_for_through_the_form(fresh: Callable[[], Site], browser_page: Page) -> None:
    site = fresh()
    claim(browser_page, site, "ann")

    look(browser_page, f"{site.url}/models/delay/v1")
    browser_page.get_by_label("Channel").fill("shadow")
    browser_page.get_by_label("Reason").fill("to compare in the evenings")
    browser_page.get_by_role("button", name="Ask", exact=True).click()
    browser_page.get_by_text("to compare in the evenings").first.wait_for()

    newest = list_release_requests(site.project)[0]
    assert (newest.channel, newest.reason, newest.requested_by) == ("shadow", "to compare in the evenings", "ann")


def test_picked_runs_are_archived_and_brought_back(fresh: Callable[[], Site], browser_page: Page) -> None:
    site = fresh()
    claim(browser_page, site, "ann")
    before = len(list_runs(site.project).runs)
    browser_page.goto(f"{site.url}/runs")
    browser_page.locator("input[name=run]").first.check()
    browser_page.get_by_role("button", name="Archive the picked runs").click()
    assert len(list_runs(site.project).runs) == before - 1
    browser_page.get_by_role("link", name="Archived runs").click()
    browser_page.locator("input[name=run]").first.check()
    browser_page.get_by_role("button", name="Bring the picked runs back").click()

    assert len(list_runs(site.project).runs) == before


def test_where_there_are_accounts_a_password_opens_the_pages_and_signing_out_closes_them(
    fresh: Callable[[], Site], browser_page: Page
) -> None:
    site = fresh()
    add_person(site.project, "maria", ["approver"], password="correct horse battery")

    def sign_in(password: str) -> None:
        browser_page.get_by_label("Name").fill("maria")
        browser_page.get_by_label("Password").fill(password)
        browser_page.get_by_role("button", name="Sign in").click()

    browser_page.goto(f"{site.url}/models?q=delay")
    sign_in("wrong horse battery")
    browser_page.locator(".note.bad").wait_for()
    assert httpx.get(f"{site.url}/models", headers=HTML).status_code in (303, 401)
    sign_in("correct horse battery")
    browser_page.wait_for_url(f"{site.url}/models?q=delay")

    browser_page.goto(f"{site.url}/sign-in")
    browser_page.get_by_role("button", name="Sign out maria").click()
    browser_page.goto(f"{site.url}/models")
    assert "delay" not in browser_page.inner_text("main")


@pytest.mark.parametrize(
    "target",
    [
        "/\\elsewhere.example/",
        pytest.param("//elsewhere.example/", marks=pytest.mark.long),
        pytest.param("https://elsewhere.example/", marks=pytest.mark.long),
    ],
)
def test_signing_in_leads_to_a_page_of_this_server_only(
    fresh: Callable[[], Site], browser_page: Page, target: str
) -> None:
    site = fresh()
    browser_page.goto(f"{site.url}/sign-in?{urlencode({'next': target})}")
    browser_page.get_by_label("Name").fill("maria")
    browser_page.get_by_role("button", name="Use this name").click()
    browser_page.get_by_role("heading", level=1).wait_for()

    assert browser_page.url == f"{site.url}/"


@pytest.mark.parametrize("token", [{}, {"csrf": "made up"}])
def test_a_form_that_no_page_of_ours_made_is_refused(fresh: Callable[[], Site], token: dict[str, str]) -> None:
    site = fresh()
    request = waiting(site)
    with httpx.Client(base_url=site.url, headers=HTML) as client:
        client.get(f"/releases/{request}")

        answer = client.post(f"/releases/{request}/decide", data={"decision": "approve", "reason": "planted", **token})

    assert answer.status_code == 403
    assert "reload the page" in answer.text
    assert get_release_request(site.project, request).status == "waiting"


@pytest.mark.parametrize("path", ["/nowhere", "/data/nothing", "/runs/01ARZ3NDEKTSV4RRFFQ69G5FAV", "/models/delay/v99"])
def test_what_is_not_there_is_a_page_that_leads_back(shown: Site, path: str) -> None:
    answer = httpx.get(shown.url + path, headers=HTML)

    assert answer.status_code == 404
    assert "Back to the overview" in answer.text
    assert "Traceback" not in answer.text


def test_what_users_write_is_shown_as_text(fresh: Callable[[], Site], browser_page: Page) -> None:
    site = fresh()
    planted = "<script>document.title='broken into'</script><img src=x onerror=\"document.title='broken into'\">"
    set_description(site.project, "airports", planted)
    with track(site.project, planted, {"note": planted}, tags={"tag": planted}) as run:
        run.log({planted[:60]: 1.0}, step=0)
        run.log({planted[:60]: 2.0}, step=1)
        run.say(planted)

    for path in ("/", "/data", "/data/airports", "/runs", f"/runs/{run.id}", f"/trace?ref=run:{run.id}"):
        look(browser_page, site.url + path)
        drawn(browser_page)

        assert browser_page.title() != "broken into", path
        assert browser_page.locator("main script:not([src='/static/live.js']), main img").count() == 0, path
    browser_page.goto(f"{site.url}/data/airports")
    assert planted in browser_page.inner_text("main")


def test_every_answer_forbids_scripts_of_others(shown: Site) -> None:
    policy = httpx.get(shown.url, headers=HTML).headers["content-security-policy"]

    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "unsafe" not in policy

"""The page of a run of a flow: while it goes, and what its steps left."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from headwater.flow import execute_flow, list_cards, list_tasks
from headwater.project import LocalProject, create_project, open_project
from headwater.track import get_run, list_runs, track
from tests.web.serving import Site, drawn, site, violations

if TYPE_CHECKING:
    from playwright.sync_api import Page

FLOWS = """
import time
from pathlib import Path

import headwater as hw

SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="40" height="20"><rect width="40" height="20"/></svg>'


@hw.step
def load(n):
    hw.card("# Rows\\n\\n<script>alert(1)</script> [bad](javascript:alert(1))", "Read")
    hw.card([{"x": i, "y": i * i} for i in range(150)], "Squares")
    hw.card({"data": {"values": [{"x": 1, "y": 2}]}, "mark": "point",
             "encoding": {"x": {"field": "x", "type": "quantitative"}}}, "Points")
    hw.card("<h1>Own</h1><script>parent.document.title = 'taken'</script>", "Page", kind="html")
    hw.card(SVG, "Square")
    hw.log_artefact(b"weights", "model/weights.bin")
    return n


@hw.step(optional=True)
def extra(n):
    raise ValueError("nothing <b>extra</b>")


@hw.step
def slow(n, stop):
    print("working on", n)
    while not Path(stop).exists():
        hw.progress(3, 10, "epoch 3")
        time.sleep(0.05)
    return n


@hw.step
def item(i):
    return i


@hw.flow
def cards(n=150):
    extra(n)
    return load(n)


@hw.flow
def waits(n, stop):
    return slow(n, stop)
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("runs")
    create_project(folder).close()
    (folder / "flows.py").write_text(FLOWS)
    with site(open_project(folder, actor="ann")) as found:
        yield found


def the_run(project: LocalProject) -> str:
    return list_runs(project, limit=1).runs[0].id


def test_what_steps_leave_is_shown_and_runs_nothing_and_is_there_when_remembered(
    served: Site, browser_page: Page
) -> None:
    page = browser_page
    first = execute_flow(served.project, "cards")
    again = execute_flow(served.project, "cards")
    assert again.remembered == 1 and first.status == "done"
    assert [card.title for card in list_cards(served.project, again.run.id)] == [
        "Read", "Squares", "Points", "Page", "Square",
    ]  # fmt: skip

    page.goto(f"{served.url}/runs/{again.run.id}")
    assert drawn(page) == 1
    assert page.locator("section.left-markdown").inner_text().count("<script>") == 1
    assert page.locator("section.left-markdown a").count() == 0
    assert "100 of 150 rows" in page.locator("section.left-table").inner_text()
    frame = page.locator("iframe.left")
    frame.scroll_into_view_if_needed()
    assert page.frame_locator("iframe.left").locator("h1").inner_text() == "Own"
    assert page.title().startswith("cards")
    assert page.locator("img.left").evaluate("image => image.decode().then(() => image.naturalWidth)") == 40
    assert "nothing <b>extra</b>" in page.locator("#moving").inner_text()
    assert violations(page) == []


def test_a_card_by_itself_may_do_nothing(served: Site) -> None:
    outcome = execute_flow(served.project, "cards")
    page_card, image = (card for card in list_cards(served.project, outcome.run.id) if card.kind in ("html", "image"))
    answer = httpx.get(f"{served.url}/cards/{page_card.task}/{page_card.position}")
    assert answer.headers["content-security-policy"].startswith("sandbox; default-src 'none'")
    assert answer.headers["content-type"].startswith("text/html")
    svg = httpx.get(f"{served.url}/cards/{image.task}/{image.position}")
    assert svg.headers["content-type"] == "image/svg+xml"
    assert "sandbox" in svg.headers["content-security-policy"]
    assert httpx.get(f"{served.url}/cards/{image.task}/77").status_code == 404


def test_an_artefact_of_a_step_is_shown_and_saved(served: Site, browser_page: Page) -> None:
    page = browser_page
    run = execute_flow(served.project, "cards", {"n": 151}).run
    page.goto(f"{served.url}/runs/{run.id}")
    link = page.get_by_role("link", name="model/weights.bin").get_attribute("href")
    answer = httpx.get(f"{served.url}{link}")

    assert answer.content == b"weights"
    assert "attachment" in answer.headers["content-disposition"]


def test_a_run_is_followed_on_its_page_to_its_end(served: Site, browser_page: Page, tmp_path: Path) -> None:
    page = browser_page
    stop = tmp_path / "stop"
    flow = threading.Thread(target=execute_flow, args=(served.project, "waits", {"n": 1, "stop": str(stop)}))
    flow.start()
    for _ in range(200):
        if list_runs(served.project, limit=1, filter="status = 'running'").runs:
            break
        time.sleep(0.05)
    page.goto(f"{served.url}/runs/{the_run(served.project)}")
    page.get_by_text("epoch 3").wait_for()
    page.get_by_text("working on 1").wait_for()
    assert page.locator("progress").get_attribute("value") == "3.0"
    assert violations(page) == []
    stop.write_text("")
    page.locator("[data-part=state] .badge", has_text="done").wait_for()
    flow.join()

    assert page.locator("[data-part=live]").count() == 0
    assert page.locator("svg.timeline rect.ran").count() == 1


def test_a_curve_appears_and_grows_while_a_run_goes_on(served: Site, browser_page: Page) -> None:
    page = browser_page
    with track(served.project, "fit") as run:
        page.goto(f"{served.url}/runs/{run.id}")
        page.evaluate("window.same = true")  # gone where the page was loaded again
        assert page.locator("figure").count() == 0
        for step in range(3):
            run.log({"loss": 1.0 / (step + 1)}, step=step)
        run.flush()
        page.locator("figure.drawn").wait_for()
        shown = page.locator("figure.drawn").evaluate("figure => { figure.marked = true; return figure.dataset.spec; }")
        page.wait_for_timeout(2500)
        assert page.locator("figure.drawn").evaluate("figure => figure.marked")  # nothing new: it is not drawn again
        run.log({"loss": 0.125}, step=3)
        run.flush()
        page.wait_for_function(
            "old => (document.querySelector('figure.drawn')?.dataset.spec ?? old) !== old", arg=shown
        )
        assert "0.125" in str(page.locator("figure.drawn").get_attribute("data-spec"))
        assert page.evaluate("window.same")
        assert violations(page) == []


def test_a_run_is_cancelled_on_its_page(served: Site, browser_page: Page, tmp_path: Path) -> None:
    page = browser_page
    arguments = {"n": 2, "stop": str(tmp_path / "stop")}
    flow = threading.Thread(target=execute_flow, args=(served.project, "waits", arguments))
    flow.start()
    for _ in range(200):
        if list_runs(served.project, limit=1, filter="status = 'running'").runs:
            break
        time.sleep(0.05)
    identifier = the_run(served.project)
    page.add_init_script("window.confirm = () => true")  # the browser is shared: a native dialog may be dismissed first
    page.goto(f"{served.url}/runs/{identifier}")
    page.get_by_label("Why").fill("wrong data")
    page.get_by_role("button", name="Cancel the run").click()
    page.locator("[data-part=state] .badge", has_text="cancelled").wait_for()
    flow.join()

    assert get_run(served.project, identifier).error == "cancelled by visitor: wrong data"


@pytest.mark.long
def test_ten_thousand_tasks_come_by_pages_and_states(served: Site, browser_page: Page) -> None:
    page = browser_page
    run = execute_flow(served.project, "cards", {"n": 3}).run.id
    rows = [
        (f"T{number:025d}", run, number + 10, "flows:item", "failed" if number % 100 == 7 else "ran", "ran", None,
         1_000_000 + number * 1000, 1_000_900 + number * 1000, 0.001, "[]", "", "", "", "[]", 0)
        for number in range(10_000)
    ]  # fmt: skip
    columns = ("id", "run", "position", "step", "outcome", "why", "result", "started_at", "ended_at", "seconds",
               "warnings", "error", "traceback", "within", "attempts", "peak_bytes")  # fmt: skip
    with served.project.ledger.write() as tx:
        tx.insert_many("tasks", columns, rows)
    before = time.process_time()
    answer = httpx.get(f"{served.url}/runs/{run}")
    spent = time.process_time() - before

    assert answer.status_code == 200 and len(answer.content) < 100_000 and spent < 3
    page.goto(f"{served.url}/runs/{run}")
    page.get_by_role("link", name="failed 101").click()
    assert page.locator("[data-part=steps] tbody tr").count() == 50
    page.get_by_role("link", name="Next page").click()
    page.get_by_role("link", name="Next page").click()
    assert page.locator("[data-part=steps] tbody tr").count() == 1
    assert len(list_tasks(served.project, run, outcome="failed", limit=1000).tasks) == 101

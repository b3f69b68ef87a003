from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from headwater.evaluate import find_evidence
from headwater.evaluate.words import card_words
from headwater.model import get_model_version
from tests.web.serving import Site

if TYPE_CHECKING:
    from playwright.sync_api import Page


def test_words_written_on_the_page_stand_in_the_card_as_text(fresh: Callable[[], Site], browser_page: Page) -> None:
    site = fresh()
    browser_page.goto(f"{site.url}/models/delay/v2/card")

    browser_page.get_by_label("Limits").fill("Not for **crews**. <script>alert(1)</script>")
    browser_page.get_by_role("button", name="Keep these words").click()
    browser_page.wait_for_url(f"{site.url}/models/delay/v2/card")

    assert "Not for crews. <script>alert(1)</script>" in browser_page.inner_text("article")
    assert browser_page.locator("article strong", has_text="crews").count() == 1
    kept = card_words(site.project, "delay@v2")
    assert (kept.words.limits, kept.author) == ("Not for **crews**. <script>alert(1)</script>", "visitor")
    assert kept.words.intended_use == "Telling passengers before they leave home."
    assert get_model_version(site.project, "delay@v2").card.limits.startswith("Knows nothing of the weather")


def test_the_card_is_a_markdown_file_with_links_to_the_server(shown: Site) -> None:
    import urllib.request

    with urllib.request.urlopen(f"{shown.url}/models/delay/v2/card.md") as answer:
        text = answer.read().decode()
        headers = answer.headers

    assert text.startswith("# delay v2\n")
    assert f"[flights v2](<{shown.url}/data/flights/v2>)" in text
    assert headers["Content-Disposition"] == 'attachment; filename="delay-v2.md"'


def test_the_readiness_shown_is_recorded_by_its_button(fresh: Callable[[], Site], browser_page: Page) -> None:
    site = fresh()
    version = get_model_version(site.project, "delay@v1")
    browser_page.goto(f"{site.url}/models/delay/v1/readiness")
    assert "ML Test Score: 0 of 7" in browser_page.inner_text("main")
    assert browser_page.locator("tr[id]").count() == 28

    browser_page.get_by_role("button", name="Record this score").click()
    browser_page.wait_for_load_state()

    recorded = find_evidence(site.project, version.ref, "readiness")
    assert recorded is not None
    assert recorded.maker == "visitor"

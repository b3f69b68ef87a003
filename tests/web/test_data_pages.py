from __future__ import annotations

import re
from collections.abc import Callable

import httpx
import pytest

from headwater.lake import add_table, describe_column, note_read, resolve
from tests.web.serving import Site


def words(site: Site, path: str) -> str:
    """Return the text of a page, one space between the words."""
    answer = httpx.get(site.url + path, headers={"accept": "text/html"})
    assert answer.status_code == 200, answer.text
    return " ".join(re.sub(r"<[^>]+>", " ", answer.text.partition("<main")[2]).split())


def test_a_search_finds_columns_and_says_where(shown: Site) -> None:
    text = words(shown, "/data?q=dep_delay")

    assert "flights Departures of three airports" in text and "column dep_delay DOUBLE" in text
    assert "airports 1 v1" not in text.replace("three airports", "")
    assert "No dataset matches." in words(shown, "/data?q=zebra")


def test_columns_rows_and_uses_are_told(fresh: Callable[[], Site]) -> None:
    site = fresh()
    first = add_table(site.project, "small", "a", {"id": [1, 2], "x": [1.0, 2.0], "<b>": [1, 1]})
    add_table(site.project, "small", "a", {"id": [2, 3], "x": [5.0, None], "<b>": [1, 1]}, base=first.id)
    describe_column(site.project, "small", "x", "Metres <above> the sea.")
    note_read(site.project, resolve(site.project, "small@v1"), "table")

    assert "x DOUBLE Metres &lt;above&gt; the sea." in words(site, "/data/small")
    compared = words(site, "/data/small/diff?key=id")
    assert "x DOUBLE 0 → 1 2 → 1 1.0 → 5.0 2.0 → 5.0 1.5 → 5" in compared
    assert "+1 rows added −1 rows removed 1 rows changed: x 1" in compared
    assert "2 x 2.0 5.0" in compared
    assert "have no column &#39;nothing&#39;" in words(site, "/data/small/diff?key=nothing")
    assert "ann table 1 1" in words(site, "/data/small/usage")


def test_large_versions_are_compared_by_columns_when_asked(shown: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headwater.web.pages.data._COMPARED_BYTES", 1)

    assert "Compare what the columns hold" in words(shown, "/data/flights/diff?a=v1&b=v2")
    assert "Distinct" in words(shown, "/data/flights/diff?a=v1&b=v2&columns=1")

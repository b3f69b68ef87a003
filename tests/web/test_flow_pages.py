"""Pages of flows: the list, a picture, an executed notebook."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

import httpx
import pytest

from headwater.flow import execute_flow, list_notebooks
from headwater.project import create_project
from headwater.web.notebook import clean_html
from tests.web.serving import Site, site, violations

if TYPE_CHECKING:
    from playwright.sync_api import Page

HTML = {"accept": "text/html"}
STEPS = '''
import json
from headwater.flow.notebook_files import ExecutedNotebook

def load(n):
    return list(range(n))

def report(rows):
    """What a kernel would leave, hostile where it can be."""
    png = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
    html = "<table onclick=alert(1)><tr><td>kept<script>alert(2)</script></td></tr></table><img src=x onerror=alert(3)>"
    outputs = [
        {"output_type": "stream", "name": "stdout", "text": "<b>said</b>"},
        {"output_type": "display_data", "data": {"image/png": png, "text/plain": "picture"}, "metadata": {}},
        {"output_type": "display_data", "data": {"image/svg+xml": "<svg><script>alert(4)</script></svg>"}},
        {"output_type": "display_data", "data": {"text/html": html, "application/javascript": "alert(5)"}},
        {"output_type": "display_data", "data": {"application/javascript": "alert(6)"}},
        {"output_type": "error", "traceback": ["\\x1b[31mValueError: no\\x1b[0m"]},
    ]
    cells = [
        {"cell_type": "markdown", "metadata": {},
         "source": "# Title\\n<script>alert(7)</script> [x](javascript:alert(8))"},
        {"cell_type": "code", "metadata": {"tags": ["injected-parameters"]}, "source": "n = 1", "outputs": [],
         "execution_count": 1},
        {"cell_type": "code", "metadata": {}, "source": "'<i>code</i>'", "outputs": outputs, "execution_count": 2},
    ]
    return ExecutedNotebook(json.dumps({"nbformat": 4, "nbformat_minor": 4, "metadata": {}, "cells": cells}).encode())
'''
FLOW = """
[flow]
name = "story"
description = "Load and report."

[parameters]
n = 3

[[step]]
name = "load"
run = "story_steps:load"
with = { n = "$n" }

[[step]]
name = "report"
run = "story_steps:report"
with = { rows = "$load" }
"""


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Site, list[str]]]:
    folder = tmp_path_factory.mktemp("story")
    project = create_project(folder, name="story", actor="ann")
    (folder / "story_steps.py").write_text(STEPS)
    (folder / "story.toml").write_text(FLOW)
    (folder / "broken.toml").write_text("[flow]\nname = 'broken'\n[[step]]\nname = 'x'\n")
    run = execute_flow(project, "story.toml").run
    [found] = list_notebooks(project, run.id)
    paths = ["/flows", "/flows/show?flow=story.toml", "/flows/show?flow=story.toml&steps=1",
             f"/runs/{run.id}/notebooks/{found.task}", f"/runs/{run.id}"]  # fmt: skip
    with site(project) as served:
        yield served, paths


def test_flows_are_listed_and_drawn(story: tuple[Site, list[str]]) -> None:
    served, paths = story
    listed, drawn = (httpx.get(served.url + path, headers=HTML).text for path in paths[:2])

    assert "Load and report." in listed and "a step has one of run, command, notebook" in listed
    assert '<svg xmlns="http://www.w3.org/2000/svg" class="graph"' in drawn and ">report</text>" in drawn
    assert 'href="/flows/show?flow=story.toml"' in listed


def test_an_executed_notebook_is_shown_and_nothing_of_it_runs(story: tuple[Site, list[str]]) -> None:
    served, paths = story
    answer = httpx.get(served.url + paths[3], headers=HTML)
    text = answer.text.partition('<div class="notebook">')[2]

    assert answer.status_code == 200 and "<script" not in text and "onclick" not in text and "onerror" not in text
    assert "javascript:" not in text.replace("[x](javascript:alert(8))", "")
    assert "<h1>Title</h1>" in text and "&lt;b&gt;said&lt;/b&gt;" in text and "&#39;&lt;i&gt;code&lt;/i&gt;" in text
    assert 'src="data:image/png;base64,' in text and 'src="data:image/svg+xml;base64,' in text
    assert "<td>kept</td>" in text and "An output of the type application/javascript is not shown." in text
    assert "ValueError: no" in text and "\x1b" not in text and "Given by the flow" in text
    assert "script-src 'self'" in answer.headers["content-security-policy"]


def test_the_file_is_there_to_keep_and_others_tasks_have_none(story: tuple[Site, list[str]]) -> None:
    served, paths = story
    kept = httpx.get(served.url + paths[3] + ".ipynb")
    other = httpx.get(served.url + paths[3][:-4] + "ZZZZ", headers=HTML)

    assert len(json.loads(kept.content)["cells"]) == 3 and kept.headers["content-disposition"].startswith("attachment")
    assert other.status_code == 404 and "has no notebook of a task" in other.text


def test_the_run_leads_to_its_notebooks(story: tuple[Site, list[str]]) -> None:
    served, paths = story
    assert f'href="{paths[3]}"' in httpx.get(served.url + paths[4], headers=HTML).text


@pytest.mark.parametrize("scheme", ["light", pytest.param("dark", marks=pytest.mark.long)])
def test_flow_pages_fit_a_phone_and_break_no_accessibility_rule(
    story: tuple[Site, list[str]], browser_page: Page, scheme: str
) -> None:
    served, paths = story
    for path in paths[:4]:
        browser_page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
        browser_page.set_viewport_size({"width": 390, "height": 800})
        browser_page.goto(served.url + path)

        assert browser_page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, path
        assert violations(browser_page) == [], path


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("<p>a<br>b", "<p>a<br>b</p>"),
        ("<td style='x'>1</td>", "<td>1</td>"),
        ("<b><i>x</b>y", "<b><i>x</i></b>y"),
        ("<style>td{}</style><svg><text>t</text></svg>z", "z"),
        ("a < b &amp; &lt;script&gt;", "a &lt; b &amp; &lt;script&gt;"),
        ("<a href='javascript:x'>link</a><iframe src=x></iframe>", "link"),
        ("</table></div><form><input>x</form>", "x"),
        ("<script>never closed", ""),
    ],
)
def test_html_of_a_cell_keeps_its_structure_only(given: str, kept: str) -> None:
    assert str(clean_html(given)) == kept

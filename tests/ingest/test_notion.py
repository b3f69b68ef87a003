"""Pulling from Notion, whose answers here have the shapes of its public reference, version 2025-09-03."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from headwater.errors import InvalidInputError, NotFoundError, UnavailableError
from headwater.ingest import pull, reach_source, read_proof
from headwater.ingest.kinds import make_source
from headwater.ingest.notion_markdown import to_markdown
from headwater.lake import iter_files, read_bytes, scan
from headwater.project import LocalProject

TOKEN = "ntn_planted-4711"
DATABASE, TABLE = "d" * 32, "e" * 32
FIRST, SECOND, CHILD = "1" * 32, "2" * 32, "3" * 32


def dashed(identifier: str) -> str:
    return "-".join((identifier[:8], identifier[8:12], identifier[12:16], identifier[16:20], identifier[20:]))


def text(said: str, **annotations: bool) -> dict[str, Any]:
    return {
        "type": "text",
        "text": {"content": said, "link": None},
        "annotations": {"bold": False, "italic": False, "code": False, **annotations},
        "plain_text": said,
        "href": None,
    }


def block(kind: str, identifier: str, content: dict[str, Any], children: bool = False) -> dict[str, Any]:
    return {
        "object": "block", "id": dashed(identifier * 32), "type": kind, "has_children": children, kind: content,
        "created_time": "2026-01-01T00:00:00.000Z", "last_edited_time": "2026-01-01T00:00:00.000Z",
    }  # fmt: skip


def page(identifier: str, edited: str, properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "object": "page", "id": dashed(identifier), "created_time": "2026-01-01T00:00:00.000Z",
        "last_edited_time": edited, "archived": False, "in_trash": False, "properties": properties,
        "url": f"https://www.notion.so/{identifier}", "parent": {"type": "data_source_id", "data_source_id": TABLE},
    }  # fmt: skip


def properties(title: str, others: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"Name": {"id": "title", "type": "title", "title": [text(title)]}, **(others or {})}


EVERY_KIND: dict[str, Any] = {
    "Note": {"id": "a", "type": "rich_text", "rich_text": [text("some "), text("text", bold=True)]},
    "Price": {"id": "b", "type": "number", "number": 12.5},
    "Stage": {"id": "c", "type": "status", "status": {"id": "x", "name": "Done", "color": "green"}},
    "Tags": {"id": "d", "type": "multi_select", "multi_select": [{"name": "red"}, {"name": "blue"}]},
    "Due": {"id": "e", "type": "date", "date": {"start": "2026-01-05", "end": None, "time_zone": None}},
    "Who": {"id": "f", "type": "people", "people": [{"object": "user", "id": "u1", "name": "Ann"}]},
    "Paid": {"id": "g", "type": "checkbox", "checkbox": True},
    "Site": {"id": "h", "type": "url", "url": "https://example.org/"},
    "Sum": {"id": "i", "type": "formula", "formula": {"type": "number", "number": 25}},
    "Total": {"id": "j", "type": "rollup", "rollup": {"type": "array", "array": [{"type": "number", "number": 1}]}},
    "Links": {"id": "k%3D", "type": "relation", "relation": [{"id": f"r{n}"} for n in range(25)], "has_more": True},
    "Paper": {"id": "l", "type": "files", "files": [{"name": "a.pdf", "file": {"url": "https://s3/a?Signature=1"}}]},
    "Number": {"id": "m", "type": "unique_id", "unique_id": {"prefix": "TASK", "number": 7}},
    "By": {"id": "n", "type": "created_by", "created_by": {"object": "user", "id": "u2"}},
    "name": {"id": "o", "type": "email", "email": "a@example.org"},
    "Odd": {"id": "p", "type": "verification", "verification": {"state": "unverified"}},
}


class Notion(ThreadingHTTPServer):
    """Answers like Notion's API, a page of two results at a time; ``asked`` holds what it was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[str] = []
        self.failures: list[tuple[int, dict[str, str], dict[str, Any]]] = []
        self.date = "Thu, 01 Oct 2026 00:00:00 GMT"
        self.rows = {
            FIRST: page(FIRST, "2026-01-02T00:00:00.000Z", properties("First", EVERY_KIND)),
            SECOND: page(SECOND, "2026-01-03T00:00:00.000Z", properties("Second")),
            CHILD: page(CHILD, "2026-01-03T00:00:00.000Z", {"title": {"id": "title", "type": "title", "title": []}}),
        }
        self.children: dict[str, list[dict[str, Any]]] = {
            FIRST: [
                block("heading_1", "a", {"rich_text": [text("Head")]}),
                block("bulleted_list_item", "b", {"rich_text": [text("outer")]}, children=True),
                block("paragraph", "c", {"rich_text": [text("bold", bold=True), text(" end")]}),
                block("child_page", "3", {"title": "Below"}, children=True),
            ],
            "b" * 32: [block("to_do", "f", {"rich_text": [text("inner")], "checked": True})],
            SECOND: [],
            CHILD: [block("quote", "9", {"rich_text": [text("deep")]})],
        }

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def answer(self, path: str) -> dict[str, Any] | list[dict[str, Any]] | None:
        kind, _, rest = path.removeprefix("/v1/").partition("/")
        identifier = rest.partition("/")[0].replace("-", "")
        if rest == f"{dashed(FIRST)}/properties/k%3D":
            item = {"object": "property_item", "type": "relation"}
            return [{**item, "relation": {"id": f"r{number}"}} for number in range(27)]
        if kind == "blocks":
            return self.children.get(identifier)
        found: dict[str, Any] = {
            "users/me": {"object": "user", "id": "u9", "type": "bot", "name": "headwater"},
            f"databases/{DATABASE}": {"object": "database", "title": [text("Tasks")], "data_sources": [{"id": TABLE}]},
            f"data_sources/{TABLE}": {"object": "data_source", "properties": properties("", EVERY_KIND)},
            f"data_sources/{TABLE}/query": [self.rows[FIRST], self.rows[SECOND]],
        }
        if kind == "pages":
            return self.rows.get(identifier)
        answer: dict[str, Any] | list[dict[str, Any]] | None = found.get(f"{kind}/{rest}")
        return answer


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Notion

    def do_GET(self) -> None:
        size = int(self.headers.get("Content-Length", 0))
        body = json.loads(self.rfile.read(size)) if size else {}
        path, _, query = self.path.partition("?")
        self.server.asked.append(f"{self.command} {path}")
        if self.server.failures:
            status, headers, document = self.server.failures.pop(0)
            self.reply(status, document, headers)
            return
        if self.headers["Authorization"] != f"Bearer {TOKEN}" or self.headers["Notion-Version"] != "2025-09-03":
            said = f"API token {self.headers['Authorization']} is invalid."
            self.reply(401, {"object": "error", "status": 401, "code": "unauthorized", "message": said})
            return
        found = self.server.answer(path)
        if found is None:
            said = f"Could not find {path}."
            self.reply(404, {"object": "error", "status": 404, "code": "object_not_found", "message": said})
        elif isinstance(found, list):
            cursors = dict(each.split("=", 1) for each in query.split("&") if each) | body
            start = int(cursors.get("start_cursor", 0))
            more = start + 2 < len(found)
            document = {"object": "list", "results": found[start : start + 2], "has_more": more}
            self.reply(200, {**document, "next_cursor": str(start + 2) if more else None})
        else:
            self.reply(200, found)

    def do_POST(self) -> None:
        self.do_GET()

    def reply(self, status: int, document: dict[str, Any], headers: dict[str, str] | None = None) -> None:
        data = json.dumps(document).encode()
        self.send_response_only(status)
        for name, value in {"Date": self.server.date, "Content-Length": str(len(data)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture
def notion(monkeypatch: pytest.MonkeyPatch) -> Iterator[Notion]:
    monkeypatch.setenv("NOTION_TOKEN", TOKEN)
    server = Notion()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join(10)


def root_of(project: LocalProject) -> Path:
    assert project.root is not None
    return project.root


def declare(project: LocalProject, notion: Notion, **settings: Any) -> None:
    given = {
        "name": "wiki", "kind": "notion", "dataset": "wiki", "token": "env:NOTION_TOKEN", "address": notion.address,
        "per_second": 1000, "databases": [f"https://www.notion.so/team/Tasks-{DATABASE}?v=1"], **settings,
    }  # fmt: skip
    lines = [f"{name} = {json.dumps(value)}" for name, value in given.items()]
    file = root_of(project) / "headwater.toml"
    text = file.read_text().partition("[[source]]")[0]
    file.write_text("\n".join([text, "[[source]]", *lines, ""]))


def paths(project: LocalProject) -> list[str]:
    return [each.path for each in iter_files(project, "wiki")]


def markdown(project: LocalProject, identifier: str) -> str:
    return read_bytes(project, "wiki", f"pages/{identifier}.md").decode()


def test_a_database_becomes_a_table_and_its_pages_markdown(sqlite_project: LocalProject, notion: Notion) -> None:
    declare(sqlite_project, notion)
    done = pull(sqlite_project, "wiki")

    first, second = scan(sqlite_project, "wiki").to_dicts()
    expected = {
        "notion_id": dashed(FIRST), "Name": "First", "Note": "some text", "Price": 12.5, "Stage": "Done",
        "Tags": ["red", "blue"], "Due": "2026-01-05", "Due end": None, "Who": ["Ann"], "Paid": True,
        "Site": "https://example.org/", "Sum": 25, "Total": "[1]", "Links": [f"r{n}" for n in range(27)],
        "Paper": ["a.pdf"], "Number": "TASK-7", "By": "u2", "name (o)": "a@example.org",
        "Odd": '{"state":"unverified"}',
    }  # fmt: skip
    assert {name: first[name] for name in expected} == expected
    assert (second["Name"], second["Price"], second["Tags"]) == ("Second", None, None)
    assert paths(sqlite_project) == [
        f"databases/{TABLE}.parquet",
        *(f"pages/{each}.{ending}" for each in (FIRST, SECOND, CHILD) for ending in ("json", "md")),
    ]
    lines = ["# First", "", "# Head", "", "- outer", "    - [x] inner", "**bold** end", ""]
    assert markdown(sqlite_project, FIRST) == "\n".join([*lines, f"[Below]({dashed(CHILD)}.md)", ""])
    assert markdown(sqlite_project, CHILD) == "> deep\n"
    raw = json.loads(read_bytes(sqlite_project, "wiki", f"pages/{FIRST}.json"))
    assert raw["blocks"][1]["children"][0]["to_do"]["checked"] is True
    proof = {each["path"]: each for each in read_proof(sqlite_project, done.id).files}
    assert proof[f"pages/{SECOND}.md"]["last_edited_time"] == "2026-01-03T00:00:00.000Z"
    assert done.message == "3 of 3 pages fetched, 2 rows"


def test_only_pages_that_were_edited_are_fetched_again(sqlite_project: LocalProject, notion: Notion) -> None:
    declare(sqlite_project, notion)
    pull(sqlite_project, "wiki")
    notion.asked.clear()
    assert pull(sqlite_project, "wiki").outcome == "unchanged"
    assert [each for each in notion.asked if "/blocks/" in each] == []

    notion.rows[SECOND]["last_edited_time"] = "2026-02-01T00:00:00.000Z"
    notion.children[SECOND] = [block("paragraph", "7", {"rich_text": [text("edited")]})]
    notion.asked.clear()
    assert pull(sqlite_project, "wiki").message == "1 of 3 pages fetched, 2 rows"
    assert [each for each in notion.asked if "/blocks/" in each] == [f"GET /v1/blocks/{SECOND}/children"]
    assert "edited" in markdown(sqlite_project, SECOND)

    notion.rows[FIRST]["in_trash"] = True
    pull(sqlite_project, "wiki")
    assert len(scan(sqlite_project, "wiki").fetchall()) == 1
    assert [each for each in paths(sqlite_project) if FIRST in each or CHILD in each] == []


def test_a_second_edit_within_the_minute_of_the_first_is_seen(sqlite_project: LocalProject, notion: Notion) -> None:
    # Times are told in whole minutes: the second edit leaves last_edited_time as it was.
    declare(sqlite_project, notion)
    notion.date = "Sat, 03 Jan 2026 00:00:20 GMT"
    pull(sqlite_project, "wiki")
    notion.children[SECOND] = [block("paragraph", "7", {"rich_text": [text("second edit")]})]
    notion.date = "Sat, 03 Jan 2026 00:05:00 GMT"
    pull(sqlite_project, "wiki")
    assert "second edit" in markdown(sqlite_project, SECOND)

    notion.asked.clear()
    pull(sqlite_project, "wiki")
    assert [each for each in notion.asked if "/blocks/" in each] == []


def test_the_planted_failure_that_trusts_the_minute_misses_the_second_edit(
    sqlite_project: LocalProject, notion: Notion, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headwater.ingest.notion._MINUTE_S", -1e9)
    with pytest.raises(AssertionError):
        test_a_second_edit_within_the_minute_of_the_first_is_seen(sqlite_project, notion)


def test_a_rate_limit_is_waited_for(
    sqlite_project: LocalProject, notion: Notion, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []
    monkeypatch.setattr("headwater.ingest.notion_client.time.sleep", waited.append)
    declare(sqlite_project, notion)
    limited = {"object": "error", "status": 429, "code": "rate_limited", "message": "You have been rate limited."}
    notion.failures = [(429, {"Retry-After": "7"}, limited), (502, {}, {}), (503, {}, {"message": "down"})]

    assert pull(sqlite_project, "wiki").outcome == "published"
    assert [round(each) for each in waited if each > 0.4] == [7, 1, 2]

    notion.failures = [(503, {}, {"message": "down"})] * 20
    with pytest.raises(UnavailableError, match=r"did not answer .* in 6 tries: 503 down"):
        pull(sqlite_project, "wiki")


def test_refusals_say_what_to_do_and_never_the_token(
    sqlite_project: LocalProject, notion: Notion, monkeypatch: pytest.MonkeyPatch
) -> None:
    declare(sqlite_project, notion, pages=["f" * 32])
    with pytest.raises(NotFoundError, match=r"404 to pages/fff.*share the page") as missing:
        pull(sqlite_project, "wiki")
    assert missing.value.exit_code == 3
    declare(sqlite_project, notion)
    assert "'headwater' may read" in reach_source(sqlite_project, "wiki").found
    monkeypatch.setenv("NOTION_TOKEN", f"{TOKEN}-wrong")
    with pytest.raises(InvalidInputError, match=r"401 to .*env:NOTION_TOKEN is invalid.*Check the token") as refused:
        pull(sqlite_project, "wiki")
    assert "4711" not in refused.value.message
    held = [path for path in root_of(sqlite_project).rglob("*") if path.is_file() and b"4711" in path.read_bytes()]
    assert held == []


def test_settings_that_cannot_be_used_are_refused(tmp_path: Path) -> None:
    good = {"token": "env:T", "pages": [FIRST]}
    cases: list[tuple[dict[str, Any], str]] = [
        ({"token": "env:T"}, "needs 'databases' or 'pages'"),
        ({**good, "token": TOKEN}, "environment variable"),
        ({**good, "pages": ["My page"]}, "no id of Notion"),
        ({**good, "address": "http://notion.example.org"}, "over https only"),
    ]
    for settings, says in cases:
        with pytest.raises(InvalidInputError, match=says) as refused:
            make_source("notion", settings, root=tmp_path)
        assert "4711" not in refused.value.message


def test_blocks_are_written_as_markdown() -> None:
    row = {"type": "table_row", "table_row": {"cells": [[text("a|b")], [text("2")]]}}
    signed = "https://s3/x.png?Signature=1"
    blocks = [
        block("numbered_list_item", "1", {"rich_text": [text("one")]}),
        block("numbered_list_item", "2", {"rich_text": [text("two")]}),
        block("code", "3", {"rich_text": [text("a ``` b")], "language": "python"}),
        {**block("table", "4", {"has_column_header": True}), "children": [row, row]},
        block("image", "5", {"type": "file", "file": {"url": signed}, "caption": [text("seen")]}),
        {**block("quote", "6", {"rich_text": [text("x\ny")]}), "children": [block("divider", "7", {})]},
        block("ai_block", "8", {}),
    ]
    blocks[0]["numbered_list_item"]["rich_text"][0]["href"] = "https://example.org/"

    assert to_markdown("", blocks).splitlines() == [
        "1. [one](https://example.org/)", "2. two",
        "````python", "a ``` b", "````", "",
        "| a\\|b | 2 |", "| --- | --- |", "| a\\|b | 2 |", "",
        "![seen](https://s3/x.png)", "",
        "> x", "> y", "", "> ---", "",
        "<!-- ai_block -->",
    ]  # fmt: skip

"""The source of kind ``notion``: databases as tables, pages as Markdown beside their raw JSON."""

from __future__ import annotations

import datetime as dt
import re
import tempfile
import urllib.parse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

import msgspec

from ..errors import InvalidInputError
from ..lake import Entry
from .intake import Intake
from .notion_client import VERSION, NotionClient
from .notion_markdown import to_markdown
from .notion_shapes import CUT, CUT_AT, Columns, plain
from .row_files import RowFile
from .secrets import PREFIX, resolve_secret
from .source import Pulled, Source, read_settings
from .values import Planned

_ID = re.compile(r"[0-9a-f]{32}$")
_DEEPEST = 50
_MINUTE_S = 60


class NotionSettings(msgspec.Struct, kw_only=True):
    """What ``kind = "notion"`` takes.

    ``token``: ``env:NAME``, of an integration with which the pages and databases are shared. ``databases`` and
    ``pages``: ids, or the addresses that Notion shows. ``content``: whether pages of databases are pulled too, and not
    only their properties. ``children``: whether pages and databases below pages are. ``per_second`` requests at most.
    """

    token: str
    databases: list[str] = msgspec.field(default_factory=list)
    pages: list[str] = msgspec.field(default_factory=list)
    content: bool = True
    children: bool = True
    per_second: float = 3
    timeout_s: float = 60
    address: str = "https://api.notion.com"


class Known(msgspec.Struct):
    """A page as a pull left it. ``edited`` is empty where it may have been edited again within the same minute."""

    edited: str
    pages: list[str] = []
    databases: list[str] = []


class NotionSource(Source):
    """Databases and pages of a Notion workspace.

    Each pull lists all rows of a database, so that what was moved to the trash goes; the content of a page, a request
    for each level of its blocks, is asked for only where its ``last_edited_time`` changed.
    """

    kind: ClassVar[str] = "notion"

    def __init__(self, settings: NotionSettings) -> None:
        self._settings = settings
        self._databases = [_identifier(each) for each in settings.databases]
        self._pages = [_identifier(each) for each in settings.pages]

    @classmethod
    def from_settings(cls, settings: dict[str, Any], *, root: Path) -> Self:
        given = read_settings(cls.kind, settings, NotionSettings)
        _require_usable(given)
        return cls(given)

    @property
    def text(self) -> str:
        return f"{self._settings.address} {' '.join([*self._databases, *self._pages])}"

    def pull(self, since: dict[str, Any] | None, into: Intake) -> Pulled:
        known = msgspec.convert((since or {}).get("pages", {}), dict[str, Known])
        with tempfile.TemporaryDirectory(dir=into.folder) as folder:
            walk = _Walk(self._client(), self._settings, known, into, Path(folder))
            walk.all(self._databases, self._pages)
        note = f"{walk.fetched:,} of {len(walk.seen):,} pages fetched, {walk.rows:,} rows"
        state = {"pages": msgspec.to_builtins(dict(sorted(walk.seen.items())))}
        return Pulled(state=state, mirror=True, note=note)

    def plan(self, since: dict[str, Any] | None, current: Mapping[str, Entry]) -> list[Planned]:
        planned = [Planned(act="fetch", what=f"database {each}", why="all its rows") for each in self._databases]
        return planned + [Planned(act="ask", what=f"page {each}", why="it may have changed") for each in self._pages]

    def test(self) -> str:
        client = self._client()
        me = client.get("users/me")
        for each in self._databases:
            client.get(f"databases/{each}")
        for each in self._pages:
            client.get(f"pages/{each}")
        return f"the integration '{me.get('name') or me.get('id')}' may read all of it"

    def _client(self) -> NotionClient:
        given = self._settings
        token = resolve_secret(given.token)
        return NotionClient(given.address, token, per_second=given.per_second, timeout_s=given.timeout_s)


class _Walk:
    """One pull: databases, the pages in them, and what lies below pages, each once."""

    def __init__(
        self, client: NotionClient, settings: NotionSettings, known: dict[str, Known], into: Intake, folder: Path
    ) -> None:
        self._client = client
        self._settings = settings
        self._known = known
        self._into = into
        self._folder = folder
        self.seen: dict[str, Known] = {}
        self.fetched = self.rows = 0

    def all(self, databases: list[str], pages: list[str]) -> None:
        """Pull them and, as settled, what is below them."""
        todo = [("database", each) for each in databases] + [("page", each) for each in pages]
        begun = set(todo)
        while todo:
            kind, identifier = todo.pop(0)
            below = self._database(identifier) if kind == "database" else self._page(self._get_page(identifier))
            if self._settings.children:
                todo += [each for each in dict.fromkeys(below) if each not in begun]
                begun.update(below)

    def _get_page(self, identifier: str) -> dict[str, Any]:
        return self._client.get(f"pages/{identifier}")

    def _database(self, identifier: str) -> list[tuple[str, str]]:
        """Pull a database, each of its data sources as a table; return what lies below its pages."""
        below: list[tuple[str, str]] = []
        database = self._client.get(f"databases/{identifier}")
        for each in database.get("data_sources", []):
            about = self._client.get(f"data_sources/{each['id']}")
            below += self._table(_compact(each["id"]), about, plain(database.get("title", [])))
        return below

    def _table(self, identifier: str, about: dict[str, Any], title: str) -> list[tuple[str, str]]:
        below: list[tuple[str, str]] = []
        columns = Columns(about.get("properties", {}))
        order = [{"timestamp": "created_time", "direction": "ascending"}]
        with RowFile(self._folder, columns.types) as rows:
            for page in self._client.query_all(f"data_sources/{identifier}/query", {"sorts": order}):
                if page.get("object") != "page" or page.get("in_trash") or page.get("archived"):
                    continue
                self._complete(page)
                rows.add(columns.row(page))
                if self._settings.content:
                    below += self._page(page)
            self.rows += rows.rows
            target = self._folder / f"{identifier}.parquet"
            rows.write(target, order_by=("notion_created_time", "notion_id"))
        proof = self._proof(f"data_sources/{identifier}/query", title=title, rows=rows.rows)
        self._into.put_file(f"databases/{identifier}.parquet", target, proof=proof)
        target.unlink()
        return below

    def _complete(self, page: dict[str, Any]) -> None:
        """Fetch the rest of those property values of which a page carries the first 25 only."""
        for found in page.get("properties", {}).values():
            kind = found.get("type", "")
            if kind not in CUT or not (found.get("has_more") or len(found.get(kind) or ()) >= CUT_AT):
                continue
            path = f"pages/{page['id']}/properties/{urllib.parse.quote(urllib.parse.unquote(found['id']), safe='')}"
            found[kind] = [item[kind] for item in self._client.get_all(path) if item.get("type") == kind]
            found["has_more"] = False

    def _page(self, page: dict[str, Any]) -> list[tuple[str, str]]:
        """Pull a page where it changed; return what lies below it."""
        identifier = _compact(page["id"])
        if identifier in self.seen or page.get("in_trash") or page.get("archived"):
            return []
        known, paths = self._known.get(identifier), (f"pages/{identifier}.json", f"pages/{identifier}.md")
        if known is None or known.edited != page["last_edited_time"] or any(p not in self._into.current for p in paths):
            known = self._fetch(identifier, page, paths)
        else:
            for path in paths:
                self._into.keep(path)
        self.seen[identifier] = known
        return [("page", each) for each in known.pages] + [("database", each) for each in known.databases]

    def _fetch(self, identifier: str, page: dict[str, Any], paths: tuple[str, str]) -> Known:
        blocks = list(self._blocks(identifier, 0))
        self.fetched += 1
        raw, markdown = paths
        proof = self._proof(f"pages/{identifier}", last_edited_time=page["last_edited_time"], url=page.get("url"))
        content = msgspec.json.format(msgspec.json.encode({"page": page, "blocks": blocks}), indent=1)
        self._into.put_file(raw, content, media="application/json", proof=proof)
        text = to_markdown(_title(page), blocks)
        self._into.put_file(markdown, text.encode(), media="text/markdown", proof=proof)
        # Notion tells times in whole minutes: within that of the last edit another may come and not be seen.
        settled = _seconds(page["last_edited_time"]) + _MINUTE_S <= self._client.server_time
        known = Known(page["last_edited_time"] if settled else "")
        for each in _flat(blocks):
            if each.get("type") == "child_page":
                known.pages.append(_compact(each["id"]))
            elif each.get("type") == "child_database":
                known.databases.append(_compact(each["id"]))
        return known

    def _blocks(self, identifier: str, depth: int) -> Iterator[dict[str, Any]]:
        """Yield the blocks below a page or block, each with its own as ``children``; those of a child page are its."""
        for block in self._client.get_all(f"blocks/{identifier}/children"):
            if block.get("has_children") and block.get("type") not in ("child_page", "child_database"):
                if depth >= _DEEPEST:
                    raise InvalidInputError(
                        f"blocks lie more than {_DEEPEST} deep below {identifier}: flatten the page."
                    )
                block["children"] = list(self._blocks(block["id"], depth + 1))
            yield block

    def _proof(self, path: str, **values: Any) -> dict[str, Any]:
        asked = f"{self._settings.address}/v1/{path}"
        return {"from": asked, "notion_version": VERSION, "fetched_at": self._into.now(), **values}


def _flat(blocks: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for block in blocks:
        yield block
        yield from _flat(block.get("children", []))


def _title(page: dict[str, Any]) -> str:
    for found in page.get("properties", {}).values():
        if found.get("type") == "title":
            return plain(found.get("title") or [])
    return ""


def _seconds(time: str) -> float:
    return dt.datetime.fromisoformat(time).timestamp()


def _compact(identifier: str) -> str:
    return identifier.replace("-", "")


def _identifier(given: str) -> str:
    """Return the id in what a person gave: an id with or without dashes, or an address that ends with one."""
    path = urllib.parse.urlsplit(given).path.rstrip("/") if "://" in given else given
    found = _ID.search(path.replace("-", "").lower())
    if found is None:
        raise InvalidInputError(f"'{given}' is no id of Notion: give 32 hexadecimal digits, or the page's address.")
    return found.group()


def _require_usable(given: NotionSettings) -> None:
    if not given.databases and not given.pages:
        raise InvalidInputError("a source of kind 'notion' needs 'databases' or 'pages'.")
    if not given.token.startswith(PREFIX):
        raise InvalidInputError(
            "the token would be kept with the project: put it into an environment variable, and write "
            'token = "env:NAME".'
        )
    parts = urllib.parse.urlsplit(given.address)
    if parts.scheme != "https" and parts.hostname not in ("127.0.0.1", "localhost", "::1"):
        raise InvalidInputError(f"the token is sent over https only, and 'address' is {given.address}.")
    if given.per_second <= 0 or given.timeout_s <= 0:
        raise InvalidInputError("'per_second' and 'timeout_s' are more than 0.")

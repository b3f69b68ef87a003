"""Cards of steps on the page of their run: Markdown, tables, charts in the page, HTML and images fetched apart."""

from __future__ import annotations

import functools
from typing import Any
from urllib.parse import quote

import msgspec
from markupsafe import Markup

from headwater.errors import HeadwaterError
from headwater.flow.cards import CardInfo, list_cards, read_card
from headwater.project import Project

from .rendering import chart

MOST_SHOWN = 60
_ROWS_SHOWN = 100
# What a step wrote runs nothing and fetches nothing, in its frame or opened by itself: no scripts, no forms, an origin
# of its own.
POLICY = (
    "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; font-src data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'self'"
)


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """One card as the page shows it: ``body`` is ready, or what it is fetched from is in ``address``."""

    info: CardInfo
    body: Markup | None = None
    address: str = ""
    table: dict[str, Any] | None = None


def shown_cards(project: Project, run: str) -> list[Shown]:
    """Return the cards of a run as its page shows them; one whose bytes are gone says so in their place."""
    found = []
    for info in list_cards(project, run, limit=MOST_SHOWN):
        try:
            found.append(_shown(project, info))
        except HeadwaterError as error:
            found.append(Shown(info=info, body=Markup('<p class="muted">{}</p>').format(error.message)))
    return found


def _shown(project: Project, info: CardInfo) -> Shown:
    if info.kind in ("html", "image"):
        return Shown(info=info, address=f"/cards/{quote(info.task)}/{info.position}")
    data = read_card(project, info.task, info.position).data
    if info.kind == "markdown":
        return Shown(info=info, body=markdown(data.decode("utf-8", "replace")))
    if info.kind == "chart":
        return Shown(info=info, body=chart(msgspec.json.decode(data), label=info.title or f"chart of {info.step}"))
    table = msgspec.json.decode(data)
    table["rows"] = table["rows"][:_ROWS_SHOWN]
    return Shown(info=info, table=table)


def markdown(text: str) -> Markup:
    """Return Markdown as HTML: HTML in it is shown as text, and addresses that run code are not links."""
    return Markup(_markdown().render(text))


@functools.cache
def _markdown() -> Any:
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])

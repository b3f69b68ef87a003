"""An executed notebook as a page: rendered here, everything escaped, images as data, no script.

Markdown is rendered without its HTML. Of HTML that a cell gave (a frame's table, for instance) what structures text
is kept, without attributes; the rest is text. Pictures stand in ``img`` elements, in which SVG runs nothing.
"""

from __future__ import annotations

import base64
import binascii
import re
from html.parser import HTMLParser
from typing import Any

import msgspec
from markupsafe import Markup, escape

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_LONGEST = 200_000
_IMAGES = ("image/png", "image/jpeg", "image/gif", "image/webp")
_KEPT = frozenset(
    [
        "table",
        "thead",
        "tbody",
        "tfoot",
        "tr",
        "th",
        "td",
        "caption",
        "b",
        "i",
        "em",
        "strong",
        "code",
        "pre",
        "p",
        "br",
        "hr",
        "ul",
        "ol",
        "li",
        "dl",
        "dt",
        "dd",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "blockquote",
        "sub",
        "sup",
        "small",
    ]
)
_DROPPED = frozenset(("script", "style", "head", "title", "template", "iframe", "object", "svg", "math"))
_EMPTY = frozenset(("br", "hr"))


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """One cell as the page shows it. ``kind``: ``text``, ``code`` or ``given`` (the cell that the flow wrote)."""

    kind: str
    number: int | None
    source: str
    body: Markup


def shown_cells(text: str) -> list[Shown]:
    """Return the cells of an .ipynb file's text, rendered."""
    document = msgspec.json.decode(text)
    return [_cell(cell) for cell in document.get("cells", ())]


def _cell(cell: dict[str, Any]) -> Shown:
    source = _text(cell.get("source", ""))
    if cell.get("cell_type") != "code":
        body = _markdown(source) if cell.get("cell_type") == "markdown" else Markup("<pre>{}</pre>").format(source)
        return Shown(kind="text", number=None, source="", body=body)
    given = "injected-parameters" in cell.get("metadata", {}).get("tags", ())
    body = Markup("").join(_output(each) for each in cell.get("outputs", ()))
    number = cell.get("execution_count")
    return Shown(
        kind="given" if given else "code", number=number if isinstance(number, int) else None, source=source, body=body
    )


def _output(output: dict[str, Any]) -> Markup:
    kind = output.get("output_type")
    if kind == "stream":
        return _pre(_text(output.get("text", "")), "bad" if output.get("name") == "stderr" else "")
    if kind == "error":
        return _pre("\n".join(map(str, output.get("traceback", ()))), "bad")
    data = output.get("data", {})
    for media in _IMAGES:
        if media in data:
            return _image(media, _text(data[media]))
    if "image/svg+xml" in data:
        return _image("image/svg+xml", base64.b64encode(_text(data["image/svg+xml"]).encode()).decode())
    if "text/html" in data:
        return Markup('<div class="scroll">{}</div>').format(clean_html(_text(data["text/html"])))
    if "text/markdown" in data:
        return _markdown(_text(data["text/markdown"]))
    if "text/plain" in data:
        return _pre(_text(data["text/plain"]), "")
    return Markup('<p class="muted">An output of the type {} is not shown.</p>').format(", ".join(data) or "none")


def _image(media: str, text: str) -> Markup:
    try:
        data = base64.b64encode(base64.b64decode("".join(text.split()), validate=True)).decode()
    except (binascii.Error, ValueError):
        return Markup('<p class="muted">A picture that cannot be read is not shown.</p>')
    return Markup('<img src="data:{};base64,{}" alt="Output of the cell above">').format(media, data)


def _pre(text: str, kind: str) -> Markup:
    plain = _COLOURS.sub("", text)
    more = f"\n… {len(plain) - _LONGEST:,} more characters" if len(plain) > _LONGEST else ""
    return Markup('<pre tabindex="0" class="{}">{}</pre>').format(kind, plain[:_LONGEST] + more)


def _markdown(text: str) -> Markup:
    from markdown_it import MarkdownIt

    made = MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")
    return Markup('<div class="prose">{}</div>').format(Markup(made.render(text)))


def _text(given: Any) -> str:
    return given if isinstance(given, str) else "".join(map(str, given)) if isinstance(given, list) else str(given)


def clean_html(text: str) -> Markup:
    """Return HTML with the elements that structure text and without attributes; what is left out leaves its text."""
    cleaner = _Cleaner()
    cleaner.feed(text[:_LONGEST])
    cleaner.close()
    return Markup("".join(cleaner.parts + [f"</{each}>" for each in reversed(cleaner.open)]))


class _Cleaner(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self.open: list[str] = []
        self.silent: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _DROPPED:
            self.silent.append(tag)
        elif not self.silent and tag in _KEPT:
            self.parts.append(f"<{tag}>")
            if tag not in _EMPTY:
                self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if not self.silent and tag in _EMPTY:
            self.parts.append(f"<{tag}>")

    def handle_endtag(self, tag: str) -> None:
        if tag in self.silent:
            del self.silent[self.silent.index(tag) :]
        elif not self.silent and tag in self.open:
            while self.open:
                last = self.open.pop()
                self.parts.append(f"</{last}>")
                if last == tag:
                    break

    def handle_data(self, data: str) -> None:
        if not self.silent:
            self.parts.append(str(escape(data)))

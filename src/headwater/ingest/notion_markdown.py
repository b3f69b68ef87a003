"""Notion's blocks as Markdown, for people and for models that read text; the raw JSON beside it has the rest."""

from __future__ import annotations

import urllib.parse
from collections.abc import Callable
from typing import Any

_MARKS = (("code", "`"), ("bold", "**"), ("italic", "*"), ("strikethrough", "~~"))
_BEFORE = {
    "paragraph": "",
    "heading_1": "# ",
    "heading_2": "## ",
    "heading_3": "### ",
    "bulleted_list_item": "- ",
    "toggle": "- ",
    "quote": "> ",
    "callout": "> ",
}
_LISTS = ("bulleted_list_item", "numbered_list_item", "to_do", "toggle")
_ATTACHED = ("image", "video", "file", "pdf", "audio", "bookmark", "embed", "link_preview")
_HOLDERS = ("column_list", "column", "synced_block", "tab")


def to_markdown(title: str, blocks: list[dict[str, Any]]) -> str:
    """Return a page as Markdown: its title, then its blocks. A block carries those below it as ``children``."""
    lines = [f"# {title}", ""] if title else []
    _write(blocks, "", lines)
    return "\n".join(lines).rstrip() + "\n"


def _write(blocks: list[dict[str, Any]], indent: str, lines: list[str]) -> None:
    number = 0
    for block in blocks:
        kind = block.get("type", "")
        content = block.get(kind) or {}
        number = number + 1 if kind == "numbered_list_item" else 0
        for line in _lines(kind, content, number, block):
            lines.append(f"{indent}{line}".rstrip())
        if kind not in _LISTS and kind not in _HOLDERS:
            lines.append("")
        below = block.get("children", [])
        if below and kind != "table":
            _write(below, indent + ("    " if kind in _LISTS else "> " if kind in ("quote", "callout") else ""), lines)


def _lines(kind: str, content: dict[str, Any], number: int, block: dict[str, Any]) -> list[str]:
    text = rich(content.get("rich_text", []))
    if kind in _BEFORE:
        before = _BEFORE[kind]
        follow = "> " if before == "> " else " " * len(before) if kind in _LISTS else ""
        return [f"{before if at == 0 else follow}{line}" for at, line in enumerate(text.split("\n"))]
    if kind == "numbered_list_item":
        return [f"{number}. {text}"]
    if kind == "to_do":
        return [f"- [{'x' if content.get('checked') else ' '}] {text}"]
    if kind in _ATTACHED:
        return [_attached(kind, content)]
    if kind in _HOLDERS:
        return []
    written = _WRITTEN.get(kind)
    return written(content, block) if written else [f"<!-- {kind or 'block'} -->"]


def _code(content: dict[str, Any], block: dict[str, Any]) -> list[str]:
    source = "".join(each.get("plain_text", "") for each in content.get("rich_text", []))
    language = content.get("language", "")
    fence = "```"
    while fence in source:
        fence += "`"
    return [f"{fence}{'' if language == 'plain text' else language}", *source.split("\n"), fence]


def _table(content: dict[str, Any], block: dict[str, Any]) -> list[str]:
    rows = [
        [rich(cell).replace("|", "\\|").replace("\n", " ") for cell in (row.get("table_row") or {}).get("cells", [])]
        for row in block.get("children", [])
    ]
    if not rows:
        return []
    head = rows.pop(0) if content.get("has_column_header") else [""] * len(rows[0])
    return [f"| {' | '.join(each)} |" for each in (head, ["---"] * len(head), *rows)]


_WRITTEN: dict[str, Callable[[dict[str, Any], dict[str, Any]], list[str]]] = {
    "code": _code,
    "table": _table,
    "divider": lambda content, block: ["---"],
    "equation": lambda content, block: ["$$", str(content.get("expression", "")), "$$"],
    "child_page": lambda content, block: [f"[{content.get('title', '')}]({block.get('id', '')}.md)"],
    "child_database": lambda content, block: [f"<!-- database {content.get('title', '')} {block.get('id', '')} -->"],
    "link_to_page": lambda content, block: [f"[]({content.get('page_id') or content.get('database_id') or ''}.md)"],
}


def _attached(kind: str, content: dict[str, Any]) -> str:
    url = content.get("url") or (content.get("external") or content.get("file") or {}).get("url", "")
    if "file" in content:
        url = urllib.parse.urlsplit(url)._replace(query="").geturl()  # signed for an hour
    said = rich(content.get("caption", [])) or content.get("name") or kind
    return f"{'!' if kind == 'image' else ''}[{said}]({url})"


def rich(texts: list[dict[str, Any]]) -> str:
    """Return rich text with its marks and links."""
    return "".join(_marked(each) for each in texts)


def _marked(text: dict[str, Any]) -> str:
    said = str(text.get("plain_text", ""))
    if text.get("type") == "equation":
        return f"${said}$"
    inner = said.strip()
    if not inner:
        return said
    before, after = said[: len(said) - len(said.lstrip())], said[len(said.rstrip()) :]
    annotations = text.get("annotations") or {}
    for name, mark in _MARKS:
        if annotations.get(name):
            inner = f"{mark}{inner}{mark}"
    if text.get("href"):
        inner = f"[{inner}]({text['href']})"
    return f"{before}{inner}{after}"

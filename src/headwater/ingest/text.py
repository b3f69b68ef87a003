"""Main text of web pages: what a reader came for, without menus and footers. Needs the extra ``text``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from ..canonical import digest
from ..errors import MissingExtraError
from .intake import Extract, Extracted

_LARGEST_BYTES = 20 << 20


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """What was read of a page; ``problem`` says why there is no text, "" where there is one."""

    title: str = ""
    text: str = ""
    author: str = ""
    date: str = ""
    language: str = ""
    description: str = ""
    problem: str = ""

    @property
    def digest(self) -> str:
        """The digest of title and text: it stays when only what is around them changes."""
        return digest(f"{self.title}\n{self.text}".encode())


def read_page(data: bytes, url: str = "") -> Reading:
    """Return the main text of an HTML page with its title and what the page says of itself.

    Raises:
        MissingExtraError: the extra ``text`` is not installed.
    """
    try:
        from trafilatura import bare_extraction
    except ImportError as error:
        raise MissingExtraError("trafilatura", "text", "extracting the main text of web pages") from error
    if len(data) > _LARGEST_BYTES:
        return Reading(problem=f"the page has {len(data):,} bytes; text is taken of at most {_LARGEST_BYTES:,}")
    try:
        found = bare_extraction(data, url=url or None, with_metadata=True, include_comments=False)
    except Exception as error:  # noqa: BLE001  # whatever a parser does over a broken page: said, and the pull goes on
        return Reading(problem=f"it could not be parsed: {type(error).__name__}: {error}"[:500])
    if found is None:
        return Reading(problem="no main text was found in it", language=_language(data))
    given: dict[str, Any] = found if isinstance(found, dict) else found.as_dict()

    def word(name: str) -> str:
        return str(given.get(name) or "")

    return Reading(
        title=word("title"),
        text=word("text"),
        author=word("author"),
        date=word("date"),
        language=word("language") or _language(data),
        description=word("description"),
    )


def is_page(path: str, media: str) -> bool:
    """Tell whether a file is a web page."""
    return media in ("text/html", "application/xhtml+xml") or path.lower().endswith((".html", ".htm", ".xhtml"))


def text_of(file: Path, path: str) -> Extracted:
    """Return the table of a web page's text, one row."""
    found = read_page(file.read_bytes())
    row = {"path": path, **msgspec.structs.asdict(found), "digest": found.digest}
    note = {"problem": found.problem} if found.problem else {}
    return {name: [value] for name, value in row.items()}, note


TEXT = Extract(".text.parquet", is_page, text_of)


def _language(data: bytes) -> str:
    """Return the language that the page's own ``lang`` attribute gives."""
    import re

    found = re.search(rb"<html[^>]{0,2000}?\blang\s*=\s*[\"']?([A-Za-z-]{2,35})", data[:20_000], re.IGNORECASE)
    return found[1].decode().lower() if found else ""

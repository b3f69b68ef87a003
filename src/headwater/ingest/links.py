"""Addresses of pages: found in HTML and sitemaps, spelled one way, and named as files."""

from __future__ import annotations

import gzip
import html
import io
import posixpath
import re
import urllib.parse
import zlib
from html.parser import HTMLParser

from ..canonical import digest

_LONGEST_NAME = 150
_LARGEST_SITEMAP = 50 << 20
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class _Anchors(HTMLParser):
    """Collects where a page's anchors lead, and whether the page asks not to follow them."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[str] = []
        self.base = ""
        self.follow = True

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "a" and given.get("href") and "nofollow" not in given.get("rel", "").lower():
            self.found.append(given["href"])
        elif tag == "base" and not self.base:
            self.base = given.get("href", "")
        elif tag == "meta" and given.get("name", "").lower() in ("robots", "headwater"):
            words = given.get("content", "").lower()
            self.follow = self.follow and "nofollow" not in words and "none" not in words


def links_of(data: bytes, url: str, charset: str = "") -> list[str]:
    """Return the addresses that a page's anchors lead to, each once, in order; none where it asks not to follow."""
    reader = _Anchors()
    try:
        text = data.decode(charset or "utf-8", "replace")
    except LookupError:  # a charset that does not exist
        text = data.decode("utf-8", "replace")
    reader.feed(text)
    reader.close()
    if not reader.follow:
        return []
    base = _joined(url, reader.base) or url
    found = (_joined(base, target) for target in reader.found)
    return list(dict.fromkeys(each for each in found if each))


def sitemap_of(data: bytes) -> tuple[list[str], list[str]]:
    """Return the pages and the further sitemaps that a sitemap names, of XML (plain or gzip) or lines of text."""
    if data[:2] == b"\x1f\x8b":
        try:
            with gzip.GzipFile(fileobj=io.BytesIO(data)) as stream:
                data = stream.read(_LARGEST_SITEMAP)
        except (OSError, EOFError, zlib.error):
            return [], []
    text = data.decode("utf-8", "replace")
    # By pattern and not by an XML parser: nothing in a sitemap can make this expand or fetch anything.
    places = [html.unescape(found.strip()) for found in re.findall(r"<loc>\s*([^<]{1,4000}?)\s*</loc>", text)]
    if not places and "<" not in text:
        places = [line.strip() for line in text.splitlines() if line.strip().startswith("http")]
    places = [each for each in (normal_url(place) for place in places) if each]
    return ([], places) if "<sitemapindex" in text else (places, [])


def normal_url(url: str) -> str:
    """Return an http(s) URL in one spelling, without its fragment; "" for anything else."""
    try:
        parts = urllib.parse.urlsplit(url.strip())
        port = parts.port
    except ValueError:
        return ""
    if parts.scheme.lower() not in ("http", "https") or not parts.hostname or parts.username is not None:
        return ""
    scheme = parts.scheme.lower()
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    place = host if port in (None, 443 if scheme == "https" else 80) else f"{host}:{port}"
    path = urllib.parse.quote(_without_dots(parts.path or "/"), safe="/%:@!$&'()*+,;=~-._")
    query = urllib.parse.quote(parts.query, safe="/?%:@!$&'()*+,;=~-._[]")
    return urllib.parse.urlunsplit((scheme, place, path, query, ""))


def file_name(url: str) -> str:
    """Return the path under which a page is kept: like its own, with part of a digest wherever it had to differ."""
    parts = urllib.parse.urlsplit(url)
    names = [part for part in parts.path.split("/") if part]
    fits = all(_PLAIN.fullmatch(name) for name in names) and len(parts.path) <= _LONGEST_NAME
    place = (parts.netloc if _PLAIN.fullmatch(parts.netloc) else parts.netloc.translate(_HOST)) + "/"
    if fits and names and names[-1].endswith(".html") and not parts.query and not parts.path.endswith("/"):
        return f"html/{place}{'/'.join(names)}"
    kept = "/".join(name for name in names if _PLAIN.fullmatch(name))[:_LONGEST_NAME].strip("/") or "index"
    return f"html/{place}{kept}~{digest(url.encode())[:12]}.html"


_HOST = str.maketrans({":": "_", "[": "", "]": ""})


def _joined(base: str, target: str) -> str:
    try:
        return normal_url(urllib.parse.urljoin(base, target.strip()))
    except ValueError:
        return ""


def _without_dots(path: str) -> str:
    if "/." not in path:
        return path
    found = posixpath.normpath(path)
    found = "/" + found.lstrip("/")
    return found + "/" if path.endswith(("/", "/.", "/..")) and found != "/" else found

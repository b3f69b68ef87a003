"""robots.txt as RFC 9309 reads it: groups by product token, the longest matching rule, ``*`` and ``$`` in paths."""

from __future__ import annotations

import re
import urllib.parse

TOKEN = "headwater"
"""The product token by which a site addresses this program; the User-Agent begins with it."""
_LARGEST_BYTES = 500 << 10
_LONGEST_DELAY_S = 300.0


class Robots:
    """What a site's robots.txt says to this program."""

    def __init__(self, data: bytes) -> None:
        groups, self.sitemaps = _parsed(data[:_LARGEST_BYTES].decode("utf-8", "replace"))
        mine = [lines for agents, lines in groups if TOKEN in agents]
        chosen = mine or [lines for agents, lines in groups if "*" in agents]
        lines = [line for group in chosen for line in group]
        self._rules = [(path, key == "allow") for key, path in lines if key in ("allow", "disallow") and path]
        delays = [_seconds(value) for key, value in lines if key == "crawl-delay"]
        self.delay_s = max(delays, default=0.0)

    def allows(self, url: str) -> bool:
        """Tell whether the site lets this program fetch a URL; of two equally long rules, the one that allows wins."""
        parts = urllib.parse.urlsplit(url)
        place = _normal((parts.path or "/") + (f"?{parts.query}" if parts.query else ""))
        if place == "/robots.txt":
            return True
        matching = [(len(path), allowed) for path, allowed in self._rules if _matches(path, place)]
        return max(matching, default=(0, True))[1]


def _parsed(text: str) -> tuple[list[tuple[set[str], list[tuple[str, str]]]], list[str]]:
    groups: list[tuple[set[str], list[tuple[str, str]]]] = []
    sitemaps: list[str] = []
    naming = False
    for line in text.lstrip("\ufeff").splitlines():
        key, colon, value = line.partition("#")[0].partition(":")
        key, value = key.strip().lower(), value.strip()
        if not colon:
            continue
        if key == "user-agent":
            if not naming:
                groups.append((set(), []))
            # 'headwater/1.0' addresses the product 'headwater'.
            groups[-1][0].add(value.lower().partition("/")[0].strip())
            naming = True
        elif key == "sitemap":
            sitemaps.append(value)
        elif key in ("allow", "disallow", "crawl-delay"):
            naming = False
            if groups:
                groups[-1][1].append((key, value))
    return groups, sitemaps


def _matches(rule: str, place: str) -> bool:
    ends = rule.endswith("$")
    parts = [re.escape(_normal(part)) for part in (rule[:-1] if ends else rule).split("*")]
    return re.match(".*".join(parts) + ("$" if ends else ""), place, re.DOTALL) is not None


def _normal(path: str) -> str:
    """Return a path with its percent-encoding in one spelling."""
    return urllib.parse.quote(urllib.parse.unquote(path), safe="/?&=:@!$'()*+,;~-._")


def _seconds(text: str) -> float:
    try:
        return max(0.0, min(float(text), _LONGEST_DELAY_S))
    except ValueError:
        return 0.0

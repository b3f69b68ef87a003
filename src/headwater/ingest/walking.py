"""A site as a polite program meets it: robots.txt first, a pause between requests, nothing beyond what was declared."""

from __future__ import annotations

import time
import urllib.parse
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from ..errors import DeniedError, InvalidInputError, NotFoundError, RefusedError
from .fetching import Fetched, fetcher_of, origin_of, require_no_secrets
from .links import normal_url, sitemap_of
from .robots import Robots

_SITEMAPS = 50


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Where a walk begins (``url``, ``urls``) and how far it goes.

    ``prefix``: only addresses that begin so (else: those of the hosts it begins at). ``depth``: links away from where
    it begins. ``delay_s``: between two requests to a host; a longer one that robots.txt asks for is kept. ``sitemap``:
    also begin at the pages that the site's sitemap names. ``allow_private`` as for kind ``http``.
    """

    url: str = ""
    urls: list[str] = []
    prefix: str = ""
    depth: int = 1
    max_pages: int = 100
    delay_s: float = 1.0
    sitemap: bool = False
    headers: dict[str, str] = {}
    largest_mib: int = 20
    timeout_s: float = 30.0
    limit_s: float = 300.0
    retries: int = 2
    backoff_s: float = 1.0
    allow_private: bool | list[str] = False

    def starts(self) -> list[str]:
        """Return the addresses that the walk begins at."""
        return ([self.url] if self.url else []) + self.urls

    def covers(self, url: str) -> bool:
        """Tell whether an address is one of those that the walk may go to."""
        if self.prefix:
            return url.startswith(normal_url(self.prefix))
        return origin_of(url) in {origin_of(start) for start in self.starts()}

    def require_usable(self) -> None:
        """Raise InvalidInputError for bounds that make no sense."""
        if self.depth < 0 or not 1 <= self.max_pages <= 1_000_000 or self.delay_s < 0:
            raise InvalidInputError(
                f"depth = {self.depth}, max_pages = {self.max_pages}, delay_s = {self.delay_s}: depth and delay_s are "
                "0 or more, max_pages is 1 to 1,000,000."
            )
        require_no_secrets(self.headers)
        if self.prefix and not normal_url(self.prefix):
            raise InvalidInputError(f"prefix = '{self.prefix}' is no beginning of an address: write https://HOST/...")


class Skipped(Exception):
    """An address that is not to be fetched: the site does not allow it, it is elsewhere, or it is no page."""

    def __init__(self, why: str, url: str) -> None:
        super().__init__(why)
        self.refusal = RefusedError(why, url=url)


class Site:
    """Fetches pages of one walk, politely."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self._settings = settings
        self._folder = folder
        self._robots: dict[str, Robots] = {}
        self._asked_at: dict[str, float] = {}
        self._fetcher = fetcher_of(settings, settings.starts(), self._require_allowed)
        self._plain = fetcher_of(settings, settings.starts())

    def fetch(self, url: str, file: Path, *, known: Mapping[str, str]) -> Fetched:
        """Fetch a page after the pause; raises as ``Fetcher.fetch``, and Skipped where it is not to be fetched."""
        self._require_allowed(url)
        self._pause(url)
        return self._fetcher.fetch(url, file, known=known)

    def allows(self, url: str) -> bool:
        """Tell whether the site's robots.txt lets this program fetch an address."""
        return self._robots_of(url).allows(url)

    def delay_s(self, url: str) -> float:
        """Return the pause between two requests to the host of an address."""
        return max(self._settings.delay_s, self._robots_of(url).delay_s)

    def sitemap_pages(self, starts: Sequence[str]) -> list[str]:
        """Return the pages that the sitemaps of the starts' sites name, as far as the walk may go there."""
        if not self._settings.sitemap:
            return []
        waiting = []
        for start in starts:
            parts = urllib.parse.urlsplit(start)
            named = self._robots_of(start).sitemaps
            waiting += named or [f"{parts.scheme}://{parts.netloc}/sitemap.xml"]
        pages: list[str] = []
        seen: set[str] = set()
        file = self._folder / "sitemap"
        while waiting and len(seen) < _SITEMAPS and len(pages) < self._settings.max_pages:
            url = normal_url(waiting.pop(0))
            if not url or url in seen:
                continue
            seen.add(url)
            try:
                self._pause(url)
                self._plain.fetch(url, file)
            except NotFoundError:
                continue
            found, further = sitemap_of(file.read_bytes())
            pages += [page for page in found if self._settings.covers(page)]
            waiting += further
        return pages

    def _require_allowed(self, url: str) -> None:
        """Raise Skipped for an address that the walk may not go to, also where a redirect leads there."""
        if not self._settings.covers(url) and url not in {normal_url(start) for start in self._settings.starts()}:
            raise Skipped(f"{url} is not below what the source declares, so it was not fetched.", url=url)
        if not self.allows(url):
            raise Skipped(
                f"{url} was not fetched: the site's robots.txt does not allow it to 'headwater'. Ask the site's owner, "
                "or take another address.",
                url=url,
            )

    def _robots_of(self, url: str) -> Robots:
        """Return the robots.txt of an address's site: none there allows all, a server that fails allows nothing."""
        origin = origin_of(url)
        if origin not in self._robots:
            parts = urllib.parse.urlsplit(url)
            file = self._folder / "robots"
            self._asked_at[origin] = time.monotonic()
            try:
                self._plain.fetch(f"{parts.scheme}://{parts.netloc}/robots.txt", file)
                self._robots[origin] = Robots(file.read_bytes())
            except (NotFoundError, DeniedError, InvalidInputError):  # RFC 9309, 2.3.1.3: unavailable means no rules
                self._robots[origin] = Robots(b"")
        return self._robots[origin]

    def _pause(self, url: str) -> None:
        origin = origin_of(url)
        delay_s = self.delay_s(url)
        wait_s = self._asked_at.get(origin, -delay_s) + delay_s - time.monotonic()
        if wait_s > 0:
            time.sleep(wait_s)
        self._asked_at[origin] = time.monotonic()

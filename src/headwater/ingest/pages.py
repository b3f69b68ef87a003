"""Web pages: a polite walk over one site, each page's HTML kept with a table of the main texts."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import msgspec

from ..canonical import digest
from ..duck import connect
from ..errors import HeadwaterError, InvalidInputError, NotFoundError
from ..lake import Entry
from .fetching import Fetched, split_url
from .links import file_name, links_of, normal_url
from .secrets import bare_url
from .source import Pulled, Source, read_settings
from .text import Reading, read_page
from .values import Planned
from .walking import Settings, Site, Skipped

if TYPE_CHECKING:
    from .intake import Intake

TABLE = "pages.parquet"
_HTML = ("text/html", "application/xhtml+xml")
_NOTED = 20


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """A page in the table. ``fetched_at``: when this text was first seen; ``digest`` is that of title and text."""

    url: str
    title: str
    text: str
    author: str
    date: str
    language: str
    description: str
    problem: str
    fetched_at: int
    digest: str
    path: str


class PageSource(Source):
    """Web pages from one or more addresses on, below one prefix, as far as robots.txt lets this program go."""

    kind: ClassVar[str] = "page"

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    @classmethod
    def from_settings(cls, settings: dict[str, Any], *, root: Path) -> Self:
        found = read_settings(cls.kind, settings, Settings)
        if not found.starts():
            raise InvalidInputError("a source of kind 'page' needs url = \"https://...\", where to begin.")
        for url in found.starts():
            split_url(url)
        found.require_usable()
        return cls(found)

    @property
    def text(self) -> str:
        """The addresses that the walk begins at."""
        return ", ".join(bare_url(url) for url in self._settings.starts())

    def pull(self, since: dict[str, Any] | None, into: Intake) -> Pulled:
        walk = _Walk(self._settings, (since or {}).get("pages", {}), into)
        walk.run()
        walk.finish()
        return Pulled(state={"pages": walk.state}, note=walk.note())

    def plan(self, since: dict[str, Any] | None, current: Mapping[str, Entry]) -> list[Planned]:
        before = (since or {}).get("pages", {})
        starts = [normal_url(url) for url in self._settings.starts()]
        planned = [
            Planned(act="ask" if url in before else "fetch", what=url, why="the walk begins here") for url in starts
        ]
        planned += [
            Planned(act="ask", what=url, why="was there at the last pull") for url in before if url not in starts
        ]
        why = f"what they lead to, {self._settings.depth} links deep, at most {self._settings.max_pages} pages"
        return [*planned, Planned(act="fetch", what="further pages", why=why)]

    def test(self) -> str:
        with tempfile.TemporaryDirectory(prefix="headwater-") as folder:
            site = Site(self._settings, Path(folder))
            said = []
            for url in self._settings.starts():
                allowed = "allows" if site.allows(url) else "does not allow"
                said.append(f"{bare_url(url)}: robots.txt {allowed} it, {site.delay_s(url):g} s between requests")
        return "; ".join(said)


class _Walk:
    """One pull: which pages were looked at, what came of each, and the rows of the table."""

    def __init__(self, settings: Settings, before: dict[str, dict[str, str]], into: Intake) -> None:
        self.state: dict[str, dict[str, str]] = {}
        self._settings = settings
        self._before = before
        self._into = into
        self._site = Site(settings, into.folder)
        self._rows_before = _rows_of(into)
        self._rows: dict[str, Row] = {}
        self._problems: list[str] = []
        self._around: list[str] = []
        self._skipped = 0
        self._gone: set[str] = set()
        self._whole = True

    def run(self) -> None:
        """Walk breadth first; a page that fails is noted and leaves the others, unless all starts fail."""
        starts = [normal_url(url) for url in self._settings.starts()]
        waiting = [(url, 0) for url in dict.fromkeys([*starts, *self._site.sitemap_pages(starts)])]
        seen = {url for url, _ in waiting}
        failures: dict[str, HeadwaterError] = {}
        looked_at = 0
        while waiting:
            url, depth = waiting.pop(0)
            if looked_at >= self._settings.max_pages:
                self._whole = False
                break
            try:
                links = self._look(url)
            except Skipped as why:
                self._skipped += 1
                if url in starts:
                    failures[url] = why.refusal
                continue
            except HeadwaterError as error:
                failures[url] = error
                self._failed(url, error)
                continue
            looked_at += 1
            self._into.expect(looked_at + len(waiting))
            if depth < self._settings.depth:
                new = [link for link in links if link not in seen and self._settings.covers(link)]
                seen.update(new)
                waiting += [(link, depth + 1) for link in new]
        if all(url in failures for url in starts):
            raise failures[starts[0]]

    def finish(self) -> None:
        """Keep or remove the pages that were not met, and put the table."""
        for url, known in self._before.items():
            if url in self.state or known["path"] not in self._into.current:
                continue
            if url in self._gone or (self._whole and not self._problems):
                self._into.remove(known["path"])
            else:
                self._as_before(url)
        if not self._rows:
            if TABLE in self._into.current:
                self._into.remove(TABLE)
            return
        rows = [self._rows[url] for url in sorted(self._rows)]
        if TABLE in self._into.current and rows == [self._rows_before[url] for url in sorted(self._rows_before)]:
            self._into.keep(TABLE)
            return
        self._into.put_table(TABLE, _columns(rows), proof={"pages": len(rows)})

    def note(self) -> str:
        """Return what a person should know of this pull."""
        said = []
        if self._around:
            said.append(f"{len(self._around)} pages changed only around their text, and were left as they were")
        if self._skipped:
            said.append(f"{self._skipped} addresses were not fetched (robots.txt, another site, or no HTML)")
        if not self._whole:
            said.append(f"max_pages = {self._settings.max_pages} was reached")
        return "; ".join([*said, *self._problems[:_NOTED]])

    def _look(self, url: str) -> list[str]:
        """Fetch one page if it changed, take it in, and return where it leads."""
        before = self._before.get(url)
        there = self._into.current.get(before["path"]) if before else None
        known: dict[str, str] = {}
        if before and there is not None and before["html"] == there.digest and url in self._rows_before:
            known = before
        file = self._into.folder / "page"
        found = self._site.fetch(url, file, known=known)
        if found.status == 304 and before:
            self._as_before(url)
            with self._into.open_current(before["path"]) as stream:
                return links_of(stream.read(), url)
        if found.media and found.media not in _HTML:
            raise Skipped(f"{url} is {found.media}, not HTML.", url=url)
        data = file.read_bytes()
        self._take(url, data, found)
        return links_of(data, url, found.charset)

    def _take(self, url: str, data: bytes, found: Fetched) -> None:
        reading = read_page(data, url)
        path = file_name(url)
        before, row = self._before.get(url), self._rows_before.get(url)
        if row is not None and before and row.digest == reading.digest and before["path"] in self._into.current:
            there = self._into.current[before["path"]]
            if there.digest != digest(data):
                self._around.append(url)
            self._as_before(url, found)
            return
        proof = {"url": url, "final_url": found.url, "fetched_at": self._into.now(), **found.validators()}
        entry = self._into.put_file(path, data, media="text/html", proof=proof)
        self.state[url] = {"path": path, "html": entry.digest, **found.validators()}
        self._rows[url] = _row(url, path, reading, self._into.now())

    def _as_before(self, url: str, found: Fetched | None = None) -> None:
        known = self._before[url]
        self._into.keep(known["path"])
        # The ETag is that of the page with the newer surroundings: while it holds, the text stays what it is.
        self.state[url] = {**known, **(found.validators() if found else {})}
        if url in self._rows_before:
            self._rows[url] = self._rows_before[url]

    def _failed(self, url: str, error: HeadwaterError) -> None:
        if isinstance(error, NotFoundError):
            self._gone.add(url)
            if url in self._before:
                self._problems.append(f"{url} is gone")
            return
        self._problems.append(error.message)


def _row(url: str, path: str, reading: Reading, now: int) -> Row:
    return Row(
        url=url,
        title=reading.title,
        text=reading.text,
        author=reading.author,
        date=reading.date,
        language=reading.language,
        description=reading.description,
        problem=reading.problem,
        fetched_at=now,
        digest=reading.digest,
        path=path,
    )


def _rows_of(into: Intake) -> dict[str, Row]:
    """Return the rows of the last version's table by address."""
    if TABLE not in into.current:
        return {}
    import duckdb

    names = [field.name for field in msgspec.structs.fields(Row)]
    asked = ", ".join(f"epoch_us({name})" if name == "fetched_at" else name for name in names)
    file = into.project.objects.cached_path(into.current[TABLE].digest)
    try:
        with connect() as connection:
            found = connection.execute(f"SELECT {asked} FROM read_parquet(?)", (str(file),)).fetchall()
    except duckdb.Error:
        return {}  # somebody put another table under this name: every page is read anew
    rows = [Row(**dict(zip(names, values, strict=True))) for values in found]
    return {row.url: row for row in rows}


def _columns(rows: list[Row]) -> dict[str, Any]:
    import numpy

    columns: dict[str, Any] = {
        field.name: [getattr(row, field.name) for row in rows] for field in msgspec.structs.fields(Row)
    }
    columns["fetched_at"] = numpy.array(columns["fetched_at"], dtype="datetime64[us]")
    return columns

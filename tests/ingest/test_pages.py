from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.errors import InvalidInputError, RefusedError, UnavailableError
from headwater.ingest import plan, pull, reach_source, read_proof
from headwater.ingest.links import file_name, links_of, normal_url, sitemap_of
from headwater.ingest.robots import Robots
from headwater.lake import scan
from headwater.lake.names import path_bytes
from headwater.project import LocalProject
from tests.ingest.conftest import files_of
from tests.ingest.serving import Handler, Server, versioned

Declare = Callable[[str], None]
WORDS = "The river rises in the hills and carries its water past three mills before it reaches the plain. "


def html(title: str, text: str = WORDS, links: tuple[str, ...] = (), around: str = "") -> bytes:
    anchors = " ".join(f'<a href="{link}">{link}</a>' for link in links)
    return (
        f'<!doctype html><html lang="en"><head><title>{title}</title></head><body><nav>Menu {anchors}</nav>'
        f"<article><h1>{title}</h1><p>{text * 4}</p><p>{text} And so on.</p></article>"
        f"<footer>Imprint {around}</footer></body></html>"
    ).encode()


def page(body: bytes, etag: str = "") -> Callable[[Handler], None]:
    def answer(handler: Handler) -> None:
        if etag and handler.headers.get("If-None-Match") == etag:
            handler.reply(304)
        else:
            handler.reply(200, body, Content_Type="text/html; charset=utf-8", ETag=etag)

    return answer


def declare_pages(declare: Declare, site: Server, more: str = "", start: str = "/") -> None:
    declare(
        f'[[source]]\nname = "pages"\nkind = "page"\ndataset = "pages"\nurl = "{site.address}{start}"\n'
        f"allow_private = true\ndelay_s = 0\nbackoff_s = 0.01\n{more}"
    )


def table(project: LocalProject) -> list[dict[str, Any]]:
    return scan(project, "pages@main").sql("SELECT * FROM data ORDER BY url").to_dicts()


def test_pages_are_kept_with_a_table_of_their_main_texts(
    sqlite_project: LocalProject, declare: Declare, site: Server
) -> None:
    site.answers["/"] = page(html("Home", links=("/a.html", "/deep/b.html#part", "mailto:x@example.org")))
    site.answers["/a.html"] = page(html("The mill", links=("/c.html",)))
    site.answers["/deep/b.html"] = page(html("The dam"))
    site.answers["/c.html"] = page(html("Too deep"))
    declare_pages(declare, site)
    done = pull(sqlite_project, "pages")
    rows = table(sqlite_project)

    assert (done.outcome, [row["title"] for row in rows]) == ("published", ["Home", "The mill", "The dam"])
    assert all("carries its water" in row["text"] and "Imprint" not in row["text"] for row in rows)
    assert {row["language"] for row in rows} == {"en"}
    files = files_of(sqlite_project, "pages")
    assert files[rows[1]["path"]] == html("The mill", links=("/c.html",))
    assert site.paths()[0] == "/robots.txt"


def test_an_unchanged_site_makes_no_version_and_a_changed_page_one(
    sqlite_project: LocalProject, declare: Declare, site: Server
) -> None:
    site.answers["/"] = page(html("Home", links=("/a.html",)), '"h1"')
    site.answers["/a.html"] = page(html("Old"))
    declare_pages(declare, site)
    pull(sqlite_project, "pages")
    before = table(sqlite_project)
    second = pull(sqlite_project, "pages")
    site.answers["/a.html"] = page(html("New"))
    third = pull(sqlite_project, "pages")
    after = table(sqlite_project)

    assert (second.outcome, third.outcome) == ("unchanged", "published")
    assert [row["title"] for row in after] == ["Home", "New"]
    assert after[0] == before[0]
    assert after[1]["fetched_at"] > before[1]["fetched_at"]


def test_a_page_that_changed_only_around_its_text_is_noted_and_left(
    sqlite_project: LocalProject, declare: Declare, site: Server
) -> None:
    site.answers["/"] = page(html("Home", around="visitor 1"))
    declare_pages(declare, site)
    pull(sqlite_project, "pages")
    site.answers["/"] = page(html("Home", around="visitor 2"))
    again = pull(sqlite_project, "pages")

    assert again.outcome == "unchanged"
    assert "1 pages changed only around their text" in again.message


def test_what_robots_txt_disallows_is_not_fetched(sqlite_project: LocalProject, declare: Declare, site: Server) -> None:
    site.answers["/robots.txt"] = b"User-agent: *\nDisallow: /private/\nDisallow: /*.php$\n"
    site.answers["/"] = page(html("Home", links=("/private/x.html", "/form.php", "/ok.html", "/moved.html")))
    site.answers["/moved.html"] = lambda handler: handler.reply(302, Location="/private/x.html")
    site.answers["/ok.html"] = site.answers["/private/x.html"] = site.answers["/form.php"] = page(html("Page"))
    declare_pages(declare, site)
    done = pull(sqlite_project, "pages")

    assert not [path for path in site.paths() if path.startswith("/private") or path.endswith(".php")]
    assert [row["url"].removeprefix(site.address) for row in table(sqlite_project)] == ["/", "/ok.html"]
    assert "3 addresses were not fetched" in done.message


def test_a_start_that_robots_txt_disallows_fails_the_pull(
    sqlite_project: LocalProject, declare: Declare, site: Server
) -> None:
    site.answers["/robots.txt"] = b"User-agent: Headwater\nDisallow: /\n\nUser-agent: *\nDisallow:\n"
    site.answers["/"] = page(html("Home"))
    declare_pages(declare, site)

    with pytest.raises(RefusedError, match=r"robots\.txt does not allow it"):
        pull(sqlite_project, "pages")
    assert site.paths() == ["/robots.txt"]
    assert "does not allow it" in reach_source(sqlite_project, "pages").found


def test_a_site_whose_robots_txt_fails_is_left_alone(
    sqlite_project: LocalProject, declare: Declare, site: Server
) -> None:
    site.answers["/robots.txt"] = lambda handler: handler.reply(503)
    site.answers["/"] = page(html("Home"))
    declare_pages(declare, site, "retries = 0")

    with pytest.raises(UnavailableError, match="503"):
        pull(sqlite_project, "pages")
    assert set(site.paths()) == {"/robots.txt"}


def test_other_hosts_other_prefixes_and_what_is_no_html_are_left(
    sqlite_project: LocalProject, declare: Declare, site: Server
) -> None:
    elsewhere = site.address.replace("127.0.0.1", "localhost")
    links = (f"{elsewhere}/x.html", "/docs/a.html", "/blog/b.html", "/docs/picture.html", "/docs/out.html")
    site.answers["/docs/"] = page(html("Docs", links=links))
    site.answers["/docs/a.html"] = site.answers["/blog/b.html"] = page(html("A"))
    site.answers["/docs/picture.html"] = lambda handler: handler.reply(200, b"\x89PNG", Content_Type="image/png")
    site.answers["/docs/out.html"] = lambda handler: handler.reply(302, Location=f"{elsewhere}/x.html")
    declare_pages(declare, site, f'prefix = "{site.address}/docs/"', "/docs/")
    pull(sqlite_project, "pages")

    assert [row["url"].removeprefix(site.address) for row in table(sqlite_project)] == ["/docs/", "/docs/a.html"]
    assert all(headers["host"].startswith("127.0.0.1") for *_, headers in site.asked)


def test_the_number_of_pages_and_the_pause_between_them_are_bounded(
    sqlite_project: LocalProject, declare: Declare, site: Server
) -> None:
    times: list[float] = []

    def noting(handler: Handler) -> None:
        times.append(time.monotonic())
        page(html("Page", links=tuple(f"/{n}.html" for n in range(50))))(handler)

    site.answers |= {"/": noting, **{f"/{n}.html": noting for n in range(50)}}
    site.answers["/robots.txt"] = b"User-agent: *\nCrawl-delay: 0.2\n"
    declare_pages(declare, site, "max_pages = 3")
    done = pull(sqlite_project, "pages")

    assert len(times) == 3
    assert min(b - a for a, b in itertools.pairwise(times)) >= 0.19
    assert "max_pages = 3 was reached" in done.message


def test_a_page_that_fails_is_said_and_keeps_what_was_there(
    sqlite_project: LocalProject, declare: Declare, site: Server
) -> None:
    site.answers["/"] = page(html("Home", links=("/a.html", "/b.html")))
    site.answers["/a.html"] = page(html("A"))
    site.answers["/b.html"] = page(html("B"))
    declare_pages(declare, site, "retries = 0")
    pull(sqlite_project, "pages")
    site.answers["/a.html"] = lambda handler: handler.reply(500)
    second = pull(sqlite_project, "pages")
    del site.answers["/b.html"]
    site.answers["/a.html"] = page(html("A"))
    third = pull(sqlite_project, "pages")

    assert (second.outcome, third.outcome) == ("unchanged", "published")
    assert "500" in second.message and "/b.html is gone" in third.message
    assert [row["title"] for row in table(sqlite_project)] == ["Home", "A"]
    assert not [path for path in files_of(sqlite_project, "pages") if "b.html" in path]


def test_a_sitemap_says_where_else_to_begin(sqlite_project: LocalProject, declare: Declare, site: Server) -> None:
    places = f"<url><loc>{site.address}/alone.html</loc></url><url><loc>https://other.example/x</loc></url>"
    site.answers["/robots.txt"] = f"Sitemap: {site.address}/map-index.xml\n".encode()
    index = f"<sitemapindex><sitemap><loc>{site.address}/map.xml</loc></sitemap></sitemapindex>"
    site.answers["/map-index.xml"] = index.encode()
    site.answers["/map.xml"] = f"<urlset>{places}</urlset>".encode()
    site.answers["/"] = page(html("Home"))
    site.answers["/alone.html"] = page(html("Alone"))
    declare_pages(declare, site, "sitemap = true\ndepth = 0")
    pull(sqlite_project, "pages")

    assert [row["title"] for row in table(sqlite_project)] == ["Home", "Alone"]


def test_broken_and_hostile_html_is_taken_as_it_is(
    sqlite_project: LocalProject, declare: Declare, site: Server
) -> None:
    site.answers["/"] = page(b"<html><body>" + b"<div>" * 5000 + b"\xff\xfe<a href='/ok.html'>" + b"\x00" * 50)
    site.answers["/ok.html"] = page(b"")
    declare_pages(declare, site)
    pull(sqlite_project, "pages")
    rows = table(sqlite_project)

    assert len(rows) == 2
    assert all(row["problem"] for row in rows)


def test_a_page_off_the_public_network_needs_leave(
    sqlite_project: LocalProject, declare: Declare, site: Server
) -> None:
    declare(f'[[source]]\nname = "pages"\nkind = "page"\ndataset = "pages"\nurl = "{site.address}/"')

    with pytest.raises(RefusedError, match="not on the public network"):
        pull(sqlite_project, "pages")
    assert site.asked == []


def test_any_source_may_have_text_extracted(sqlite_project: LocalProject, declare: Declare, site: Server) -> None:
    site.answers["/a.html"] = versioned(html("The mill"), '"1"')
    declare(
        f'[[source]]\nname = "one"\nkind = "http"\ndataset = "one"\nurl = "{site.address}/a.html"\n'
        'allow_private = true\nextract = "text"'
    )
    done = pull(sqlite_project, "one")
    (row,) = scan(sqlite_project, "one@main").to_dicts()

    assert (row["title"], row["path"], row["problem"]) == ("The mill", "a.html", "")
    assert set(files_of(sqlite_project, "one")) == {"a.html", "a.html.text.parquet"}
    assert pull(sqlite_project, "one").outcome == "unchanged"
    proofs = {f["path"]: f for f in read_proof(sqlite_project, done.id).files}
    assert proofs["a.html.text.parquet"]["extracted_from"] == "a.html"


def test_a_plan_tells_where_a_walk_would_go(sqlite_project: LocalProject, declare: Declare, site: Server) -> None:
    declare_pages(declare, site)
    planned = plan(sqlite_project, "pages").planned

    assert [each.act for each in planned] == ["fetch", "fetch"]
    assert site.asked == []


def test_bounds_without_sense_are_refused(sqlite_project: LocalProject, declare: Declare, site: Server) -> None:
    declare_pages(declare, site, "max_pages = 0")

    with pytest.raises(InvalidInputError, match="max_pages is 1 to"):
        pull(sqlite_project, "pages")


ROBOTS = b"""\xef\xbb\xbf# a comment
User-agent: other
Disallow: /

User-agent: HEADWATER/2.0
user-agent: third
Disallow: /a
Allow: /a/b$
Disallow: /*?session=
Allow: /%7Ejoe/
Disallow: /~joe/secret
Crawl-delay: 2.5

Sitemap: https://example.org/map.xml
"""


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/", True),
        ("/a", False),
        ("/a/b", True),
        ("/a/b/c", False),
        ("/x?session=1", False),
        ("/x?page=1", True),
        ("/~joe/x", True),
        ("/%7Ejoe/secret", False),
        ("/robots.txt", True),
    ],
)
def test_the_longest_rule_of_our_group_decides(path: str, allowed: bool) -> None:
    robots = Robots(ROBOTS)

    assert robots.allows(f"https://example.org{path}") is allowed
    assert (robots.delay_s, robots.sitemaps) == (2.5, ["https://example.org/map.xml"])


@given(st.binary(max_size=300))
def test_any_bytes_can_be_a_robots_txt(data: bytes) -> None:
    assert Robots(data).allows("https://example.org/a/b?c") in (True, False)


@given(st.text(max_size=80), st.text(max_size=20))
def test_a_page_of_any_address_has_a_path_in_the_dataset(path: str, query: str) -> None:
    url = normal_url(f"https://example.org/{path}?{query}")
    if url:
        path_bytes(file_name(url))
        assert normal_url(url) == url


def test_pages_of_different_addresses_have_different_paths() -> None:
    urls = ["/", "/a", "/a/", "/a.html", "/a?x=1", "/a?x=2", "/A", "/a%20b", "/index.html", "/" + "x" * 300]
    names = [file_name(f"https://example.org{url}") for url in urls]

    assert len(set(names)) == len(urls)
    assert names[3] == "html/example.org/a.html"


def test_links_are_resolved_against_the_base_and_heed_nofollow() -> None:
    data = b'<base href="/b/"><a href="x">1</a><a href="x#y">2</a><a href="no" rel="nofollow">3</a><a href="//o.org">'

    assert links_of(data, "http://e.org/a/") == ["http://e.org/b/x", "http://o.org/"]
    assert links_of(b'<meta name="robots" content="NOFOLLOW">' + data, "http://e.org/") == []


def test_a_sitemap_that_is_no_sitemap_names_nothing() -> None:
    assert sitemap_of(b"\x1f\x8bnot gzip") == ([], [])
    assert sitemap_of(b"http://e.org/a\nhttp://e.org/b\n") == (["http://e.org/a", "http://e.org/b"], [])

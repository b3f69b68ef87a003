from __future__ import annotations

import gzip
import hashlib
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from headwater.errors import (
    CorruptError,
    DeniedError,
    HeadwaterError,
    InvalidInputError,
    NotFoundError,
    RefusedError,
    SourceMissingError,
    UnavailableError,
)
from headwater.ingest import history, plan, pull, reach_source, read_proof
from headwater.ingest.fetching import Fetcher, Limits, redirected
from headwater.lake import commit, find_head, set_branch
from headwater.project import LocalProject
from tests.ingest.conftest import files_of
from tests.ingest.serving import Handler, Server, versioned

Declare = Callable[[str], None]
BODY = bytes(range(256)) * 400  # 102,400 bytes


def declare_http(declare: Declare, url: str, more: str = "") -> None:
    declare(
        f'[[source]]\nname = "file"\nkind = "http"\ndataset = "web"\nurl = "{url}"\n'
        f"allow_private = true\nbackoff_s = 0.01\n{more}"
    )


def fetched(site: Server, path: str, tmp_path: Path, **limits: float) -> bytes:
    given = msgspec.convert({"backoff_s": 0.01, **limits}, Limits, strict=False)
    Fetcher(limits=given, private=True).fetch(site.address + path, tmp_path / "file")
    return (tmp_path / "file").read_bytes()


def test_a_file_is_fetched_once_and_then_only_asked_for(
    sqlite_project: LocalProject, declare: Declare, site: Server
) -> None:
    site.answers["/data/a.csv"] = versioned(b"x\n1\n", '"one"')
    declare_http(declare, f"{site.address}/data/a.csv")
    first = pull(sqlite_project, "file")
    second = pull(sqlite_project, "file")
    site.answers["/data/a.csv"] = versioned(b"x\n2\n", '"two"')
    third = pull(sqlite_project, "file")

    assert [p.outcome for p in (first, second, third)] == ["published", "unchanged", "published"]
    assert [headers.get("if-none-match") for *_, headers in site.asked] == [None, '"one"', '"one"']
    assert files_of(sqlite_project, "web") == {"a.csv": b"x\n2\n"}
    (proof,) = read_proof(sqlite_project, third.id).files
    assert (proof["url"], proof["etag"], proof["attempts"]) == (f"{site.address}/data/a.csv", '"two"', 1)
    assert proof["fetched_at"] > 0


def test_last_modified_does_where_there_is_no_etag(
    sqlite_project: LocalProject, declare: Declare, site: Server
) -> None:
    date = "Wed, 01 Jul 2026 00:00:00 GMT"

    def answer(handler: Handler) -> None:
        if handler.headers.get("If-Modified-Since") == date:
            handler.reply(304)
        else:
            handler.reply(200, b"a", Last_Modified=date)

    site.answers["/a.txt"] = answer
    declare_http(declare, f"{site.address}/a.txt")

    assert [pull(sqlite_project, "file").outcome for _ in range(2)] == ["published", "unchanged"]


def test_without_validators_equal_bytes_make_no_version(
    sqlite_project: LocalProject, declare: Declare, site: Server
) -> None:
    site.answers["/a.txt"] = b"same"
    declare_http(declare, f"{site.address}/a.txt")

    assert [pull(sqlite_project, "file").outcome for _ in range(2)] == ["published", "unchanged"]
    assert len(site.asked) == 2


def test_a_file_that_the_branch_lost_is_fetched_again_whole(
    sqlite_project: LocalProject, declare: Declare, site: Server
) -> None:
    site.answers["/a.txt"] = versioned(b"a", '"one"')
    declare_http(declare, f"{site.address}/a.txt")
    pull(sqlite_project, "file")
    head = find_head(sqlite_project, "web")
    assert head is not None
    without = commit(sqlite_project, "web", remove=["a.txt"], base=head.id)
    set_branch(sqlite_project, "web", "main", without.id, expected=head.id)
    pull(sqlite_project, "file")

    assert files_of(sqlite_project, "web") == {"a.txt": b"a"}
    assert "if-none-match" not in site.asked[-1][2]


def breaking(at: int, etag: str | None, asked: list[str | None]) -> Callable[[Handler], None]:
    """Answer with a body that breaks off after ``at`` bytes, until a range is asked for."""

    def answer(handler: Handler) -> None:
        wanted = handler.headers.get("Range")
        asked.append(wanted)
        tag = etag or ""
        if wanted and handler.headers.get("If-Range") == etag:
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
            total = f"bytes {start}-{len(BODY) - 1}/{len(BODY)}"
            handler.reply(206, BODY[start:], Content_Range=total, ETag=tag)
        elif len(asked) == 1:
            handler.reply(200, BODY[:at], length=len(BODY), ETag=tag)
        else:
            handler.reply(200, BODY, ETag=tag)

    return answer


def test_a_download_that_broke_goes_on_where_it_broke(
    sqlite_project: LocalProject, declare: Declare, site: Server
) -> None:
    asked: list[str | None] = []
    site.answers["/big.bin"] = breaking(70_000, '"strong"', asked)
    declare_http(declare, f"{site.address}/big.bin")
    done = pull(sqlite_project, "file")

    assert files_of(sqlite_project, "web")["big.bin"] == BODY
    assert asked == [None, "bytes=70000-"]
    (proof,) = read_proof(sqlite_project, done.id).files
    assert (proof["attempts"], proof["resumed_at"]) == (2, [70_000])


@pytest.mark.parametrize("etag", [None, 'W/"weak"'])
def test_a_download_that_cannot_be_told_to_be_the_same_begins_anew(
    site: Server, tmp_path: Path, etag: str | None
) -> None:
    asked: list[str | None] = []
    site.answers["/big.bin"] = breaking(70_000, etag, asked)

    assert fetched(site, "/big.bin", tmp_path) == BODY
    assert asked == [None, None]


def test_a_file_that_changed_while_it_was_fetched_is_not_patched_together(site: Server, tmp_path: Path) -> None:
    calls: list[str | None] = []

    def answer(handler: Handler) -> None:
        calls.append(handler.headers.get("Range"))
        if len(calls) == 1:
            handler.reply(200, b"a" * 500, length=1000, ETag='"one"')
        else:  # If-Range does not hold, so all of the new one comes
            handler.reply(200, b"b" * 1000, ETag='"two"')

    site.answers["/x"] = answer

    assert fetched(site, "/x", tmp_path) == b"b" * 1000
    assert calls == [None, "bytes=500-"]


def test_a_server_that_sends_another_range_is_not_believed(site: Server, tmp_path: Path) -> None:
    calls: list[str | None] = []

    def answer(handler: Handler) -> None:
        calls.append(handler.headers.get("Range"))
        if len(calls) == 1:
            handler.reply(200, BODY[:1000], length=len(BODY), ETag='"e"')
        elif calls[-1]:
            handler.reply(206, BODY[2000:], Content_Range=f"bytes 2000-{len(BODY) - 1}/{len(BODY)}", ETag='"e"')
        else:
            handler.reply(200, BODY, ETag='"e"')

    site.answers["/x"] = answer

    assert fetched(site, "/x", tmp_path) == BODY


def test_a_body_that_always_ends_early_is_never_taken(
    sqlite_project: LocalProject, declare: Declare, site: Server
) -> None:
    site.answers["/a.bin"] = lambda handler: handler.reply(200, b"abc", length=10)
    declare_http(declare, f"{site.address}/a.bin")

    with pytest.raises(UnavailableError, match=r"tried 4 times.*ended after 3 of 10 bytes"):
        pull(sqlite_project, "file")
    assert [p.outcome for p in history(sqlite_project)] == ["failed"]


def test_more_bytes_than_announced_are_cut_at_the_announced_length(site: Server, tmp_path: Path) -> None:
    site.answers["/a"] = lambda handler: handler.reply(200, b"abcdef", length=3)

    assert fetched(site, "/a", tmp_path) == b"abc"


def test_a_server_that_fails_once_is_asked_again_when_it_says(site: Server, tmp_path: Path) -> None:
    calls: list[float] = []

    def answer(handler: Handler) -> None:
        calls.append(time.monotonic())
        if len(calls) == 1:
            handler.reply(503, b"later", Retry_After="1")
        elif len(calls) == 2:
            handler.reply(500, b"oh")
        else:
            handler.reply(200, b"here")

    site.answers["/a"] = answer

    assert fetched(site, "/a", tmp_path) == b"here"
    assert len(calls) == 3 and calls[1] - calls[0] >= 1.0


@pytest.mark.parametrize(
    ("status", "error", "code"),
    [(404, NotFoundError, 3), (410, SourceMissingError, 3), (403, DeniedError, 2), (418, InvalidInputError, 2)],
)
def test_an_answer_that_will_not_change_is_not_asked_for_twice(
    site: Server, tmp_path: Path, status: int, error: type[HeadwaterError], code: int
) -> None:
    site.answers["/a"] = lambda handler: handler.reply(status, b"no")

    with pytest.raises(error, match=str(status)) as refused:
        fetched(site, "/a", tmp_path)
    assert (len(site.asked), refused.value.exit_code) == (1, code)


def test_a_file_larger_than_allowed_is_refused_by_its_length_and_by_its_bytes(site: Server, tmp_path: Path) -> None:
    def endless(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        while True:
            handler.wfile.write(b"10000\r\n" + b"x" * 65536 + b"\r\n")

    site.answers["/said"] = lambda handler: handler.reply(200, b"", length=1 << 40)
    site.answers["/endless"] = endless
    for path in ("/said", "/endless"):
        with pytest.raises(InvalidInputError, match="larger than the source takes"):
            fetched(site, path, tmp_path, largest_bytes=1 << 20)

    assert (tmp_path / "file").stat().st_size <= 1 << 20


def test_a_compressed_body_is_bounded_by_what_it_unpacks_to(site: Server, tmp_path: Path) -> None:
    site.answers["/bomb"] = lambda handler: handler.reply(200, gzip.compress(bytes(50 << 20)), Content_Encoding="gzip")
    site.answers["/fine"] = lambda handler: handler.reply(200, gzip.compress(b"text"), Content_Encoding="gzip")
    site.answers["/cut"] = lambda handler: handler.reply(200, gzip.compress(b"text" * 99)[:-9], Content_Encoding="gzip")

    with pytest.raises(InvalidInputError, match="larger than"):
        fetched(site, "/bomb", tmp_path, largest_bytes=1 << 20)
    assert fetched(site, "/fine", tmp_path) == b"text"
    with pytest.raises(UnavailableError, match="before its end"):
        fetched(site, "/cut", tmp_path)


def test_a_server_that_is_silent_or_drips_is_given_up(site: Server, tmp_path: Path) -> None:
    def drip(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        for _ in range(1000):
            handler.wfile.write(b".")
            handler.wfile.flush()
            time.sleep(0.05)

    site.answers["/silent"] = lambda handler: time.sleep(1.5)
    site.answers["/drip"] = drip
    with pytest.raises(UnavailableError, match="timed out"):
        fetched(site, "/silent", tmp_path, timeout_s=0.2, retries=1)
    began = time.monotonic()
    with pytest.raises(UnavailableError, match="limit_s"):
        fetched(site, "/drip", tmp_path, limit_s=0.5)

    assert time.monotonic() - began < 3


def test_the_declared_digest_must_be_that_of_the_bytes(
    sqlite_project: LocalProject, declare: Declare, site: Server
) -> None:
    site.answers["/a.txt"] = b"right"
    declare_http(declare, f"{site.address}/a.txt", f'digest = "sha256:{hashlib.sha256(b"right").hexdigest()}"')
    pull(sqlite_project, "file")
    site.answers["/a.txt"] = b"wrong"

    with pytest.raises(CorruptError, match="is not the file that was declared"):
        pull(sqlite_project, "file")
    assert files_of(sqlite_project, "web") == {"a.txt": b"right"}


def test_an_address_on_the_private_network_needs_leave(
    sqlite_project: LocalProject, declare: Declare, site: Server
) -> None:
    declare(f'[[source]]\nname = "file"\nkind = "http"\ndataset = "web"\nurl = "{site.address}/a.txt"')

    with pytest.raises(RefusedError, match="allow_private = true"):
        pull(sqlite_project, "file")
    assert site.asked == []


@pytest.mark.parametrize(
    "target",
    [
        "http://169.254.169.254/latest/meta-data/",
        "http://2852039166/latest/",
        "http://[::ffff:169.254.169.254]/",
        "http://[::1]:1/",
        "http://0x7f.1:1/",
    ],
)  # fmt: skip
def test_a_redirect_into_the_network_is_refused_though_the_source_itself_may_be_there(
    sqlite_project: LocalProject, declare: Declare, site: Server, target: str
) -> None:
    site.answers["/a.txt"] = lambda handler: handler.reply(302, Location=target)
    declare_http(declare, f"{site.address}/a.txt")

    with pytest.raises(RefusedError, match="not on the public network"):
        pull(sqlite_project, "file")


def test_a_redirect_is_followed_and_said_and_a_circle_is_not_endless(
    sqlite_project: LocalProject, declare: Declare, site: Server
) -> None:
    site.answers["/old.txt"] = lambda handler: handler.reply(301, Location="/new.txt")
    site.answers["/new.txt"] = b"moved"
    site.answers["/round"] = lambda handler: handler.reply(302, Location="/round")
    declare_http(declare, f"{site.address}/old.txt")
    done = pull(sqlite_project, "file")

    assert read_proof(sqlite_project, done.id).files[0]["final_url"] == f"{site.address}/new.txt"
    assert files_of(sqlite_project, "web") == {"old.txt": b"moved"}
    with pytest.raises(InvalidInputError, match="more than 5 redirects"):
        Fetcher(limits=Limits(), private=True).fetch(f"{site.address}/round", sqlite_project.state / "x")


def test_a_redirect_to_a_file_of_the_machine_is_refused(site: Server, tmp_path: Path) -> None:
    site.answers["/a"] = lambda handler: handler.reply(302, Location="file:///etc/passwd")

    with pytest.raises(InvalidInputError, match="write http"):
        fetched(site, "/a", tmp_path)


def test_credentials_go_to_the_declared_host_only_and_into_no_record(
    sqlite_project: LocalProject,
    declare: Declare,
    site: Server,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FILE_TOKEN", "s3cret-token")
    elsewhere = site.address.replace("127.0.0.1", "localhost")
    site.answers["/a.txt"] = lambda handler: handler.reply(302, Location=f"{elsewhere}/b.txt")
    site.answers["/b.txt"] = b"b"
    declare_http(
        declare,
        f"{site.address}/a.txt?key={{env:FILE_TOKEN}}",
        'headers = {Authorization = "Bearer env:FILE_TOKEN"}\npath = "a.txt"',
    )
    text = (sqlite_project.folder / "headwater.toml").read_text()
    (sqlite_project.folder / "headwater.toml").write_text(
        text.replace("allow_private = true", 'allow_private = ["127.0.0.1", "localhost"]')
    )
    done = pull(sqlite_project, "file")

    assert site.asked[0][1] == "/a.txt?key=s3cret-token"
    assert [headers.get("authorization") for *_, headers in site.asked] == ["Bearer s3cret-token", None]
    assert done.proof is not None
    with sqlite_project.ledger.read() as tx:
        kept = str([row.as_dict() for row in tx.all("SELECT * FROM pulls")])
        kept += str([row.as_dict() for row in tx.all("SELECT child, role, parent FROM edges")])
    kept += sqlite_project.objects.get(done.proof).decode()
    assert "s3cret" not in kept


def test_a_credential_written_out_is_refused(sqlite_project: LocalProject, declare: Declare, site: Server) -> None:
    declare_http(declare, f"{site.address}/a.txt", 'headers = {authorization = "Bearer abc"}')

    with pytest.raises(InvalidInputError, match="Bearer env:NAME"):
        pull(sqlite_project, "file")


def test_a_redirect_that_gives_up_encryption_is_refused() -> None:
    assert redirected("https://e.org/a", "/b") == "https://e.org/b"
    with pytest.raises(InvalidInputError, match="not encrypted"):
        redirected("https://e.org/a", "http://e.org/b")


def test_a_secret_that_is_not_set_is_named(sqlite_project: LocalProject, declare: Declare, site: Server) -> None:
    declare_http(declare, f"{site.address}/a.txt", 'headers = {Authorization = "env:NOT_SET_ANYWHERE"}')

    with pytest.raises(InvalidInputError, match="NOT_SET_ANYWHERE, which is not set"):
        pull(sqlite_project, "file")


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://user:pass@example.org/a", "holds a user and password"),
        ("ftp://example.org/a", "write http"),
        ("http:///a", "write http"),
        ("http://example.org:99999/a", "is not an address"),
        ("https://example.org/", "ends in no name"),
        ("https://exa\u2024\u2024mple.org/a", "cannot be the name of a host"),
    ],
)
def test_an_address_that_cannot_be_fetched_is_refused_before_anything_is_asked(
    sqlite_project: LocalProject, declare: Declare, url: str, said: str
) -> None:
    declare(f'[[source]]\nname = "file"\nkind = "http"\ndataset = "web"\nurl = "{url}"')

    with pytest.raises(InvalidInputError, match=said) as caught:
        pull(sqlite_project, "file")
    assert "pass@" not in str(caught.value)


def test_an_address_is_encoded_so_that_it_cannot_split_the_request(site: Server, tmp_path: Path) -> None:
    for path, sent in (("/a b\u00e9", "/a%20b%C3%A9"), ("/a\r\nX: y", "/aX:%20y")):
        with pytest.raises(NotFoundError):
            fetched(site, path, tmp_path)
        assert site.paths()[-1] == sent


def test_a_url_that_is_no_longer_declared_takes_its_file_along(
    sqlite_project: LocalProject, declare: Declare, site: Server
) -> None:
    site.answers |= {"/a.txt": b"a", "/b.txt": b"b"}
    toml = sqlite_project.folder / "headwater.toml"
    before = toml.read_text()
    source = '[[source]]\nname = "file"\nkind = "http"\ndataset = "web"\nallow_private = true\n'
    toml.write_text(f'{before}{source}urls = ["{site.address}/a.txt", "{site.address}/b.txt"]')
    pull(sqlite_project, "file")
    toml.write_text(f'{before}{source}urls = ["{site.address}/b.txt"]')
    planned = plan(sqlite_project, "file")
    done = pull(sqlite_project, "file")

    assert [(p.act, p.what) for p in planned.planned][-1] == ("remove", "a.txt")
    assert (done.removed, set(files_of(sqlite_project, "web"))) == (1, {"b.txt"})


def test_a_test_asks_for_headers_alone(sqlite_project: LocalProject, declare: Declare, site: Server) -> None:
    site.answers["/a.csv"] = lambda handler: handler.reply(200, b"x,y\n", Content_Type="text/csv")
    declare_http(declare, f"{site.address}/a.csv")
    found = reach_source(sqlite_project, "file")

    assert "text/csv, 4 bytes" in found.found
    assert [method for method, *_ in site.asked] == ["HEAD"]
    assert history(sqlite_project) == []

"""Pulling a prefix of a bucket from a real S3 server."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import obstore
import pytest
from obstore.store import S3Store

from headwater.errors import InvalidInputError, NotFoundError, UnavailableError
from headwater.ingest import buckets as source
from headwater.ingest import plan, pull, reach_source, read_proof
from headwater.ingest.kinds import make_source
from headwater.lake import find_head, iter_files, read_bytes
from headwater.project import LocalProject
from tests.servers.s3 import S3Place


@pytest.fixture
def bucket(s3: S3Place, monkeypatch: pytest.MonkeyPatch) -> S3Store:
    monkeypatch.setenv("BUCKET_KEY", s3.access_key)
    monkeypatch.setenv("BUCKET_SECRET", s3.secret_key)
    return S3Store(
        s3.bucket,
        prefix=s3.prefix,
        endpoint=s3.endpoint,
        access_key_id=s3.access_key,
        secret_access_key=s3.secret_key,
        region="us-east-1",
        client_options={"allow_http": True},
    )


def root_of(project: LocalProject) -> Path:
    assert project.root is not None
    return project.root


def declare(project: LocalProject, place: S3Place, **settings: Any) -> None:
    given = {"name": "drop", "kind": "bucket", "dataset": "drop", "url": f"s3://{place.bucket}/{place.prefix}"}
    options = {
        "endpoint": place.endpoint,
        "region": "us-east-1",
        "access_key_id": "env:BUCKET_KEY",
        "secret_access_key": "env:BUCKET_SECRET",
        **settings.pop("options", {}),
    }
    lines = [f"{name} = {json.dumps(value)}" for name, value in {**given, **settings}.items()]
    lines += ["[source.options]", *(f'{name} = "{value}"' for name, value in options.items())]
    file = root_of(project) / "headwater.toml"
    text = file.read_text().partition("[[source]]")[0]
    file.write_text("\n".join([text, "[[source]]", *lines, ""]))


def files(project: LocalProject) -> dict[str, bytes]:
    return {each.path: read_bytes(project, "drop", each.path) for each in iter_files(project, "drop")}


def fetches(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    keys: list[str] = []
    fetch = source.BucketSource._fetch

    def counted(self: source.BucketSource, bucket: Any, key: str, folder: Path) -> Any:
        keys.append(key)
        return fetch(self, bucket, key, folder)

    monkeypatch.setattr(source.BucketSource, "_fetch", counted)
    return keys


def test_only_what_changed_is_fetched(
    sqlite_project: LocalProject, s3: S3Place, bucket: S3Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = bytes(range(256)) * 4096 * 12  # 12 MiB, streamed through a file
    for key, data in {"a.csv": b"n\n1\n", "deep/er/b ü %.csv": b"n\n2\n", "large.bin": large}.items():
        obstore.put(bucket, key, data)
    declare(sqlite_project, s3)
    keys = fetches(monkeypatch)

    first = pull(sqlite_project, "drop")
    assert files(sqlite_project) == {"a.csv": b"n\n1\n", "deep/er/b ü %.csv": b"n\n2\n", "large.bin": large}
    assert sorted(keys) == ["a.csv", "deep/er/b ü %.csv", "large.bin"]
    found = obstore.head(bucket, "a.csv")
    proof = {each["path"]: each for each in read_proof(sqlite_project, first.id).files}["a.csv"]
    assert proof["url"] == f"s3://{s3.bucket}/{s3.prefix}/a.csv"
    assert (proof["etag"], proof["last_modified"]) == (found["e_tag"], found["last_modified"].isoformat())

    keys.clear()
    assert pull(sqlite_project, "drop").outcome == "unchanged"
    assert keys == []

    time.sleep(1.1)  # the server tells times in whole seconds
    obstore.put(bucket, "a.csv", b"n\n3\n")
    obstore.put(bucket, "new.csv", b"n\n4\n")
    obstore.delete(bucket, "large.bin")
    assert [each.what for each in plan(sqlite_project, "drop").planned] == ["a.csv", "new.csv"]
    assert pull(sqlite_project, "drop").number == 2
    assert sorted(keys) == ["a.csv", "new.csv"]
    assert files(sqlite_project)["a.csv"] == b"n\n3\n"
    assert "large.bin" in files(sqlite_project)

    declare(sqlite_project, s3, mirror=True)
    assert [(each.act, each.what) for each in plan(sqlite_project, "drop").planned] == [("remove", "large.bin")]
    assert pull(sqlite_project, "drop").removed == 1
    assert "large.bin" not in files(sqlite_project)


def test_a_file_that_the_branch_lost_is_fetched_again(
    sqlite_project: LocalProject, s3: S3Place, bucket: S3Store
) -> None:
    from headwater.check import publish

    obstore.put(bucket, "a", b"1")
    obstore.put(bucket, "b", b"2")
    declare(sqlite_project, s3)
    pull(sqlite_project, "drop")
    publish(sqlite_project, "drop", remove=["a"])
    pull(sqlite_project, "drop")

    assert files(sqlite_project) == {"a": b"1", "b": b"2"}


def test_keys_are_chosen_by_patterns(sqlite_project: LocalProject, s3: S3Place, bucket: S3Store) -> None:
    for key in ("2026/a.csv", "2026/a.json", "b.csv"):
        obstore.put(bucket, key, b"n\n1\n")
    declare(sqlite_project, s3, match=["2026/*.csv", "*.json"])
    pull(sqlite_project, "drop")

    assert sorted(files(sqlite_project)) == ["2026/a.csv", "2026/a.json"]
    assert "'2026/a.csv'" in reach_source(sqlite_project, "drop").found


def test_an_object_that_goes_away_after_it_was_listed_is_no_error(
    sqlite_project: LocalProject, s3: S3Place, bucket: S3Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    obstore.put(bucket, "a", b"1")
    obstore.put(bucket, "b", b"2")
    declare(sqlite_project, s3)
    listed = source.BucketSource._listed

    def delete_after(self: source.BucketSource, store: Any) -> Any:
        yield from list(listed(self, store))
        obstore.delete(bucket, "b")

    monkeypatch.setattr(source.BucketSource, "_listed", delete_after)
    done = pull(sqlite_project, "drop")

    assert (done.message, list(files(sqlite_project))) == ("1 of 1 objects fetched", ["a"])


def test_an_object_that_breaks_off_is_not_taken_in(
    sqlite_project: LocalProject, s3: S3Place, bucket: S3Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    obstore.put(bucket, "a", b"12345")
    declare(sqlite_project, s3)
    of = source.Object.of
    monkeypatch.setattr(source.Object, "of", lambda meta: of(meta)._replace(size=meta["size"] + 1))

    with pytest.raises(UnavailableError, match="broke off after 5 of 6 bytes"):
        pull(sqlite_project, "drop")
    assert find_head(sqlite_project, "drop") is None


def test_a_bucket_that_cannot_be_read_says_why(
    sqlite_project: LocalProject, s3: S3Place, bucket: S3Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    declare(sqlite_project, s3, url="s3://no-such-bucket/x")
    with pytest.raises(NotFoundError, match=r"s3://no-such-bucket/x is not there.*Check the bucket's name"):
        pull(sqlite_project, "drop")

    declare(sqlite_project, s3)
    monkeypatch.setenv("BUCKET_SECRET", "planted-secret-4711")
    with pytest.raises(InvalidInputError, match="Check the keys") as refused:
        pull(sqlite_project, "drop")
    assert "4711" not in refused.value.message
    held = [path for path in root_of(sqlite_project).rglob("*") if path.is_file() and b"4711" in path.read_bytes()]
    assert held == []

    monkeypatch.setattr(source, "_RETRY_S", 0.2)
    declare(sqlite_project, s3, options={"endpoint": "http://127.0.0.1:1"})
    with pytest.raises(UnavailableError, match="Check that the store is up"):
        pull(sqlite_project, "drop")


def test_settings_that_cannot_be_used_are_refused(tmp_path: Path) -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({"url": "ftp://host/x"}, "names no bucket"),
        ({"url": "s3://"}, "names no bucket"),
        ({"url": "s3://b", "parallel": 0}, "from 1 to 64"),
        ({"url": "s3://b", "options": {"secret_access_key": "abc4711"}}, "is a secret"),
        ({"url": "s3://b", "bucket": "x"}, "no setting 'bucket'"),
    ]
    for settings, says in cases:
        with pytest.raises(InvalidInputError, match=says) as refused:
            make_source("bucket", settings, root=tmp_path)
        assert "4711" not in refused.value.message
    for url in ("gs://bucket/prefix", "az://account/container/prefix"):
        assert make_source("bucket", {"url": url}, root=tmp_path).text == url

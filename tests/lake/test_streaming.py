"""What is too long to be held: versions of any number of files, given as they come."""

from __future__ import annotations

import io

import pytest

from headwater.errors import InvalidInputError
from headwater.lake import commit, iter_files, read_bytes, verify
from headwater.lake.streaming import commit_stream, put_stream
from headwater.project import LocalProject, Project
from tests.lake.test_versions import entry


def test_files_that_stream_by_make_the_version_of_the_same_files_at_once(local_project: LocalProject) -> None:
    one, other = entry(local_project, "x", "1"), entry(local_project, "x", "2")
    files = [
        type(one)(path=f"f/{number:06d}", digest=(one, other)[number % 2].digest, size=1) for number in range(25_000)
    ]

    streamed = commit_stream(local_project, "d", iter(files), message="all of them")

    assert (streamed.files, streamed.message, streamed.parents) == (25_000, "all of them", ())
    assert streamed.root == commit(local_project, "e", put=files).root
    assert [each.path for each in iter_files(local_project, streamed.id, "f/0001")] == [
        f"f/{number:06d}" for number in range(100, 200)
    ]
    assert list(verify(local_project)) == []


def test_files_out_of_order_or_without_bytes_are_refused(local_project: LocalProject) -> None:
    one, other = entry(local_project, "b", "1"), entry(local_project, "a", "1")
    absent = type(one)(path="c", digest="0" * 64, size=1)

    with pytest.raises(InvalidInputError, match="'a' comes after 'b'"):
        commit_stream(local_project, "d", [one, other])
    with pytest.raises(InvalidInputError, match="'b' comes after 'b'"):
        commit_stream(local_project, "d", [one, one])
    with pytest.raises(InvalidInputError, match="the bytes of 'c' are not in the store"):
        commit_stream(local_project, "d", [one, absent])


def test_a_stream_becomes_one_file(project: Project) -> None:
    put = put_stream(project, "notes/big.txt", io.BytesIO(b"line\n" * 2_000_000))

    commit(project, "d", put=[put])

    assert (put.size, put.media) == (10_000_000, "text/plain")
    assert read_bytes(project, "d@v1", "notes/big.txt") == b"line\n" * 2_000_000


def test_a_stream_that_is_named_parquet_must_be_parquet(project: Project) -> None:
    with pytest.raises(InvalidInputError, match="cannot be read as one"):
        put_stream(project, "a.parquet", io.BytesIO(b"no table"))

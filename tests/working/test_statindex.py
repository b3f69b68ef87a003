"""The index of a working folder: read as it was written, never believed where it may be wrong."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headwater.working.statindex import Stat, StatIndex, settled

SECOND = 10**9
PARTS = st.text(st.characters(blacklist_characters="/\0", blacklist_categories=["Cs"]), min_size=1, max_size=8)
PATHS = st.lists(PARTS, min_size=1, max_size=3).map("/".join)
DIGESTS = st.binary(min_size=32, max_size=32).filter(any)
NUMBERS = st.integers(0, 2**62)
STATS = st.tuples(NUMBERS, NUMBERS, NUMBERS, NUMBERS)
FILES = st.dictionaries(PATHS, st.tuples(STATS, DIGESTS), max_size=30)


def made(files: dict[str, tuple[Stat, bytes]], differs: dict[str, bytes | None] | None = None) -> StatIndex:
    return StatIndex.of(files, base="v", prefix="", stamp_ns=0, started_ns=2**63, differs=differs)


@settings(max_examples=60, deadline=None)
@given(files=FILES, differs=st.dictionaries(PATHS, st.one_of(st.none(), DIGESTS), max_size=10))
def test_what_was_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, files: dict[str, tuple[Stat, bytes]], differs: dict[str, bytes | None]
) -> None:
    path = tmp_path_factory.mktemp("index") / "folder.index"
    made(files, differs).write(path)

    index = StatIndex.read(path)

    assert index.digests() == {path: digest for path, (_, digest) in files.items()}
    assert index.stats() == {path: at for path, (at, _) in files.items()}
    assert index.differs == differs
    assert (index.base, index.files) == ("v", len(files))


@settings(max_examples=60, deadline=None)
@given(files=FILES, put=FILES, gone=st.sets(PATHS, max_size=5))
def test_a_patched_index_is_the_one_that_would_have_been_made(
    files: dict[str, tuple[Stat, bytes]], put: dict[str, tuple[Stat, bytes]], gone: set[str]
) -> None:
    left = {path: value for path, value in files.items() if path not in gone} | put

    patched = made(files).patched(sorted(gone - put.keys()), put, 2**63, {})

    assert patched.digests() == {path: digest for path, (_, digest) in left.items()}
    assert patched.stats() == {path: at for path, (at, _) in left.items()}


@settings(max_examples=60, deadline=None)
@given(files=FILES, rows=st.dictionaries(PATHS, DIGESTS, max_size=20))
def test_against_another_version_exactly_what_differs_is_kept(
    files: dict[str, tuple[Stat, bytes]], rows: dict[str, bytes]
) -> None:
    have = {path: digest for path, (_, digest) in files.items()}

    differs = made(files).rebased("w", "", rows).differs

    every = have.keys() | rows.keys()
    assert differs == {path: rows.get(path) for path in every if have.get(path) != rows.get(path)}


@pytest.mark.parametrize("at", [0, 9, 20, 100, -1])
def test_a_flipped_byte_makes_it_no_index(tmp_path: Path, at: int) -> None:
    path = tmp_path / "folder.index"
    made({"a/b": ((1, 2, 3, 4), b"d" * 32)}).write(path)
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)

    assert StatIndex.read(path).files == 0


def test_a_cut_or_missing_file_is_no_index(tmp_path: Path) -> None:
    path = tmp_path / "folder.index"
    assert StatIndex.read(path).files == 0
    made({"a/b": ((1, 2, 3, 4), b"d" * 32)}).write(path)
    path.write_bytes(path.read_bytes()[:50])

    assert StatIndex.read(path).files == 0


def test_an_index_that_cannot_be_written_leaves_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "folder.index"
    made({"old": ((1, 2, 3, 4), b"d" * 32)}).write(path)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    made({"new": ((1, 2, 3, 4), b"d" * 32)}).write(path)

    assert list(tmp_path.iterdir()) == []


def test_a_stat_that_a_later_change_could_have_too_is_not_believed() -> None:
    now = 1_800_000_000 * SECOND + 5
    long_ago = now - 10 * SECOND

    assert settled((long_ago, 1, long_ago, 1), 0, now)
    assert not settled((now, 1, long_ago, 1), 0, now)  # changed as it was looked at
    assert not settled((long_ago, 1, now, 1), 0, now)  # its time was set back afterwards
    assert not settled((now + 3600 * SECOND, 1, long_ago, 1), 0, now)  # of the future: the clock went back
    assert not settled((now - 5 - SECOND, 1, now - 5 - SECOND, 1), 0, now)  # a disk that knows whole seconds
    assert settled((now - SECOND, 1, now - SECOND, 1), 0, now)
    assert settled((7, 1, now, 1), 7, now)  # a link to the cache carries a time long past until it is written to
    index = StatIndex.of({"a": ((now, 1, now, 1), b"d" * 32)}, base="", prefix="", stamp_ns=0, started_ns=now)
    assert index.known("")["a"] != (now, 1, now, 1)

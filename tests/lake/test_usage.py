from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from headwater.errors import InvalidInputError, NotFoundError
from headwater.lake import add_files, add_table, commit, describe_usage, note_read, record_read
from headwater.lake import usage as using
from headwater.project import LocalProject, Project


def test_usage_tells_who_read_what_and_what_came_of_it(project: Project) -> None:
    first = add_table(project, "t", "a", {"x": [1]})
    second = add_table(project, "t", "b", {"x": [2]}, base=first.id)
    made = add_table(project, "derived", "a", {"x": [3]}, inputs=[first.id])
    record_read(project, first.id, "table")
    record_read(project, second.id, "bytes")
    record_read(project.as_actor("ben"), second.id, "table")

    found = describe_usage(project, "t")

    assert (found.reads, found.uses) == (3, 1)
    assert sorted((r.actor, r.way, r.times) for r in found.readers) == [
        ("ann", "bytes", 1),
        ("ann", "table", 1),
        ("ben", "table", 1),
    ]
    [use] = found.used_by
    assert (use.ref, use.role, use.number) == (f"version:{made.id}", "input", 1)
    assert use.at is not None and abs(use.at - made.created_at) < 2000
    assert [(v.version.number, v.reads, v.uses) for v in found.versions] == [(2, 2, 0), (1, 1, 1)]
    with pytest.raises(NotFoundError, match="no dataset 'u'"):
        describe_usage(project, "u")
    with pytest.raises(InvalidInputError, match="'telepathy' is no way of reading"):
        record_read(project, first.id, "telepathy")


def test_a_read_is_noted_once_an_hour_and_never_stops_the_reader(
    sqlite_project: LocalProject, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    version = add_table(sqlite_project, "t", "a", {"x": [1]})
    note_read(sqlite_project, version, "table")
    note_read(sqlite_project, version, "table")
    assert describe_usage(sqlite_project, "t").reads == 1

    monkeypatch.setattr(using, "AGAIN_S", 0.0)
    note_read(sqlite_project, version, "table")
    assert describe_usage(sqlite_project, "t").reads == 2

    note_read(sqlite_project, version, "telepathy")  # refused, and said in the log only
    assert "was not recorded" in caplog.text


def test_the_space_a_version_adds_is_that_of_objects_and_chunks_its_parent_lacks(
    sqlite_project: LocalProject, tmp_path: Path
) -> None:
    large = bytearray(np.random.default_rng(1).bytes(40 * 2**20))
    (tmp_path / "large.bin").write_bytes(large)
    (tmp_path / "small.txt").write_bytes(b"x" * 1000)
    first = add_files(sqlite_project, "t", [tmp_path / "large.bin", tmp_path / "small.txt"])
    large[20 * 2**20 : 20 * 2**20 + 4096] = bytes(4096)
    (tmp_path / "large.bin").write_bytes(large)
    second = add_files(sqlite_project, "t", [tmp_path / "large.bin"], base=first.id)
    (tmp_path / "more.txt").write_bytes(b"y" * 700)
    third = add_files(sqlite_project, "t", [tmp_path / "more.txt"], base=second.id)
    commit(sqlite_project, "t", remove=["large.bin"], base=third.id)

    added = [each.added_bytes for each in describe_usage(sqlite_project, "t").versions]

    assert added[0] == 0
    assert added[1] == 700
    assert added[2] is not None and 0 < added[2] < 9 * 2**20  # two chunks at most, of at most 4 MiB
    assert added[3] == 40 * 2**20 + 1000

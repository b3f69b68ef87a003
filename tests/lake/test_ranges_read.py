from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.ipc
import pytest

from headwater.errors import InvalidInputError, MissingExtraError
from headwater.lake import Table, add_files, add_table, commit, put_table, ranged, read_bytes, scan
from headwater.objects.remote import RemoteBackend
from headwater.project import LocalProject, create_project, open_project
from headwater.project.remote_bytes import RemoteObjects
from tests.projects import served

ROWS = 600_000


@pytest.fixture
def bucket_project(tmp_path: Path) -> Iterator[LocalProject]:
    """A project whose objects lie behind the code of buckets, in this process's memory."""
    with create_project(tmp_path / "p", name="t", objects_url=f"memory://{tmp_path.name}") as project:
        yield project


def wide_table(project: LocalProject) -> Table:
    """Eight columns of noise, which no compression makes smaller, in five row groups; about 37 MiB."""
    random = np.random.default_rng(1)
    columns = {f"c{n}": random.random(ROWS) for n in range(8)}
    version = add_table(project, "wide", "part", {"i": np.arange(ROWS), **columns})
    return scan(project, version.id)


@contextmanager
def fetched(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Collect the numbers of bytes that are read from the bucket."""
    sizes: list[int] = []
    plain = RemoteBackend.read

    def counting(self: RemoteBackend, pack: str, start: int, length: int) -> bytes:
        data = plain(self, pack, start, length)
        sizes.append(len(data))
        return data

    with monkeypatch.context() as patch:
        patch.setattr(RemoteBackend, "read", counting)
        yield sizes


def share_fetched(project: LocalProject, monkeypatch: pytest.MonkeyPatch, take: Callable[[], object]) -> float:
    """Return the bytes that taking something fetched, as a share of the table's file."""
    with fetched(monkeypatch) as sizes:
        take()
    [entry] = scan(project, "wide@v1").scanned.entries  # type: ignore[union-attr]  # a scan has its scanned
    return sum(sizes) / entry.size


def test_columns_and_conditions_read_only_the_ranges_they_need(
    bucket_project: LocalProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    wide_table(bucket_project)

    def share(**chosen: object) -> float:
        return share_fetched(bucket_project, monkeypatch, lambda: scan(bucket_project, "wide@v1", **chosen).fetchall())  # type: ignore[arg-type]

    one_group = share(where="i BETWEEN 200000 AND 200010")
    one_column_of_it = share(columns=["c3"], where="i BETWEEN 200000 AND 200010")

    assert one_group < 0.45  # one row group of five, rounded up to chunks of 1 MiB, and the footer
    assert one_column_of_it < 0.25
    assert scan(bucket_project, "wide@v1", columns=["i"], where="i BETWEEN 7 AND 9").fetchall() == [(7,), (8,), (9,)]


def test_a_read_of_the_whole_file_is_found(bucket_project: LocalProject, monkeypatch: pytest.MonkeyPatch) -> None:
    wide_table(bucket_project)
    monkeypatch.setattr(ranged, "by_range", lambda project, entry: False)  # copies the object first, as for a folder

    copied = share_fetched(
        bucket_project, monkeypatch, lambda: scan(bucket_project, "wide@v1", where="i BETWEEN 7 AND 9").fetchall()
    )

    assert copied >= 1


def test_a_table_taken_whole_is_fetched_once_and_its_first_look_is_cheap(
    bucket_project: LocalProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = wide_table(bucket_project)

    assert share_fetched(bucket_project, monkeypatch, lambda: len(table)) < 0.15
    assert 0.9 < share_fetched(bucket_project, monkeypatch, table.to_numpy) < 1.3
    assert share_fetched(bucket_project, monkeypatch, table.to_numpy) == 0


def test_iterating_fetches_a_table_once_however_often_its_row_groups_are_read(
    bucket_project: LocalProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = wide_table(bucket_project)

    def epoch(number: int) -> float:
        rows = table.iterate(50_000, seed=1, epoch=number)
        return share_fetched(bucket_project, monkeypatch, lambda: sum(len(batch["i"]) for batch in rows))

    assert epoch(0) < 1.3
    assert epoch(1) == 0


def test_columns_are_read_by_ranges_from_s3_too(local_project: LocalProject, monkeypatch: pytest.MonkeyPatch) -> None:
    wide_table(local_project)
    assert local_project.objects.backend.remote == ("s3" in str(local_project.objects.backend.identity))

    found = scan(local_project, "wide@v1", columns=["i"], where="i >= 599998").fetchall()

    assert found == [(599998,), (599999,)]
    if local_project.objects.backend.remote:
        few = share_fetched(
            local_project, monkeypatch, lambda: scan(local_project, "wide@v1", where="i = 5", columns=["c1"]).fetchall()
        )
        assert few < 0.5


def test_by_url_only_the_ranges_travel(
    sqlite_project: LocalProject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wide_table(sqlite_project)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "client"))
    sizes: list[int] = []
    plain = RemoteObjects.get

    def counting(self: RemoteObjects, digest: str, start: int = 0, end: int | None = None) -> bytes:
        data = plain(self, digest, start, end)
        sizes.append(len(data))
        return data

    monkeypatch.setattr(RemoteObjects, "get", counting)
    with served(sqlite_project) as address, open_project(address, actor="ann") as project:
        found = scan(project, "wide@v1", columns=["i"], where="i BETWEEN 7 AND 9").fetchall()
        [entry] = scan(project, "wide@v1").scanned.entries  # type: ignore[union-attr]  # a scan has it
        part = read_bytes(project, "wide@v1", "part.parquet", entry.size - 4, entry.size)
        assert read_bytes(project, "wide@v1", "part.parquet", entry.size + 1, entry.size + 9) == b""

    assert found == [(7,), (8,), (9,)]
    assert part == b"PAR1"
    assert 0 < sum(sizes) < 0.1 * entry.size
    assert not [path for path in (tmp_path / "client").rglob("*") if path.is_file()]  # nothing was copied whole


def test_a_query_reads_no_other_object_than_those_of_its_version(bucket_project: LocalProject) -> None:
    wide_table(bucket_project)
    other = add_table(bucket_project, "other", "x", {"i": np.arange(ROWS), "r": np.random.default_rng(2).random(ROWS)})
    [entry] = scan(bucket_project, other.id).scanned.entries  # type: ignore[union-attr]  # a scan has its scanned

    with pytest.raises(InvalidInputError, match="disabled"):
        scan(bucket_project, "wide@v1", sql=f"FROM read_parquet('{ranged.address(entry.digest)}')").fetchall()


_PEAK = """
import sys
from headwater.lake import scan
from headwater.project import open_project
project = open_project(sys.argv[1])
rows = 0
import pyarrow
def peak():  # of this program alone: what getrusage gives counts the parent before it became this program
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))
before = peak()
table = scan(project, "big@v1")
if sys.argv[2] == "whole":
    rows = len(table.arrow())
else:
    rows = sum(len(batch) for batch in table.batches(20_000))
print(rows, (peak() - before) // 1024)
"""


def test_batches_never_hold_the_whole_table(sqlite_project: LocalProject, tmp_path: Path) -> None:
    rows = {f"c{n}": np.arange(500_000) % 1000 for n in range(16)}
    entries = [put_table(sqlite_project, f"part{part}", rows) for part in range(6)]
    # One object under six names: six parts are read, 366 MiB in memory.
    commit(sqlite_project, "big", put=entries)

    def peak_mib(way: str) -> tuple[int, int]:
        command = [sys.executable, "-c", _PEAK, str(sqlite_project.folder), way]
        count, mib = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
        return int(count), int(mib)

    count, streamed = peak_mib("batches")
    _, whole = peak_mib("whole")

    assert count == 3_000_000
    assert whole > 350  # what the measure says of a read that does hold it
    assert streamed < 250


def test_arrow_files_are_tables_where_pyarrow_is(
    sqlite_project: LocalProject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = pyarrow.table({"i": [1, 2], "s": ["a", None]})
    with pyarrow.ipc.new_file(tmp_path / "a.arrow", table.schema) as writer:
        writer.write_table(table)
    with pyarrow.ipc.new_stream(tmp_path / "b.arrow", table.schema) as writer:
        writer.write_table(table)
    version = add_files(sqlite_project, "t", [tmp_path / "a.arrow", tmp_path / "b.arrow"])

    assert scan(sqlite_project, version.id).fetchall() == [(1, "a"), (2, None)] * 2

    (tmp_path / "torn.arrow").write_bytes(b"ARROW1 and no more")
    torn = add_files(sqlite_project, "torn", tmp_path / "torn.arrow")
    with pytest.raises(InvalidInputError, match=r"torn\.arrow.*cannot be read"):
        scan(sqlite_project, torn.id)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtraError, match=r"headwater\[arrow\]"):
        scan(sqlite_project, version.id)

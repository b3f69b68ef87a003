from __future__ import annotations

import multiprocessing
import pickle
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headwater.errors import InvalidInputError, MissingExtraError
from headwater.lake import Table, add_files, add_table, scan
from headwater.lake import batches as batching
from headwater.lake.batches import Block, blocks_of, part_of, shuffled
from headwater.project import LocalProject, Project


def numbers(batches: Any) -> list[int]:
    return [int(value) for batch in batches for value in batch["i"]]


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of ten rows, three to a group, so that a few hundred rows have many."""
    monkeypatch.setattr(batching, "BLOCK_ROWS", 10)
    monkeypatch.setattr(batching, "GROUP_BLOCKS", 3)


def three_files(project: Project) -> Table:
    base = None
    for place, (start, stop) in enumerate([(0, 25), (25, 26), (26, 107)]):
        rows = {"i": list(range(start, stop)), "text": [f"row {n}" for n in range(start, stop)]}
        base = add_table(project, "t", f"part{place}", rows, base=base).id
    assert base is not None
    return scan(project, base)


@settings(max_examples=300, deadline=None)
@given(
    total=st.integers(0, 10_000),
    shards=st.integers(1, 9),
    workers=st.integers(1, 5),
)
def test_parts_cover_every_row_exactly_once_and_differ_by_one_row_at_most(
    total: int, shards: int, workers: int
) -> None:
    parts = [part_of(total, (i, shards), (j, workers)) for i in range(shards) for j in range(workers)]

    assert parts[0][0] == 0 and parts[-1][1] == total
    assert all(before[1] == after[0] for before, after in pairwise(parts))
    assert max(b - a for a, b in parts) - min(b - a for a, b in parts) <= 1


@settings(max_examples=200, deadline=None)
@given(rows=st.lists(st.integers(0, 100_000), max_size=8))
def test_blocks_hold_each_row_of_each_file_once(rows: list[int]) -> None:
    seen = dict.fromkeys(range(len(rows)), 0)
    for block in blocks_of(rows):
        assert block.start == seen[block.file] and block.rows > 0
        seen[block.file] = block.stop

    assert list(seen.values()) == rows


def covered_once(table: Table, shards: int, workers: int, seed: int | None, epoch: int = 0) -> bool:
    """Tell whether the parts together hold every row exactly once."""
    found = [
        value
        for i in range(shards)
        for j in range(workers)
        for value in numbers(table.iterate(7, seed=seed, epoch=epoch, shard=(i, shards), worker=(j, workers)))
    ]
    return sorted(found) == list(range(107))


@pytest.mark.usefixtures("small_blocks")
def test_shards_and_workers_read_every_row_exactly_once(project: Project) -> None:
    table = three_files(project)

    assert all(covered_once(table, *split) for split in [(1, 1, None), (2, 3, 5), (5, 1, 5), (7, 2, None)])
    assert numbers(table.iterate(16)) == list(range(107))


@pytest.mark.usefixtures("small_blocks")
def test_an_overlap_between_parts_is_found(sqlite_project: LocalProject, monkeypatch: pytest.MonkeyPatch) -> None:
    table = three_files(sqlite_project)

    def overlapping(total: int, shard: tuple[int, int], worker: tuple[int, int]) -> tuple[int, int]:
        start, stop = part_of(total, shard, worker)
        return max(start - 1, 0), stop

    monkeypatch.setattr(batching, "part_of", overlapping)

    assert not covered_once(table, 2, 2, 5)


@pytest.mark.usefixtures("small_blocks")
def test_a_seed_and_an_epoch_decide_the_order_and_parts_in_a_row_are_the_whole(sqlite_project: LocalProject) -> None:
    table = three_files(sqlite_project)

    whole = numbers(table.iterate(10, seed=1))

    assert whole == numbers(table.iterate(33, seed=1))
    assert whole == [n for part in table.shards(4, 10, seed=1) for n in numbers(part)]
    others = [numbers(table.iterate(10, seed=seed, epoch=epoch)) for seed, epoch in ((2, 0), (1, 1))]
    assert all(other != whole and sorted(other) == sorted(whole) for other in others)
    assert sum(abs(a - b) == 1 for a, b in pairwise(whole)) < 20  # neighbours came apart


def test_the_order_is_the_one_that_the_bits_of_pcg64_give() -> None:
    # random_raw of PCG64(SeedSequence([3, 0, 0])), first five, sorted; written down once from numpy 2.3.
    bits = np.random.PCG64(np.random.SeedSequence([3, 0, 0])).random_raw(5)

    assert list(shuffled(5, 3, 0, 0)) == sorted(range(5), key=lambda place: bits[place])


@pytest.mark.usefixtures("small_blocks")
def test_rows_keep_together_and_nulls_come_masked(sqlite_project: LocalProject) -> None:
    version = add_table(
        sqlite_project, "t", "a", pyarrow.table({"i": range(50), "x": [None if n % 5 else n for n in range(50)]})
    )
    more = add_table(sqlite_project, "t", "b", {"i": list(range(50, 60)), "y": ["u"] * 10}, base=version.id)

    [batch] = scan(sqlite_project, more.id).iterate(100, seed=4)

    order = [int(n) for n in batch["i"]]
    assert sorted(order) == list(range(60))
    assert batch["x"].tolist() == [None if n % 5 or n >= 50 else n for n in order]
    assert batch["y"].tolist() == ["u" if n >= 50 else None for n in order]


@pytest.mark.usefixtures("small_blocks")
def test_queries_and_other_formats_are_iterated_too(sqlite_project: LocalProject, tmp_path: Any) -> None:
    (tmp_path / "a.csv").write_text("i\n" + "\n".join(str(n) for n in range(45)) + "\n")
    version = add_files(sqlite_project, "t", tmp_path / "a.csv")

    table = scan(sqlite_project, version.id, where="i % 2 = 0")

    assert numbers(table.iterate(4)) == list(range(0, 45, 2))
    parts = [numbers(part) for part in table.shards(3, 4, seed=9)]
    assert sorted(number for part in parts for number in part) == list(range(0, 45, 2))
    assert [len(part) for part in parts] == [7, 8, 8]
    assert numbers(table.sql("SELECT i + 100 AS i FROM data").iterate()) == [n + 100 for n in range(0, 45, 2)]


def test_what_cannot_be_is_refused(sqlite_project: LocalProject) -> None:
    table = scan(sqlite_project, add_table(sqlite_project, "t", "a", {"i": [1]}).id)

    with pytest.raises(InvalidInputError, match="at least one row, not 0"):
        table.iterate(0)
    with pytest.raises(InvalidInputError, match="shard 2 of 2 is none"):
        table.iterate(shard=(2, 2))
    with pytest.raises(InvalidInputError, match="count from 0"):
        table.iterate(seed=-1)
    assert blocks_of([1]) == [Block(0, 0, 1)]


def _sum_in_child(pickled: bytes, answers: Any) -> None:
    answers.put(sum(numbers(pickle.loads(pickled).iterate(2))))


def test_a_table_travels_to_another_process(sqlite_project: LocalProject) -> None:
    table = scan(sqlite_project, add_table(sqlite_project, "t", "a", {"i": [1, 2, 4]}).id, where="i > 1")
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    child = context.Process(target=_sum_in_child, args=(pickle.dumps(table), answers))
    child.start()

    assert answers.get(timeout=60) == 6
    child.join()


def test_without_torch_the_extra_is_named(sqlite_project: LocalProject, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    table = scan(sqlite_project, add_table(sqlite_project, "t", "a", {"i": [1]}).id)

    with pytest.raises(MissingExtraError, match="torch"):
        table.to_torch()

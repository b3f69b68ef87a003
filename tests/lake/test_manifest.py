from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headwater.canonical import decode, digest, encode
from headwater.errors import CorruptError
from headwater.lake import building, ranges
from headwater.lake.manifest import apply_changes, differences, find_row, leaves, rows_after
from headwater.lake.ranges import (
    LEAF_MEAN,
    Leaf,
    Row,
    cut_leaves,
    cut_nodes,
    encode_leaf,
    encode_node,
    refer_to_leaf,
    refer_to_node,
)
from tests.lake.ranges_store import RangesStore, row, rows

_paths = st.text(st.sampled_from("ab/é"), min_size=1, max_size=6).map(lambda s: f"x{s}")
_tables = st.dictionaries(_paths, st.sampled_from("123"), max_size=60)


def _as_rows(table: dict[str, str]) -> dict[bytes, Row | None]:
    return {path.encode(): row(path, content) for path, content in table.items()}


def test_a_manifest_gives_back_its_rows_in_the_order_of_bytes() -> None:
    store = RangesStore()
    table = rows(5000)

    root = store.make(table)

    assert list(rows_after(store.seam, root)) == [table[path] for path in sorted(table)]


@settings(max_examples=200, deadline=None)
@given(_tables, _tables)
def test_the_difference_of_two_manifests_is_that_of_two_dicts(a: dict[str, str], b: dict[str, str]) -> None:
    store = RangesStore()
    rows_a, rows_b = _as_rows(a), _as_rows(b)

    found = list(differences(store.seam, store.make(rows_a), store.make(rows_b)))

    paths = sorted(path for path in rows_a.keys() | rows_b.keys() if rows_a.get(path) != rows_b.get(path))
    assert found == [(path, rows_a.get(path), rows_b.get(path)) for path in paths]


def test_the_difference_of_large_manifests_is_that_of_two_dicts() -> None:
    store = RangesStore()
    chance = random.Random(7)
    before = rows(30_000)
    changes: dict[bytes, Row | None] = {}
    for path in chance.sample(sorted(before), 400):
        changes[path] = None if chance.random() < 0.5 else row(path.decode(), "new")
    for number in range(200):
        extra = row(f"train/{number % 7:02d}/extra-{number}.png", "extra")
        changes[extra.path] = extra
    root = store.make(before)
    after = {**before, **changes}

    found = list(differences(store.seam, root, store.make(changes, root)))

    assert found == [(p, before.get(p), after[p]) for p in sorted(after) if before.get(p) != after[p]]


@pytest.mark.parametrize(
    ("what", "changed"),
    [
        ("bytes", lambda old: row(old.path.decode(), "new", size=7)),
        ("the media type alone", lambda old: old._replace(media="text/csv")),
        ("the rows alone", lambda old: old._replace(rows=12)),
    ],
)
@pytest.mark.parametrize("every", [1, 3, 400])
def test_what_differs_at_the_same_paths_is_found_whatever_it_is(
    what: str, changed: Callable[[Row], Row], every: int
) -> None:
    store = RangesStore()
    before = rows(5000)
    changes = {path: changed(old) for path, old in list(before.items())[::every] if old is not None}
    root = store.make(before)

    found = list(differences(store.seam, root, store.make({**changes}, root)))

    assert found == [(path, before[path], changes[path]) for path in sorted(changes)], what


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"level": 1}, "a node of level 1"),
        ({"format": "headwater.manifest/9"}, "headwater.manifest/9"),
        ({"sizes": [1]}, "columns of different lengths"),
        ({"digests": bytes(64)[:40]}, "columns of different lengths"),
        ({"kinds": [], "media": [5, 5]}, "index out of range"),
        ({"rows": [1]}, "columns of different lengths"),
        ({"paths": b"a"}, "columns of different lengths"),
    ],
)
def test_a_damaged_leaf_is_named_and_never_compared(wrong: dict[str, object], said: str) -> None:
    whole = decode(encode_leaf([row("a"), row("b")]))
    assert Leaf(encode(whole), "whole").paths() == [b"a", b"b"]

    with pytest.raises(CorruptError, match=said):
        Leaf(encode({**whole, **wrong}), "d1")


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 6000), st.integers(1, 400))
def test_the_same_files_give_the_same_root_whatever_way_led_there(seed: int, size: int, changed: int) -> None:
    store = RangesStore()
    chance = random.Random(seed)
    table = rows(size)
    root = store.make(table)
    changes: dict[bytes, Row | None] = {
        path: None if chance.random() < 0.6 else row(path.decode(), "new")
        for path in chance.sample(sorted(table), min(changed, size))
    }
    changes |= {(extra := row(f"train/{chance.random()}", "x")).path: extra for _ in range(changed // 4)}
    wanted = {path: each for path, each in {**table, **changes}.items() if each is not None}

    stepwise = store.make(changes, root)

    assert stepwise == store.make(dict(wanted))
    assert list(rows_after(store.seam, stepwise)) == [wanted[path] for path in sorted(wanted)]


@contextmanager
def short_ranges() -> Iterator[None]:
    """Let leaves hold four rows and nodes three ranges on average: a few hundred rows make a deep tree."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranges, "_LEAF_LIMIT", 2**32 // 4)
        patch.setattr(ranges, "NODE_MEAN", 3)
        yield


def cut_from_scratch(table: dict[bytes, Row | None]) -> str:
    """Return the root by the definition: cut all rows, then all ranges of each level, until one is left."""
    given = [each for _, each in sorted(table.items()) if each is not None]
    level = [refer_to_leaf(part, digest(encode_leaf(part))) for part in cut_leaves(given)]
    number = 0
    while len(level) > 1:
        number += 1
        level = [refer_to_node(p, digest(encode_node(p, number)), number) for p in cut_nodes(level, number)]
    return level[0].digest if level else digest(encode_leaf([]))


def changes_of_all_kinds(chance: random.Random, table: dict[bytes, Row | None]) -> dict[bytes, Row | None]:
    """Return changes spread over a table, or in one stretch of it, or beyond its end, or of all but a few rows."""
    order = sorted(table)
    start = chance.randrange(len(order) + 1)
    stretch = order[start : start + chance.choice([1, 5, 50, 1000])]
    kind = chance.randrange(4)
    if kind == 0:
        stretch = chance.sample(order, chance.randrange(len(order) + 1))
    elif kind == 1:
        stretch = [path for path in order if path not in set(stretch)]
    gone = chance.random()
    found: dict[bytes, Row | None] = {p: None if chance.random() < gone else row(p.decode(), "new") for p in stretch}
    near = stretch[0].decode() if stretch else "z"
    return found | {(more := row(f"{near}+{each}")).path: more for each in range(chance.choice([0, 0, 1, 30]))}


def spliced_otherwise(seed: int) -> bool:
    """Tell whether changes after changes led to another manifest than the same files cut from scratch."""
    chance = random.Random(seed)
    store = RangesStore()
    table = rows(chance.choice([0, 1, 7, 60, 700]))
    root = store.make(dict(table))
    for _ in range(4):
        changes = changes_of_all_kinds(chance, table)
        root = store.make(changes, root)
        table = {path: each for path, each in {**table, **changes}.items() if each is not None}
        if root != cut_from_scratch(table) or list(rows_after(store.seam, root)) != [table[p] for p in sorted(table)]:
            return True
    return False


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32))
def test_changes_in_a_deep_tree_give_what_the_same_files_give_from_scratch(seed: int) -> None:
    with short_ranges():
        assert not spliced_otherwise(seed)


@pytest.mark.parametrize("fault", ["takes", "ends_node"])
def test_a_splice_that_forgets_what_is_begun_or_where_nodes_end_is_found(
    fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if fault == "takes":
        monkeypatch.setattr(building.Builder, "takes", lambda builder, level: not builder._rows)
    else:
        monkeypatch.setattr(building, "ends_node", lambda last, level: len(last) % 3 == 0)
    with short_ranges():
        assert any(spliced_otherwise(seed) for seed in range(40))


def test_rows_that_stream_by_make_the_manifest_of_the_same_rows_at_once() -> None:
    store = RangesStore()
    table = rows(40_000)

    streamed = building.build(store.put, (each for _, each in sorted(table.items()) if each is not None))

    assert streamed.digest == store.make(table)
    assert streamed.files == 40_000


def test_removing_everything_gives_the_empty_manifest() -> None:
    store = RangesStore()
    table = rows(3000)
    root = store.make(table)

    emptied = store.make(dict.fromkeys(table), root)

    assert emptied == store.make({})
    assert list(rows_after(store.seam, emptied)) == []


def test_removing_the_ends_of_ranges_joins_them_as_if_never_cut() -> None:
    store = RangesStore()
    table = rows(20_000)
    root = store.make(table)
    ends: dict[bytes, Row | None] = {reference.last: None for reference in leaves(store.seam, root)}

    joined = store.make(ends, root)

    assert joined == store.make({path: each for path, each in table.items() if path not in ends})


def test_ten_changes_in_a_hundred_thousand_write_few_ranges() -> None:
    store = RangesStore()
    table = rows(100_000)
    root = store.make(table)
    every = len(store.written)
    chosen = sorted(table)[5_000::10_000]

    store.make({path: row(path.decode(), "new") for path in chosen}, root)

    # at most the ten leaves they fall into and the root above; nothing else is read but the root
    assert len(chosen) == 10
    assert every > 80
    assert len(store.written) <= 11
    assert store.reads <= 12


def test_ranges_hold_about_a_thousand_rows_each() -> None:
    store = RangesStore()

    parts = leaves(store.seam, store.make(rows(200_000)))

    assert 0.7 * LEAF_MEAN < 200_000 / len(parts) < 1.4 * LEAF_MEAN
    assert max(part.files for part in parts) < 12 * LEAF_MEAN


def test_a_difference_reads_only_what_is_not_shared() -> None:
    store = RangesStore()
    table = rows(100_000)
    root = store.make(table)
    path = sorted(table)[50_000]
    other = store.make({path: row(path.decode(), "new")}, root)
    store.reads = 0

    found = list(differences(store.seam, root, other))

    assert [change[0] for change in found] == [path]
    assert store.reads <= 6  # two roots, again their lists of ranges, one leaf on each side


def test_finding_one_path_reads_one_range_per_level() -> None:
    store = RangesStore()
    table = rows(100_000)
    root = store.make(table)
    path = sorted(table)[77_777]
    store.reads = 0

    assert find_row(store.seam, root, path) == table[path]
    assert store.reads == 2
    assert find_row(store.seam, root, path + b"x") is None
    assert find_row(store.seam, root, b"zzz") is None


def test_listing_begins_where_it_is_asked_to() -> None:
    store = RangesStore()
    table = rows(50_000)
    root = store.make(table)
    order = sorted(table)
    store.reads = 0

    found = rows_after(store.seam, root, after=order[40_000])

    assert next(found).path == order[40_001]
    assert store.reads <= 3
    inside = [each.path for each in rows_after(store.seam, root, prefix=b"train/42/")]
    assert inside == [path for path in order if path.startswith(b"train/42/")]


def test_totals_of_a_manifest_are_those_of_its_rows() -> None:
    store = RangesStore()
    table: dict[bytes, Row | None] = {}
    for number in range(3000):
        each = row(f"{number}.parquet", size=number, rows=number if number % 2 else None)
        table[each.path] = each

    root = apply_changes(store.seam, store.put, None, table)

    assert root.files == 3000
    assert root.bytes == 3000 * 2999 // 2
    assert root.counted == 1500
    assert root.rows == 1500 * 1500  # the sum of the first 1,500 odd numbers

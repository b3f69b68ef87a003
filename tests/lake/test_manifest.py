from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from headwater.lake.manifest import apply_changes, differences, find_row, leaves, rows_after
from headwater.lake.ranges import LEAF_MEAN, Row
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

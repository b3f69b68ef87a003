from __future__ import annotations

from datetime import date
from typing import Any

import pyarrow
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headwater.errors import InvalidInputError
from headwater.lake import add_table, commit, compare_columns, compare_rows
from headwater.project import LocalProject, Project

BEFORE: dict[str, Any] = {
    "id": [1, 2, 3, 4],
    "delay": [10.0, 20.0, None, 40.0],
    "carrier": ["UA", "AA", "AA", None],
    "late": [True, False, False, True],
}
AFTER: dict[str, Any] = {
    "id": [2, 3, 4, 5],
    "delay": [20.0, 7.5, 41.0, 50.0],
    "carrier": ["AA", "AA", "DL", "DL"],
    "day": [date(2026, 1, n) for n in (1, 2, 3, 4)],
}


def two_versions(project: Project) -> tuple[str, str]:
    first = add_table(project, "t", "a", pyarrow.table(BEFORE))
    second = add_table(project, "t", "a", pyarrow.table(AFTER), base=first.id)
    return first.id, second.id


def test_columns_are_compared_by_what_they_hold(project: Project) -> None:
    a, b = two_versions(project)

    found = compare_columns(project, a, b)

    assert (found.rows_a, found.rows_b) == (4, 4)
    assert [c.column for c in found.columns] == ["id", "delay", "carrier", "late", "day"]
    _, delay, carrier, late, day = found.columns
    assert delay.before is not None and delay.after is not None
    # by hand: (10 + 20 + 40) / 3, and (20 + 7.5 + 41 + 50) / 4
    assert delay.before.nulls == 1 and delay.before.mean == pytest.approx(70 / 3)
    assert (delay.after.nulls, delay.after.mean, delay.after.smallest) == (0, 29.625, "7.5")
    assert carrier.before is not None and (carrier.before.distinct, carrier.before.largest) == (2, "UA")
    assert late.before is not None and late.before.mean == 0.5
    assert late.after is None and day.before is None
    assert day.after is not None and (day.after.type, day.after.largest) == ("DATE", "2026-01-04")


def test_rows_are_compared_by_key(project: Project) -> None:
    a, b = two_versions(project)

    found = compare_rows(project, a, b, ["id"])

    assert (found.added_count, found.removed_count, found.changed_count) == (1, 1, 2)
    assert found.columns == {"delay": 2, "carrier": 1}
    assert (found.only_a, found.only_b) == (("late",), ("day",))
    assert found.added == ({"id": 5, "delay": 50.0, "carrier": "DL", "day": "2026-01-04"},)
    assert [row["id"] for row in found.removed] == [1]
    assert [(c.key, [(x.column, x.before, x.after) for x in c.cells]) for c in found.changed] == [
        ({"id": 3}, [("delay", None, 7.5)]),
        ({"id": 4}, [("delay", 40.0, 41.0), ("carrier", None, "DL")]),
    ]


def test_lists_are_bounded_and_counts_are_not(sqlite_project: LocalProject) -> None:
    first = add_table(sqlite_project, "t", "a", {"k": list(range(1000)), "v": [0] * 1000})
    second = add_table(sqlite_project, "t", "a", {"k": list(range(1000)), "v": [1] * 1000}, base=first.id)

    found = compare_rows(sqlite_project, first.id, second.id, ["k"], limit=3)

    assert found.changed_count == 1000
    assert [change.key["k"] for change in found.changed] == [0, 1, 2]


def test_rows_that_moved_to_another_file_are_the_same_rows(sqlite_project: LocalProject) -> None:
    first = add_table(sqlite_project, "t", "a", {"k": [1, 2], "v": ["x", "y"]})
    moved = commit(sqlite_project, "t", remove=["a.parquet"], base=first.id, allow_empty=True)
    moved = add_table(sqlite_project, "t", "b", {"k": [2, 1], "v": ["y", "z"]}, base=moved.id)

    found = compare_rows(sqlite_project, first.id, moved.id, ["k"])

    assert (found.added_count, found.removed_count, found.changed_count) == (0, 0, 1)
    everything = compare_rows(
        sqlite_project, first.id, commit(sqlite_project, "t", remove=["a.parquet"], base=first.id).id, ["k"]
    )
    assert (everything.removed_count, everything.removed[0]) == (2, {"k": 1, "v": "x"})


def test_a_key_that_is_none_is_refused(sqlite_project: LocalProject) -> None:
    first = add_table(sqlite_project, "t", "a", {"k": [1, 1], "v": [1, 2]})
    second = add_table(sqlite_project, "t", "a", {"k": [1, 3], "v": [1, 2]}, base=first.id)

    with pytest.raises(InvalidInputError, match="t@v1 has 2 rows with k = 1"):
        compare_rows(sqlite_project, first.id, second.id, ["k"])
    with pytest.raises(InvalidInputError, match=r"no column 'flight'.*they have k, v"):
        compare_rows(sqlite_project, first.id, second.id, ["flight"])
    assert compare_rows(sqlite_project, first.id, second.id, ["k", "v"]).added_count == 1


ROWS = st.dictionaries(st.integers(0, 12) | st.none(), st.tuples(st.integers(0, 2) | st.none(), st.sampled_from("xy")))


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(before=ROWS, after=ROWS)
def test_rows_by_key_agree_with_a_comparison_of_dicts(
    sqlite_project: LocalProject, before: dict[Any, Any], after: dict[Any, Any]
) -> None:
    schema = pyarrow.schema([("k", pyarrow.int64()), ("v", pyarrow.int64()), ("w", pyarrow.string())])

    def version(rows: dict[Any, Any]) -> str:
        columns = [list(rows), [v for v, _ in rows.values()], [w for _, w in rows.values()]]
        table = pyarrow.table(columns, schema=schema)
        return add_table(sqlite_project, "t", "a", table, allow_empty=True).id

    found = compare_rows(sqlite_project, version(before), version(after), ["k"])

    assert found.added_count == len(after.keys() - before.keys())
    assert found.removed_count == len(before.keys() - after.keys())
    assert {change.key["k"] for change in found.changed} == {k for k in before.keys() & after if before[k] != after[k]}

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pandas
import polars
import pyarrow
import pytest

from headwater.errors import InvalidInputError, MissingExtraError, NotFoundError
from headwater.lake import Read, Table, add_files, add_table, diff, get_entry, listening, materialise, read_bytes, scan
from headwater.project import LocalProject, Project

COLUMNS: dict[str, list[Any]] = {"day": [1, 2, 3], "delay": [0.5, -2.0, 30.25], "carrier": ["UA", None, "AA"]}
ROWS = [(1, 0.5, "UA"), (2, -2.0, None), (3, 30.25, "AA")]


def reader_once() -> Any:
    return pyarrow.table(COLUMNS).to_reader()


MAKERS: dict[str, Callable[[], Any]] = {
    "columns": lambda: COLUMNS,
    "pandas": lambda: pandas.DataFrame(COLUMNS),
    "polars": lambda: polars.DataFrame(COLUMNS),
    "arrow": lambda: pyarrow.table(COLUMNS),
    "arrow_reader": reader_once,
    "duckdb": lambda: duckdb.connect().from_arrow(pyarrow.table(COLUMNS)),
}


@pytest.mark.parametrize("maker", MAKERS)
def test_a_table_of_any_library_comes_back_as_it_was(sqlite_project: LocalProject, maker: str) -> None:
    version = add_table(sqlite_project, "t", "jan", MAKERS[maker]())

    assert version.rows == 3
    table = scan(sqlite_project, version.id)
    assert table.fetchall() == ROWS
    assert table.columns == ["day", "delay", "carrier"]


def test_the_same_table_gives_the_same_bytes(sqlite_project: LocalProject) -> None:
    many = {"i": list(range(300_000)), "s": [str(i % 77) for i in range(300_000)]}
    first = add_table(sqlite_project, "t", "a", many)

    again = add_table(sqlite_project, "t", "a", many, base=first.id)

    assert not again.changed


def test_a_table_is_taken_in_every_way(project: Project) -> None:
    version = add_table(project, "t", "jan", COLUMNS)

    table = scan(project, version.id)

    assert table.to_dicts()[0] == {"day": 1, "delay": 0.5, "carrier": "UA"}
    assert list(table.to_pandas()["delay"]) == [0.5, -2.0, 30.25]
    assert table.to_polars().rows() == ROWS
    assert table.arrow().column("day").to_pylist() == [1, 2, 3]
    assert [len(batch) for batch in table.batches(2)] == [2, 1]
    assert list(table.to_numpy()["day"]) == [1, 2, 3]
    assert polars.DataFrame(table).shape == (3, 3)
    assert len(table) == 3
    assert "3 rows: day BIGINT" in repr(table)


def test_columns_conditions_and_queries_choose_what_is_read(project: Project) -> None:
    version = add_table(project, "t", "jan", COLUMNS)

    assert scan(project, version.id, columns=["carrier"], where="delay > 0").fetchall() == [("UA",), ("AA",)]
    assert scan(project, version.id, sql="SELECT sum(day) AS total FROM data;").to_dicts() == [{"total": 6}]
    assert scan(project, version.id).sql("SELECT max(delay) FROM data").sql("FROM data").fetchall() == [(30.25,)]
    with pytest.raises(InvalidInputError, match="either sql, or columns"):
        scan(project, version.id, columns=["day"], sql="SELECT 1")
    with pytest.raises(InvalidInputError, match=r"cannot be answered.*delayy"):
        scan(project, version.id, columns=["delayy"])


def test_a_query_reaches_nothing_but_the_version(sqlite_project: LocalProject, tmp_path: Path) -> None:
    version = add_table(sqlite_project, "t", "jan", COLUMNS)
    secret = tmp_path / "secret.csv"
    secret.write_text("a\n1\n")

    for query in (
        f"FROM read_csv('{secret}')",
        f"COPY data TO '{tmp_path}/out.csv'",
        "SET enable_external_access = true",
    ):
        with pytest.raises(InvalidInputError):
            scan(sqlite_project, version.id, sql=query).fetchall()
    assert not (tmp_path / "out.csv").exists()


def test_parquet_csv_and_json_lines_are_one_table_joined_by_name(sqlite_project: LocalProject, tmp_path: Path) -> None:
    import gzip

    (tmp_path / "1.csv").write_text("day,carrier\n1,UA\n")
    (tmp_path / "2.csv.gz").write_bytes(gzip.compress(b"day,carrier\n2,AA\n"))
    (tmp_path / "3.ndjson").write_text('{"day": 3, "delay": 1.5}\n')
    (tmp_path / "readme.txt").write_text("not a table")
    version = add_files(sqlite_project, "t", [tmp_path / n for n in ("1.csv", "2.csv.gz", "3.ndjson", "readme.txt")])

    table = scan(sqlite_project, version.id, sql="SELECT day, carrier, delay FROM data ORDER BY day")

    assert table.fetchall() == [(1, "UA", None), (2, "AA", None), (3, None, 1.5)]
    assert scan(sqlite_project, version.id, prefix="3").columns == ["day", "delay"]


def test_times_with_a_zone_come_back_as_utc(sqlite_project: LocalProject) -> None:
    when = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
    version = add_table(sqlite_project, "t", "a", pyarrow.table({"at": [when, None], "n": [1, 2]}))

    assert scan(sqlite_project, version.id).fetchall() == [(when, 1), (None, 2)]


def test_a_version_without_tables_cannot_be_scanned_and_a_bad_table_cannot_be_added(
    sqlite_project: LocalProject, tmp_path: Path
) -> None:
    (tmp_path / "a.txt").write_text("x")
    (tmp_path / "torn.parquet").write_bytes(b"PAR1 and no more")
    version = add_files(sqlite_project, "t", tmp_path / "a.txt")

    with pytest.raises(InvalidInputError, match=r"t@v1 holds no table"):
        scan(sqlite_project, version.id)
    with pytest.raises(InvalidInputError, match="named as a Parquet file and cannot be read as one"):
        add_files(sqlite_project, "t", tmp_path / "torn.parquet")
    with pytest.raises(InvalidInputError, match="a int is no table"):
        add_table(sqlite_project, "t", "a", 7)
    with pytest.raises(InvalidInputError, match="equally long"):
        add_table(sqlite_project, "t", "a", {"a": [1], "b": [1, 2]})
    with pytest.raises(NotFoundError, match="there is no file"):
        add_table(sqlite_project, "t", "a", tmp_path / "none.parquet")


def test_a_missing_library_is_named_with_its_extra(
    sqlite_project: LocalProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = scan(sqlite_project, add_table(sqlite_project, "t", "jan", COLUMNS).id)
    monkeypatch.setitem(__import__("sys").modules, "polars", None)
    monkeypatch.setitem(__import__("sys").modules, "pandas", None)

    with pytest.raises(MissingExtraError, match=r"pip install 'headwater\[tables\]'"):
        table.to_polars()
    with pytest.raises(MissingExtraError, match=r"pip install 'headwater\[pandas\]'"):
        table.to_pandas()
    assert table.fetchall() == ROWS


def test_a_difference_says_which_rows_and_columns_changed(project: Project) -> None:
    first = add_table(project, "t", "jan", COLUMNS)
    renamed = {"day": ["1", "2"], "late": [1.0, 2.0], "carrier": ["UA", "AA"]}

    second = add_table(project, "t", "jan", renamed, base=first.id)

    found = diff(project, first.id, second.id)
    assert (found.rows_a, found.rows_b, found.changed_count) == (3, 2, 1)
    assert [(c.column, c.before, c.after) for c in found.columns] == [
        ("day", "BIGINT", "VARCHAR"),
        ("delay", "DOUBLE", None),
        ("late", None, "DOUBLE"),
    ]


def test_rows_of_parquet_files_are_known_from_their_footers(sqlite_project: LocalProject, tmp_path: Path) -> None:
    polars.DataFrame(COLUMNS).write_parquet(tmp_path / "a.parquet")

    version = add_files(sqlite_project, "t", tmp_path / "a.parquet")

    assert version.rows == 3
    assert get_entry(sqlite_project, version.id, "a.parquet").rows == 3


def test_who_listens_learns_what_was_read_and_nobody_else_does(project: Project, tmp_path: Path) -> None:
    version = add_table(project, "t", "jan", COLUMNS)
    heard: list[Read] = []

    with listening(heard.append):
        scan(project, "t@v1")
        read_bytes(project, "t@v1", "jan.parquet")
        materialise(project, "t@v1", tmp_path / "out")
    scan(project, "t@v1")

    assert [(r.ref, r.version, r.paths) for r in heard] == [
        ("t@v1", version.id, None),
        ("t@v1", version.id, ("jan.parquet",)),
        ("t@v1", version.id, None),
    ]
    assert {r.root for r in heard} == {version.root}


def test_a_table_feeds_another_dataset_without_any_other_library(sqlite_project: LocalProject) -> None:
    first = add_table(sqlite_project, "t", "jan", COLUMNS)

    late = add_table(sqlite_project, "late", "jan", scan(sqlite_project, first.id, where="delay > 0"))

    assert scan(sqlite_project, late.id).fetchall() == [ROWS[0], ROWS[2]]
    assert isinstance(scan(sqlite_project, late.id), Table)

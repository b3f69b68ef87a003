from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from headwater.errors import InvalidInputError, NotFoundError
from headwater.lake import (
    add_files,
    add_table,
    commit,
    create_branch,
    describe_column,
    find_versions,
    list_columns,
    resolve,
    scanning,
    search,
    set_description,
    tag,
)
from headwater.project import LocalProject, Project

FLIGHTS: dict[str, Any] = {"flight_id": [1, 2], "dep_temp": [1.5, 2.5], "carrier": ["UA", "AA"]}


def names(project: Project, words: str) -> list[str]:
    return [found.dataset for found in search(project, words).found]


@pytest.fixture
def catalogue(project: Project) -> Project:
    """Three datasets: flights and weather published, and an archive that holds no table."""
    flights = add_table(project, "flights", "jan", FLIGHTS, source="timetable export")
    create_branch(project, "flights", "main", flights.id)
    set_description(project, "flights", "Departures of three airports, a file a month.")
    weather = add_table(project, "weather", "jan", {"station": ["EWR"], "temperature": [3.5], "measured_at": [7]})
    create_branch(project, "weather", "main", weather.id)
    tag(project, "weather", "winter", weather.id)
    archive = commit(project, "archive", allow_empty=True)
    create_branch(project, "archive", "main", archive.id)
    return project


def test_datasets_are_found_by_names_columns_types_descriptions_tags_and_sources(catalogue: Project) -> None:
    describe_column(catalogue, "weather", "station", "The airport at which it was measured.")

    assert names(catalogue, "temp") == ["flights", "weather"]
    assert names(catalogue, "TEMPERATURE") == ["weather"]
    assert names(catalogue, "varchar carrier") == ["flights"]
    assert names(catalogue, "airport") == ["flights", "weather"]
    assert names(catalogue, "winter") == names(catalogue, "measured station") == ["weather"]
    assert names(catalogue, "timetable") == ["flights"]
    assert names(catalogue, "archive") == ["archive"]
    assert names(catalogue, "temp nothing") == names(catalogue, "100%") == []
    [found] = search(catalogue, "dep_temp").found
    assert [(m.place, m.name, m.text) for m in found.matches] == [("column", "dep_temp", "DOUBLE")]


def test_the_best_comes_first(catalogue: Project) -> None:
    carrier = add_table(catalogue, "carrier", "names", {"code": ["UA"]})
    create_branch(catalogue, "carrier", "main", carrier.id)

    assert names(catalogue, "carrier") == ["carrier", "flights"]


def test_columns_are_described_and_only_columns_that_are_there(catalogue: Project) -> None:
    describe_column(catalogue, "flights", "dep_temp", "Degrees Celsius at departure.")

    assert [(c.name, c.type, c.description) for c in list_columns(catalogue, "flights@main")] == [
        ("flight_id", "BIGINT", ""),
        ("dep_temp", "DOUBLE", "Degrees Celsius at departure."),
        ("carrier", "VARCHAR", ""),
    ]
    assert list_columns(catalogue, "archive@main") == ()
    describe_column(catalogue, "flights", "dep_temp", "")
    assert list_columns(catalogue, "flights@main")[1].description == ""
    with pytest.raises(NotFoundError, match=r"flights@v1 has no column 'dep_tmp'. Did you mean 'dep_temp'"):
        describe_column(catalogue, "flights", "dep_tmp", "x")
    with pytest.raises(InvalidInputError, match="one to 10 words"):
        search(catalogue, "  ")


def schemas(project: LocalProject) -> int:
    with project.ledger.read() as tx:
        return int(tx.value("SELECT count(*) FROM version_schemas"))


def test_a_commit_records_columns_that_it_knows_and_a_search_looks_up_the_rest(
    sqlite_project: LocalProject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = add_table(sqlite_project, "t", "a", FLIGHTS)
    second = add_table(sqlite_project, "t", "b", FLIGHTS, base=first.id)
    third = add_table(sqlite_project, "t", "b", {"flight_id": [3], "new": [1]}, base=second.id)
    (tmp_path / "x.csv").write_text("station,rain\nEWR,1\n")
    other = add_files(sqlite_project, "csv", tmp_path / "x.csv")
    assert schemas(sqlite_project) == 2  # the third changed a table's columns: only the tables can tell

    create_branch(sqlite_project, "t", "main", third.id)
    create_branch(sqlite_project, "csv", "main", other.id)
    assert names(sqlite_project, "rain") == ["csv"]
    assert names(sqlite_project, "new") == ["t"]
    assert schemas(sqlite_project) == 4
    monkeypatch.setattr(scanning, "open_views", None)  # what the catalogue has is not looked up again
    assert names(sqlite_project, "dep_temp") == ["t"]
    assert [c.name for c in list_columns(sqlite_project, third.id)] == ["flight_id", "dep_temp", "carrier", "new"]


def test_a_commit_without_tables_keeps_the_columns_of_its_parent(sqlite_project: LocalProject, tmp_path: Path) -> None:
    first = add_table(sqlite_project, "t", "a", FLIGHTS)
    (tmp_path / "readme.txt").write_text("x")
    add_files(sqlite_project, "t", tmp_path / "readme.txt", base=first.id)
    assert schemas(sqlite_project) == 2

    gone = commit(sqlite_project, "t", remove=["a.parquet"], base=first.id, allow_empty=True)

    assert schemas(sqlite_project) == 2
    assert list_columns(sqlite_project, gone.id) == ()
    assert schemas(sqlite_project) == 3


def test_history_is_found_by_path_author_and_date(project: Project) -> None:
    first = add_table(project, "t", "a", {"x": [1]})
    second = add_table(project, "t", "b", {"x": [1]}, base=first.id)
    third = add_table(project.as_actor("ben"), "t", "a", {"x": [2]}, base=second.id)
    fourth = commit(project, "t", remove=["b.parquet"], base=third.id)
    create_branch(project, "t", "main", fourth.id)

    def numbers(**wanted: Any) -> list[int]:
        return [version.number for version in find_versions(project, "t", **wanted)]

    assert numbers(path="a.parquet") == [3, 1]
    assert numbers(path="b.parquet", branch="main") == [4, 2]
    assert numbers(author="ben") == [3]
    assert numbers(path="b.parquet", limit=1) == [4]
    assert numbers(before=third.id) == [2, 1]
    year = 1970 + resolve(project, "t").created_at // (31_557_600 * 1_000_000)
    assert numbers(since=f"{year}-01-01") == [4, 3, 2, 1] and numbers(until=f"{year}-01-01") == []
    with pytest.raises(InvalidInputError, match="not a date or time"):
        numbers(since="yesterday")

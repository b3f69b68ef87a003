from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import duckdb
import pandas
import pytest

from headwater.lake import Read, add_files, add_table, create_branch, listening, set_branch
from headwater.lake.filesystem import HeadwaterFileSystem
from headwater.project import LocalProject, Project

# They ship no types, or only some.
dask: Any = importlib.import_module("dask")
bag: Any = importlib.import_module("dask.bag")
blocks: Any = importlib.import_module("dask.bytes")
fsspec: Any = importlib.import_module("fsspec")

ROWS = {"day": [1, 2, 3], "carrier": ["UA", "AA", "DL"]}


@pytest.fixture(autouse=True)
def registered() -> None:
    fsspec.register_implementation("headwater", HeadwaterFileSystem, clobber=True)


def flights(project: Project, tmp_path: Path) -> str:
    """Two tables and a text, published as main; returns the version's id."""
    first = add_table(project, "flights", "2026/jan", ROWS)
    (tmp_path / "readme.txt").write_text("one\ntwo\nthree\n")
    second = add_files(project, "flights", tmp_path / "readme.txt", base=first.id)
    third = add_table(project, "flights", "2026/feb", {"day": [4], "carrier": ["UA"]}, base=second.id)
    create_branch(project, "flights", "main", third.id)
    return third.id


def test_a_version_is_a_folder(project: Project, tmp_path: Path) -> None:
    flights(project, tmp_path)
    files = HeadwaterFileSystem(project)

    assert files.ls("", detail=False) == ["flights"]
    assert files.ls("headwater://flights@main", detail=False) == ["flights@main/2026", "flights@main/readme.txt"]
    assert files.glob("headwater://flights@main/**/*.parquet") == [
        "flights@main/2026/feb.parquet",
        "flights@main/2026/jan.parquet",
    ]
    assert files.info("flights@v2/readme.txt")["size"] == 14
    assert files.isdir("flights@v3/2026") and not files.exists("flights@v2/2026/feb.parquet")
    assert files.cat_file("flights@main/readme.txt", 4, 7) == b"two"
    assert files.cat_file("flights@main/readme.txt", -6) == b"three\n"
    assert files.cat_ranges(["flights/readme.txt"] * 2, [0, 4], [3, 7]) == [b"one", b"two"]
    with files.open("flights@main/readme.txt", "rb") as stream:
        stream.seek(8)
        assert stream.read() == b"three\n"


def test_pandas_dask_and_duckdb_read_by_path(
    sqlite_project: LocalProject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flights(sqlite_project, tmp_path)
    monkeypatch.setenv("HEADWATER_PROJECT", str(sqlite_project.folder))

    assert list(pandas.read_parquet("headwater://flights@main/2026/jan.parquet")["day"]) == [1, 2, 3]
    options: dict[str, Any] = {"project": str(sqlite_project.folder)}
    frame = pandas.read_csv("headwater://flights@v3/readme.txt", header=None, storage_options=options)
    assert list(frame[0]) == ["one", "two", "three"]
    assert bag.read_text("headwater://flights@main/*.txt").str.strip().compute(scheduler="sync") == [
        "one",
        "two",
        "three",
    ]
    _, parts = blocks.read_bytes("headwater://flights@main/readme.txt", blocksize=4, delimiter=b"\n")
    assert b"".join(dask.compute(*parts[0], scheduler="sync")) == b"one\ntwo\nthree\n"
    with duckdb.connect() as connection:
        connection.register_filesystem(fsspec.filesystem("headwater", project=str(sqlite_project.folder)))
        found = connection.execute("SELECT sum(day) FROM 'headwater://flights@main/2026/*.parquet'").fetchall()
    assert found == [(10,)]


def test_polars_reads_an_opened_file(sqlite_project: LocalProject, tmp_path: Path) -> None:
    import polars

    flights(sqlite_project, tmp_path)

    with HeadwaterFileSystem(sqlite_project).open("flights@main/2026/jan.parquet") as stream:
        assert polars.read_parquet(stream, columns=["day"]).rows() == [(1,), (2,), (3,)]


def test_what_is_not_there_and_what_cannot_be_written_is_said_clearly(
    sqlite_project: LocalProject, tmp_path: Path
) -> None:
    flights(sqlite_project, tmp_path)
    files = HeadwaterFileSystem(sqlite_project)

    with pytest.raises(FileNotFoundError, match=r"no dataset 'flight'.*Did you mean 'flights'"):
        files.info("flight@main/a")
    with pytest.raises(FileNotFoundError, match=r"has no file 'march\.parquet'"):
        files.open("flights@main/march.parquet")
    for write in (
        lambda: files.open("flights@main/new.txt", "wb"),
        lambda: files.pipe_file("flights@main/new.txt", b"x"),
        lambda: files.rm("flights@main/readme.txt"),
        lambda: files.mkdir("flights@main/folder"),
        lambda: files.put_file(str(tmp_path / "readme.txt"), "flights@main/new.txt"),
        lambda: files.cp_file("flights@main/readme.txt", "flights@main/new.txt"),
    ):
        with pytest.raises(PermissionError, match=r"versions do not change.*hw data add"):
            write()


def test_who_listens_hears_what_is_read_and_a_branch_is_followed(sqlite_project: LocalProject, tmp_path: Path) -> None:
    third = flights(sqlite_project, tmp_path)
    files = HeadwaterFileSystem(sqlite_project)
    heard: list[Read] = []

    with listening(heard.append):
        files.cat_file("flights@main/readme.txt")

    assert [(read.ref, read.version, read.paths) for read in heard] == [("flights@main", third, ("readme.txt",))]
    set_branch(sqlite_project, "flights", "main", "v1", expected=third)
    assert not files.exists("flights@main/readme.txt")


def test_the_package_names_the_file_system_where_fsspec_looks() -> None:
    import tomllib

    declared = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]["entry-points"]

    module, _, name = declared["fsspec.specs"]["headwater"].replace(":", ".").rpartition(".")
    assert getattr(__import__(module, fromlist=[name]), name) is HeadwaterFileSystem

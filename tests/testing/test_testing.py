"""The kit for testing flows: a flow on a sample in this process, and what its steps got and gave."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Annotated, Any

import msgspec
import pandas as pd
import polars as pl
import pytest

import headwater as hw
from headwater import testing
from headwater.errors import InvalidInputError
from headwater.flow import DataFile, active_run, flow, step
from headwater.lake import read_bytes
from headwater.project import LocalProject

FLIGHTS = pl.DataFrame({"n": range(10_000), "delay": [(n * 7) % 60 - 5.0 for n in range(10_000)]})


@step
def load() -> Any:
    return hw.data("flights@main").to_polars()


@step
def clean(raw: Any, floor: float) -> Any:
    return raw.filter(pl.col("delay") >= floor)


@step
def mean(frame: Any) -> float:
    value = float(frame["delay"].mean())
    run = active_run()
    assert run is not None
    run.log(mean=value)
    return value


@flow
def monthly(floor: float = 0.0) -> Any:
    return {"mean": mean(clean(load(), floor))}


def test_a_flow_runs_on_a_sample_and_its_steps_can_be_looked_at() -> None:
    result = testing.run(monthly, {"floor": 10.0}, data={"flights@main": FLIGHTS}, rows=600)

    sample = result.step("load").value
    assert sample.height == 600
    assert sample["n"].to_list() == sorted(sample["n"].to_list())
    assert sample["n"].to_list()[-1] == 9999 and sample["n"].to_list()[0] < 20
    assert result.step("clean").value["delay"].min() >= 10
    assert result.value == {"mean": result.step("mean").value}
    assert result.metrics == result.value
    assert [each.step for each in result.calls] == ["load", "clean", "mean"]
    assert result.step("clean").calls[0].arguments["floor"] == 10.0


@step
def double(x: int) -> int:
    return 2 * x


@step
def spoil(values: list[int]) -> int:
    values.append(99)
    return len(values)


@step
def total(values: list[int]) -> int:
    return sum(values)


@flow
def fan() -> Any:
    numbers = [1, 2, 3]
    doubled = double.map(numbers)
    return spoil(numbers), total(numbers), total(doubled)


def test_how_often_a_step_ran_and_what_it_gave_each_time() -> None:
    result = testing.run(fan)

    assert result.step("double").count == 3
    assert result.step("double").values == [2, 4, 6]
    assert result.step("never").count == 0
    assert result.step("double").calls[0].digest == testing.run(fan).step("double").calls[0].digest
    with pytest.raises(AssertionError, match=r"ran 3 times, .*use \.values.*double, spoil, total"):
        _ = result.step("double").value


def test_a_step_cannot_change_what_another_one_gets_as_in_a_run() -> None:
    assert testing.run(fan).value == (4, 6, 12)


@step
def unkept() -> Any:
    return {"lock": __import__("threading").Lock()}


@step(optional=True)
def lame() -> int:
    raise ValueError("no wheels")


@flow
def keeps() -> Any:
    return unkept()


@flow
def goes_on() -> Any:
    return lame().result(default=7), lame().failed


def test_a_result_that_a_run_could_not_keep_fails_in_the_test_with_the_same_words() -> None:
    with pytest.raises(InvalidInputError, match=r"the result of step 'unkept'\['lock'\] is a _thread\.lock"):
        testing.run(keeps)


def test_an_optional_step_that_fails_is_seen_as_such() -> None:
    result = testing.run(goes_on)

    assert result.value == (7, True)
    with pytest.raises(ValueError, match="no wheels"):
        _ = result.step("lame").calls[0].value


@step
def count(file: DataFile) -> int:
    return len(file.read_text())


@flow
def lengths() -> Any:
    return count.map(hw.data.files("notes@dev"))


def test_data_may_be_files_folders_and_columns(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "a.txt").write_text("four")
    given: dict[str, Any] = {"a.txt": "one", "b.txt": b"three", "c.txt": tmp_path / "deep" / "a.txt"}

    assert testing.run(lengths, data={"notes@dev": given}).value == [3, 5, 4]
    assert testing.run(lengths, data={"notes@dev": tmp_path}).value == [4]
    columns = {"n": [1, 2, 3], "delay": [1.0, 2.0, 6.0]}
    assert testing.run(monthly, data={"flights": columns}).value == {"mean": 3.0}
    assert testing.run(monthly, data={"flights": pd.DataFrame(columns)}, rows=1).value == {"mean": 6.0}


# -- contracts ---------------------------------------------------------------------------------------------------


class Point(msgspec.Struct):
    x: int
    y: Annotated[float, msgspec.Meta(ge=0)]


DELAY = hw.Field(float, nulls=False, least=-60)
Delays = Annotated[pl.DataFrame, hw.Schema({"n": int, "delay": DELAY}, rows=(1, None))]


@step
def late(frame: Delays) -> Annotated[Any, hw.Schema({"n": int, "late": bool}, more=False)]:
    return frame.select("n", late=pl.col("delay") > 15)


@step
def point(x: Any) -> Point:
    return Point(x=x, y=1.0)


@flow
def promising(frame: Any) -> Any:
    return late(frame)


@flow
def pointing(x: Any) -> Any:
    return point(x)


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        (FLIGHTS.drop("delay"), r"step 'late' got for 'frame' a frame without column 'delay'; it has n"),
        (FLIGHTS.with_columns(delay=pl.lit("x")), r"column 'delay' is VARCHAR, not float"),
        (FLIGHTS.with_columns(delay=pl.lit(None, pl.Float64)), r"column 'delay' is missing in 10,000 of 10,000 rows"),
        (FLIGHTS.with_columns(pl.col("delay") - 56), r"column 'delay' is below -60 in \d+ of 10,000 rows"),
        (FLIGHTS.head(0), r"a frame of 0 rows, not 1 or more"),
        (FLIGHTS.to_pandas(), r"a DataFrame, not DataFrame|got for 'frame'"),
    ],
)
def test_a_frame_that_breaks_its_schema_is_named(frame: Any, said: str) -> None:
    with pytest.raises(InvalidInputError, match=said):
        testing.run(promising, {"frame": frame})


def test_what_keeps_its_contract_passes_and_unchecked_runs_do_not_look() -> None:
    assert testing.run(promising, {"frame": FLIGHTS}).value.columns == ["n", "late"]
    assert testing.run(promising, {"frame": FLIGHTS.head(0)}, contracts=False).value.height == 0


def test_fields_of_structs_are_part_of_the_contract() -> None:
    assert testing.run(pointing, {"x": 3}).value == Point(x=3, y=1.0)
    with pytest.raises(InvalidInputError, match=r"step 'point' returned \.x: a str \('3'\), not int"):
        testing.run(pointing, {"x": "3"})


# -- pytest ------------------------------------------------------------------------------------------------------


def test_pytest_has_the_fixtures(tmp_path: Path) -> None:
    (tmp_path / "test_mine.py").write_text(
        textwrap.dedent(
            """
            import headwater as hw
            from headwater.flow import flow, step

            @step
            def size():
                return len(hw.data("t@main"))

            @flow
            def main():
                return size()

            def test_it(hw_flow, hw_project):
                assert hw_flow(main, data={"t@main": {"n": [1, 2, 3]}}).value == 3
                assert hw_flow(main).value == 3
                assert hw.current() is hw_project
            """
        )
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "headwater.testing.plugin", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)

    assert done.returncode == 0, done.stdout + done.stderr


def test_data_put_into_a_project_is_there_as_given(sqlite_project: LocalProject) -> None:
    testing.put_data(sqlite_project, "notes", {"a/b.txt": "hello"})
    testing.put_data(sqlite_project, "notes@dev", {"a/b.txt": "other"})

    assert read_bytes(sqlite_project, "notes@main", "a/b.txt") == b"hello"
    assert read_bytes(sqlite_project, "notes@dev", "a/b.txt") == b"other"

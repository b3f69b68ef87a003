"""What annotations say is looked at: every kind of type has values that keep it and values that break it."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Sequence
from typing import Annotated, Any, Literal, NewType, TypedDict

import msgspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from headwater.flow.contracts import problems
from headwater.flow.schemas import Field, Schema
from headwater.project import LocalProject

from .playing import run, write

Name = NewType("Name", str)


class Row(TypedDict, total=False):
    n: int


class Need(TypedDict):
    n: int


@dataclasses.dataclass
class Pair:
    a: int
    b: list[str]


KEPT: list[tuple[Any, Any]] = [
    (1, int), (np.int64(1), int), (1, float), (np.float32(1), float), ("x", str), (None, None), (1, Any),
    (None, int | None), ([1, 2], list[int]), ((1, "x"), tuple[int, str]), ((1, 2, 3), tuple[int, ...]),
    ({"a": 1}, dict[str, int]), ({1}, set[int]), ([1], Sequence[int]), ("b", Literal["a", "b"]), ("x", Name),
    ({"n": 1}, Row), ({}, Row), (Pair(1, ["x"]), Pair), (5, Annotated[int, msgspec.Meta(ge=0)]),
    (datetime.date(2026, 1, 1), datetime.date), (b"x", bytes),
]  # fmt: skip

BROKEN: list[tuple[Any, Any, str]] = [
    ("1", int, "a str ('1'), not int"),
    (True, int, "a bool (True), not int"),
    (1.5, int, "a float (1.5), not int"),
    (None, int, "None, not int"),
    (1, None, "a int (1), not None"),
    ("x", int | None, "a str ('x'), not int | None"),
    ([1, "x"], list[int], "[1]: a str ('x'), not int"),
    ((1,), tuple[int, str], "a tuple of 1, not of 2"),
    ((1, 2), tuple[int, str], "[1]: a int (2), not str"),
    ({"a": "x"}, dict[str, int], "['a']: a str ('x'), not int"),
    ({1: 1}, dict[str, int], "key: a int (1), not str"),
    ("c", Literal["a", "b"], "'c', not one of 'a', 'b'"),
    ({"n": "x"}, Row, "['n']: a str ('x'), not int"),
    ({}, Need, "a dict without 'n'"),
    ([], Need, "a list, not Need"),
    (Pair(1, [2]), Pair, ".b[0]: a int (2), not str"),  # type: ignore[list-item]
    (-1, Annotated[int, msgspec.Meta(ge=0)], "-1: expected `int` >= 0"),
    ({"a"}, list[str], "a set, not list[str]"),
]


@pytest.mark.parametrize(("value", "hint"), KEPT)
def test_a_value_that_keeps_its_type_has_no_problems(value: Any, hint: Any) -> None:
    assert list(problems(value, hint)) == []


@pytest.mark.parametrize(("value", "hint", "said"), BROKEN)
def test_a_value_that_breaks_its_type_is_told_with_its_place(value: Any, hint: Any, said: str) -> None:
    assert next(problems(value, hint)) == said


FRAME = {"n": [1, 2, 3], "name": ["a", None, "c"], "x": [0.5, 1.5, 2.5]}


@pytest.mark.parametrize("make", [pd.DataFrame, pa.table])
@pytest.mark.parametrize(
    ("schema", "said"),
    [
        (Schema({"n": int, "name": str, "x": float}), None),
        (Schema({"n": "BIGINT", "x": Field(least=0.5, most=2.5)}, more=True, rows=(3, 3)), None),
        (Schema({"n": str}), "column 'n' is BIGINT, not str"),
        (Schema({"n": int}, more=False), "a frame with column 'name', which the schema does not have"),
        (Schema({"k": int}), "a frame without column 'k'; it has n, name, x"),
        (Schema({"name": Field(str, nulls=False)}), "column 'name' is missing in 1 of 3 rows"),
        (Schema({"name": Field(str, among=["a", "b"])}), "column 'name' is none of those allowed in 1 of 3 rows"),
        (Schema({"x": Field(float, most=1)}), "column 'x' is above 1 in 2 of 3 rows"),
        (Schema({}, rows=(4, None)), "a frame of 3 rows, not 4 or more"),
        (Schema({}, rows=(0, 2)), "a frame of 3 rows, not 0 to 2"),
    ],
)
def test_a_schema_says_what_of_a_frame_is_not_so(make: Any, schema: Schema, said: str | None) -> None:
    assert next(schema.problems(make(FRAME)), None) == said


def test_what_is_no_frame_breaks_every_schema() -> None:
    assert list(Schema({}).problems(7)) == ["a int, not a frame"]


FLOW = """
    @step{options}
    def make() -> int:
        return "seven"

    @step{options}
    def use(x: int) -> str:
        return str(x)

    @flow
    def main(x="1"):
        return use(x){more}
"""


def test_a_strict_step_checks_its_annotations_in_a_run_and_a_plain_one_does_not(sqlite_project: LocalProject) -> None:
    write(sqlite_project, FLOW.format(options="(strict=True)", more=""))
    strict = run(sqlite_project)
    write(sqlite_project, FLOW.format(options="(strict=True)", more=", make()"))
    returned = run(sqlite_project, x=1)
    write(sqlite_project, FLOW.format(options="", more=", make()"))
    plain = run(sqlite_project)

    assert strict.status == "failed"
    assert "step 'use' got for 'x' a str ('1'), not int" in strict.run.error
    assert "step 'make' returned a str ('seven'), not int" in returned.run.error
    assert plain.value == ("1", "seven")

from __future__ import annotations

import time
from typing import Any

import msgspec
import pytest

from headwater.errors import InvalidInputError
from headwater.model import Contract, Field
from headwater.serve.doors.csv_rows import rows_of_csv
from headwater.serve.doors.mlflow import rows_of_json

CONTRACT = Contract(
    inputs=(Field(name="x", type="float"), Field(name="who", type="str")), outputs=(Field(name="y", type="float"),)
)


def test_cells_become_what_the_contract_says() -> None:
    assert rows_of_csv(CONTRACT, b"x,who\r\n1.5,7\r\n\r\n,ann\r\n") == [
        {"x": 1.5, "who": "7"},
        {"x": None, "who": "ann"},
    ]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"\xff\xfe", "not UTF-8"),
        (b"x,who\n1," + b"a" * 140_000, "cannot be read: field larger"),
        (b"x,who\n1,2,3\n", "line 2 of the CSV has 3 cells"),
        (b"x,who\n1,2\n1\n", "line 3 of the CSV has 1 cells"),
        (b"x,who,x\n1,2,3\n", "the column 'x' is there 2 times"),
        (b"x\n" + b"1\n" * 10_001, "more than 10,000 rows"),
        (b"x\n" + b"\n" * 3_000_000, "more than 10,000 rows"),
        (b",".join(b"%d" % at for at in range(400_000)) + b"\n" + b"1\n" * 9_000, "line 2 of the CSV has 1 cells"),
    ],
)
def test_csv_that_cannot_be_answered_is_refused_soon(body: bytes, said: str) -> None:
    began = time.process_time()
    with pytest.raises(InvalidInputError, match=said):
        rows_of_csv(CONTRACT, body)
    assert time.process_time() - began < 2


@pytest.mark.parametrize(
    ("split", "said"),
    [
        ({"columns": 7, "data": [[1]]}, "no list of names"),
        ({"columns": [1, 2], "data": [[1, 2]]}, "no list of names"),
        ({"columns": ["x", "x"], "data": [[1, 2]]}, "the column 'x' is there 2 times"),
        ({"columns": ["x"], "data": [[1, 2]]}, "2 values where there are 1 names"),
        ({"columns": ["x"], "data": 7}, "needs 'columns' and 'data'"),
    ],
)
def test_columns_that_fit_no_row_are_the_callers_mistake(split: Any, said: str) -> None:
    with pytest.raises(InvalidInputError, match=said):
        rows_of_json(CONTRACT, msgspec.json.encode({"dataframe_split": split}))

from __future__ import annotations

from typing import Any

import pytest

from headwater.errors import InvalidInputError
from headwater.model import Contract, Field
from headwater.serve.doors.tensors import Tensor, rows_of

CONTRACT = Contract(inputs=(Field(name="x", type="float"),), outputs=(Field(name="y", type="float"),))


def rows(**given: Any) -> list[dict[str, Any]]:
    return rows_of(CONTRACT, [Tensor(**{"name": "x", "datatype": "FP64", "data": [1.0], **given})], memoryview(b""))


def test_a_tensor_is_a_value_per_row() -> None:
    assert rows(shape=[2, 1], data=[1.0, 2.0]) == [{"x": 1.0}, {"x": 2.0}]


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        ([9_000_000_000, 0], "9,000,000,000 rows where a request holds 1 to 10,000"),
        ([0], "0 rows"),
        ([1, 0], "wants 0 values"),
        ([1, *[2**62] * 31], "values, its data have 1"),
        ([1, *[2**62] * 10_000], "more than 32 dimensions"),  # whose product no text could say
        ([1, 10**4000], "one beyond 64 bits"),
        ([-1], "not a list of whole numbers"),
    ],
)
def test_a_shape_that_says_more_than_was_sent_is_refused_before_it_takes_memory(shape: list[int], said: str) -> None:
    with pytest.raises(InvalidInputError, match=said):
        rows(shape=shape)


def test_a_shape_of_many_rows_without_values_makes_none() -> None:
    with pytest.raises(InvalidInputError, match="rows where a request holds"):
        rows(shape=[9_000_000_000, 0], data=[])

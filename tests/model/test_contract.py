from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from headwater.errors import InvalidInputError
from headwater.model import (
    Contract,
    ContractError,
    Field,
    example_row,
    infer_contract,
    json_schema,
    openapi_components,
)
from tests.model.delays import forest, inputs, rows_of

FLIGHT = Contract(
    inputs=(
        Field(name="temp", type="float", minimum=-60, maximum=130, unit="F", nullable=True),
        Field(name="hour", type="int", minimum=0, maximum=23),
        Field(name="carrier", type="str", allowed=("AA", "UA")),
        Field(name="wet", type="bool"),
    ),
    outputs=(),
)
GOOD: dict[str, Any] = {"temp": 50.5, "hour": 7, "carrier": "UA", "wet": False}


def test_a_good_row_comes_back_in_the_order_of_the_contract_with_floats_as_floats() -> None:
    row = {"wet": False, "carrier": "UA", "hour": 7, "temp": 50}

    [checked] = FLIGHT.validate([row])

    assert list(checked.items()) == [("temp", 50.0), ("hour", 7), ("carrier", "UA"), ("wet", False)]
    assert isinstance(checked["temp"], float)


def test_an_absent_nullable_input_is_none() -> None:
    row = {name: value for name, value in GOOD.items() if name != "temp"}

    assert FLIGHT.validate([row])[0]["temp"] is None
    assert FLIGHT.validate([GOOD | {"temp": math.nan}])[0]["temp"] is None


def test_numbers_of_numpy_are_taken_as_numbers() -> None:
    row = {"temp": np.float32(50.5), "hour": np.int64(7), "carrier": "UA", "wet": np.bool_(True)}

    assert FLIGHT.validate([row]) == [{"temp": 50.5, "hour": 7, "carrier": "UA", "wet": True}]


@pytest.mark.parametrize(
    ("change", "field", "what", "expected"),
    [
        ({"hour": "seven"}, "hour", "is the text 'seven'", "a whole number from 0 to 23"),
        ({"hour": 24}, "hour", "is 24", "a whole number from 0 to 23"),
        ({"hour": 7.5}, "hour", "is the number 7.5", "a whole number from 0 to 23"),
        ({"hour": True}, "hour", "is true", "a whole number from 0 to 23"),
        ({"hour": None}, "hour", "is null", "a whole number from 0 to 23"),
        ({"temp": 131.0}, "temp", "is 131", "a number from -60 to 130 (F), or null"),
        ({"temp": math.inf}, "temp", "is infinite", "a number from -60 to 130 (F), or null"),
        ({"carrier": "ZZ"}, "carrier", "is 'ZZ'", "one of 'AA', 'UA'"),
        ({"wet": 1}, "wet", "is the number 1", "true or false"),
        ({"gate": 3}, "gate", "is not in the contract", "temp, hour, carrier, wet"),
    ],
)
def test_a_bad_value_is_named_with_what_was_given_and_what_is_expected(
    change: dict[str, Any], field: str, what: str, expected: str
) -> None:
    [problem] = FLIGHT.problems([GOOD, GOOD | change])

    assert (problem.row, problem.field, problem.what) == (1, field, what)
    assert set(problem.expected.split(", ")) == set(expected.split(", "))
    with pytest.raises(ContractError, match="1 of 2 rows do not keep"):
        FLIGHT.validate([GOOD, GOOD | change])


def test_every_problem_of_every_row_is_reported_at_once() -> None:
    rows = [{"temp": "x", "hour": -1, "carrier": "UA"}, GOOD, {**GOOD, "carrier": 3, "gate": 1}]

    with pytest.raises(ContractError) as caught:
        FLIGHT.validate(rows)

    places = [(each["row"], each["field"]) for each in caught.value.values["problems"]]
    assert places == [(0, "temp"), (0, "hour"), (0, "wet"), (2, "carrier"), (2, "gate")]
    assert caught.value.http_status == 422


def test_a_row_that_is_no_object_is_a_problem_and_no_crash() -> None:
    with pytest.raises(ContractError, match="row 0: the row is a list"):
        FLIGHT.validate([[1, 2]])  # type: ignore[list-item]  # what a client may send


def test_a_number_that_32_bits_cannot_hold_is_refused() -> None:
    contract = Contract(inputs=(Field(name="x", type="float"),), outputs=())

    assert contract.validate([{"x": 3.4e38}])
    with pytest.raises(ContractError, match="more than a model can hold"):
        contract.validate([{"x": 1e39}])


def test_the_quick_way_and_the_complete_way_agree_on_real_rows() -> None:
    contract = infer_contract(inputs(), forest())
    rows = rows_of(inputs())

    assert contract.problems(rows) == []
    assert contract.validate(rows) == rows


def test_a_contract_is_inferred_from_a_frame_and_an_estimator() -> None:
    contract = infer_contract(inputs(), forest())

    assert [(f.name, f.type, f.nullable) for f in contract.inputs] == [
        ("temp", "float", True),
        ("hour", "int", False),
        ("carrier", "str", False),
        ("wet", "bool", False),
    ]
    assert [(f.name, f.type) for f in contract.outputs] == [("label", "bool"), ("probability", "float")]
    assert contract.output("probability").source == "probabilities[1]"


def test_bounds_and_categories_are_inferred_when_asked_for() -> None:
    contract = infer_contract({"x": [0, 10], "c": ["b", "a"]}, margin=0.5, categories=5)

    assert (contract.input("x").minimum, contract.input("x").maximum) == (-5.0, 15.0)
    assert contract.input("c").allowed == ("a", "b")


def test_a_column_of_times_has_no_contract_type_and_the_error_says_what_to_do() -> None:
    with pytest.raises(InvalidInputError, match="make it a number"):
        infer_contract({"when": np.array(["2013-01-01"], "datetime64[D]")})


def test_a_contract_is_a_json_schema_and_part_of_an_openapi_document() -> None:
    schema = json_schema(FLIGHT.inputs)

    assert schema["required"] == ["hour", "carrier", "wet"]
    assert schema["properties"]["temp"] == {
        "type": ["number", "null"],
        "minimum": -60,
        "maximum": 130,
        "description": "Unit: F",
    }
    assert schema["properties"]["carrier"]["enum"] == ["AA", "UA"]
    assert schema["additionalProperties"] is False
    assert set(openapi_components("delay", FLIGHT)) == {"delay.Input", "delay.Output"}


def test_the_example_of_a_contract_keeps_it() -> None:
    assert FLIGHT.problems([example_row(FLIGHT)]) == []

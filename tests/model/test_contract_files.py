"""Contracts as files, edited, and compared with the one before."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from headwater.errors import InvalidInputError
from headwater.lake import add_table
from headwater.model import Contract, Field, contract_as_toml, contract_changes, edited, infer_contract, read_contract
from headwater.model.contract_files import check_contract
from headwater.model.editing import infer_data_contract, replace_contract
from headwater.model.registry import register
from headwater.model.saving import save_estimator
from headwater.project import Project
from tests.model.delays import flights, forest, inputs
from tests.model.test_contract_types import ORDER


def test_a_contract_goes_to_toml_and_back_as_it_was() -> None:
    odd = Field(name='a "quoted"\nname', type="str", allowed=("x\\y", "ü\x7f"), description="tab\there")
    contract = Contract(inputs=(*ORDER.inputs, odd), outputs=ORDER.outputs)

    assert read_contract(contract_as_toml(contract)) == contract
    assert read_contract(contract_as_toml(Contract(inputs=ORDER.inputs, outputs=()))).outputs == ()


def test_toml_says_only_what_was_said() -> None:
    contract = Contract(inputs=(Field(name="temp", type="float", minimum=-60, unit="F"),), outputs=())

    assert contract_as_toml(contract) == (
        'outputs = []\n\n[[inputs]]\nname = "temp"\ntype = "float"\nminimum = -60\nunit = "F"\n'
    )


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[[inputs]]\nname = 'x'\n", "missing required field `type`"),
        ("[[inputs]]\nname = 'x'\ntype = 'number'\n", "Invalid enum value 'number'"),
        ("inputs = [{name = 'x', type = 'int', minimun = 3}]\noutputs = []", "says 'minimun', which no field has"),
        ("{", "cannot be read"),
        ("inputs = 3", "cannot be read"),
    ],
)
def test_text_that_is_no_contract_says_what_is_wrong(text: str, told: str) -> None:
    with pytest.raises(InvalidInputError, match=told):
        read_contract(text)


@pytest.mark.parametrize(
    ("field", "told"),
    [
        (Field(name="x", type="str", minimum=1), "has no minimum"),
        (Field(name="x", type="int", most=1), "has no least or most"),
        (Field(name="x", type="float", minimum=2, maximum=1), "minimum of 2 above its maximum of 1"),
        (Field(name="x", type="str", media_types=("image/png",)), "has no media types"),
        (Field(name="x", type="int", fields=(Field(name="y", type="int"),)), "has no fields"),
        (Field(name="x", type="int", allowed=()), "allows no value"),
        (Field(name="x", type="int", allowed=("a",)), "allows a value that is no int"),
        (Field(name="", type="int"), "needs a name"),
        (Field(name="x", type="object", fields=(Field(name="y", type="str", maximum=1),)), "'y' of the contract is a"),
    ],
)
def test_a_field_that_cannot_be_kept_is_named(field: Field, told: str) -> None:
    with pytest.raises(InvalidInputError, match=told):
        check_contract(Contract(inputs=(field,), outputs=()))


OLD = Field(name="temp", type="int", minimum=0, maximum=10, unit="F", allowed=None)


@pytest.mark.parametrize(
    ("change", "what", "input_breaks", "output_breaks"),
    [
        ({"maximum": 9}, "temp maximum 10 → 9", True, False),
        ({"maximum": 11}, "temp maximum 10 → 11", False, True),
        ({"maximum": None}, "temp maximum 10 → none", False, True),
        ({"nullable": True}, "temp may be missing", False, True),
        ({"type": "float"}, "temp int → float", False, True),
        ({"type": "bool", "minimum": None, "maximum": None}, "temp int → bool", True, True),
        ({"unit": "C"}, "temp in C (was F)", True, True),
        ({"allowed": (1, 2)}, "temp values only 1, 2", True, False),
        ({"description": "outside"}, "temp is described anew", False, False),
        ({"personal": True}, "temp is personal", False, False),
    ],
)
def test_what_changed_is_said_and_whether_it_breaks(
    change: dict[str, Any], what: str, input_breaks: bool, output_breaks: bool
) -> None:
    import msgspec

    new = msgspec.structs.replace(OLD, **change)

    [*_, as_input] = [c for c in contract_changes(one(OLD, ()), one(new, ())) if c.what == what]
    [*_, as_output] = [c for c in contract_changes(one((), OLD), one((), new)) if c.what == what]

    assert (as_input.breaking, as_output.breaking) == (input_breaks, output_breaks)


def one(given: Any, answered: Any) -> Contract:
    return Contract(inputs=(given,) if given else (), outputs=(answered,) if answered else ())


def test_fields_that_come_and_go_are_changes() -> None:
    more = Field(name="hour", type="int")

    assert [(c.what, c.breaking) for c in contract_changes(one(OLD, OLD), one(more, more))] == [
        ("+hour", True), ("−temp", True), ("+hour", False), ("−temp", True)
    ]  # fmt: skip
    assert contract_changes(ORDER, ORDER) == []


def test_what_changed_inside_an_object_is_named_by_its_path() -> None:
    order = ORDER.input("order")
    changed = edited(
        ORDER, {"order": {"fields": [{"name": "id", "type": "float"}, {**contract_dict(order.fields[1])}]}}
    )

    assert [(c.field, c.what, c.breaking) for c in contract_changes(ORDER, changed)] == [
        ("order.id", "order.id int → float", False)
    ]


def contract_dict(field: Field) -> dict[str, Any]:
    import msgspec

    found: dict[str, Any] = msgspec.to_builtins(field)
    return found


def test_a_field_or_an_attribute_that_is_none_is_told() -> None:
    contract = one(OLD, ())

    assert edited(contract, {"temp": {"maximum": 20}}).input("temp").maximum == 20
    with pytest.raises(InvalidInputError, match="no field 'tmp'; it has temp"):
        edited(contract, {"tmp": {"unit": "C"}})
    with pytest.raises(InvalidInputError, match="a field has no 'max'"):
        edited(contract, {"temp": {"max": 3}})
    with pytest.raises(InvalidInputError, match="cannot be changed so"):
        edited(contract, {"temp": {"maximum": "high"}})


def test_a_contract_is_inferred_from_a_dataset_and_replaced_by_a_version_of_its_own(project: Project) -> None:
    add_table(project, "flights", "a.parquet", flights())
    kept = save_estimator(project, forest(), inputs())
    register(project, "delay", files=kept.files, contract=kept.contract, reference=kept.reference)

    found = infer_data_contract(project, "flights@v1", without=["late"], categories=5)
    made = replace_contract(project, "delay@v1", Contract(inputs=found.inputs, outputs=kept.contract.outputs))

    assert [field.name for field in found.inputs] == ["temp", "hour", "carrier", "wet"]
    assert (made.number, made.files, made.parent) == (2, kept.files, made.parent)
    assert made.description == "as v1, carrier values only AA, UA, YX"
    with pytest.raises(InvalidInputError, match="has this contract already"):
        replace_contract(project, "delay@v2", made.contract)
    with pytest.raises(InvalidInputError, match="needs another model"):
        replace_contract(project, "delay@v2", Contract(inputs=found.inputs[1:], outputs=kept.contract.outputs))
    with pytest.raises(InvalidInputError, match="no column 'gate'"):
        infer_data_contract(project, "flights@v1", columns=["gate"])


INF, NAN = float("inf"), float("nan")


@pytest.mark.parametrize(
    "bounds", [{"minimum": -INF}, {"maximum": INF}, {"minimum": NAN}, {"minimum": NAN, "maximum": 1.0}]
)
def test_a_bound_that_is_not_finite_is_refused_wherever_it_stands(bounds: dict[str, float]) -> None:
    field = Field(name="x", type="float", **bounds)  # type: ignore[arg-type]  # only numbers are given
    inside = Field(name="order", type="object", fields=(Field(name="prices", type="list", item=field),))

    for given in (field, inside):
        with pytest.raises(InvalidInputError, match="minimum or maximum that is not finite"):
            check_contract(one(given, OLD))
    with pytest.raises(InvalidInputError, match="minimum or maximum that is not finite"):
        edited(one(OLD, ()), {"temp": bounds})


def test_a_number_that_json_cannot_say_is_neither_read_nor_allowed_nor_inferred() -> None:
    with pytest.raises(InvalidInputError, match="not finite"):
        read_contract('outputs = []\n[[inputs]]\nname = "x"\ntype = "float"\nminimum = -inf')
    with pytest.raises(InvalidInputError, match="allows a number that is not finite"):
        check_contract(one(Field(name="x", type="float", allowed=(1.0, NAN)), OLD))
    found = infer_contract({"x": np.array([1.0, INF]), "y": np.array([1.0, 3.0])}, margin=0.5)
    assert [(field.minimum, field.maximum) for field in found.inputs] == [(None, None), (0.0, 4.0)]

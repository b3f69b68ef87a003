"""Images, files, lists, objects and JSON in contracts: inferred, validated, as columns, rendered."""

from __future__ import annotations

import base64
from typing import Any

import jsonschema  # type: ignore[import-untyped]  # it has no types
import numpy as np
import pytest

from headwater.model import (
    Contract,
    ContractError,
    Field,
    example_row,
    infer_contract,
    json_schema,
    open_inference_metadata,
)
from headwater.model.columns import columns_from_rows, input_columns, rows_from_columns
from headwater.model.value_checks import DEEPEST

PNG = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGP4DwABAQEAHLCMmQAAAABJRU5ErkJggg==")
ORDER = Contract(
    inputs=(
        Field(name="photo", type="image", media_types=("image/png", "image/jpeg"), most=1000),
        Field(name="note", type="file", nullable=True),
        Field(name="name", type="str", least=1, most=10, personal=True),
        Field(name="point", type="list", least=2, most=2, item=Field(name="item", type="float", maximum=90)),
        Field(
            name="order",
            type="object",
            fields=(
                Field(name="id", type="int"),
                Field(
                    name="items",
                    type="list",
                    most=3,
                    item=Field(
                        name="item",
                        type="object",
                        fields=(
                            Field(name="price", type="float", minimum=0, unit="EUR"),
                            Field(name="kind", type="str", allowed=("a", "b"), nullable=True),
                        ),
                    ),
                ),
            ),
        ),
        Field(name="extra", type="json"),
    ),
    outputs=(Field(name="value", type="float"),),
)


def good() -> dict[str, Any]:
    return {
        "photo": base64.b64encode(PNG).decode(),
        "note": None,
        "name": "ann",
        "point": [1.5, 2],
        "order": {"id": 3, "items": [{"price": 2, "kind": "a"}, {"price": 0.5}]},
        "extra": {"any": [1, "x", None, {"deep": True}]},
    }


def test_a_nested_row_comes_back_normalised_on_the_quick_and_on_the_complete_way() -> None:
    import msgspec

    quick = ORDER.validate([good()])
    # An allowed list of booleans is what the quick way cannot check, so this contract takes the complete one.
    slow = msgspec.structs.replace(
        ORDER, inputs=(*ORDER.inputs, Field(name="odd", type="bool", allowed=(True, False), nullable=True))
    )

    assert quick[0]["order"] == {"id": 3, "items": [{"price": 2.0, "kind": "a"}, {"price": 0.5, "kind": None}]}
    assert quick[0]["point"] == [1.5, 2.0]
    assert slow.validate([good()]) == [{**quick[0], "odd": None}]


@pytest.mark.parametrize(
    ("place", "value", "field", "what"),
    [
        (("photo",), "no base64!", "photo", "is no base64: 'no base64!'"),
        (("photo",), base64.b64encode(b"text").decode(), "photo", "is text/plain"),
        (("photo",), base64.b64encode(b"GIF89a").decode(), "photo", "is image/gif"),
        (("photo",), base64.b64encode(PNG * 20).decode(), "photo", "has about 1,341 bytes"),
        (("photo",), 7, "photo", "is the number 7"),
        (("name",), "", "name", "has 0 characters"),
        (("name",), "x" * 11, "name", "has 11 characters"),
        (("point",), [1.0], "point", "has 1 items"),
        (("point",), [1.0, 91], "point[1]", "is 91"),
        (("point",), [1.0, "x"], "point[1]", "is the text 'x'"),
        (("point",), [1.0, float("nan")], "point[1]", "is not a number (NaN)"),
        (("order",), [], "order", "is a list"),
        (("order", "id"), None, "order.id", "is null"),
        (("order", "more"), 1, "order.more", "is not in the contract"),
        (("order", "items"), [{}], "order.items[0].price", "is missing"),
        (("order", "items"), [{"price": 1}] * 4, "order.items", "has 4 items"),
        (("order", "items"), [{"price": 1}, {"price": -1}], "order.items[1].price", "is -1"),
        (("order", "items"), [{"price": 1, "kind": "c"}], "order.items[0].kind", "is 'c'"),
        (("extra",), {"x": float("inf")}, "extra", "holds inf"),
    ],
)
def test_what_is_wrong_inside_a_value_is_named_by_its_path(
    place: tuple[str, ...], value: Any, field: str, what: str
) -> None:
    row = good()
    inside = row
    for each in place[:-1]:
        inside = inside[each]
    inside[place[-1]] = value

    found = [(each.field, each.what) for each in ORDER.problems([row])]

    assert found == [(field, what)]
    with pytest.raises(ContractError):
        ORDER.validate([row])


def nested(levels: int) -> Any:
    found: Any = 1
    for _ in range(levels):
        found = [found]
    return found


def test_json_as_deep_as_is_allowed_is_taken_and_deeper_is_refused_without_harm() -> None:
    assert ORDER.validate([good() | {"extra": nested(DEEPEST)}])
    for levels in (DEEPEST + 1, 900, 50_000):
        with pytest.raises(ContractError, match=f"more than {DEEPEST} levels"):
            ORDER.validate([good() | {"extra": nested(levels)}])


def test_rows_become_columns_of_bytes_and_matrices_and_go_back() -> None:
    rows = ORDER.validate([good(), good() | {"point": [3, 4]}])

    columns = columns_from_rows(ORDER.inputs, rows)

    assert columns["photo"].tolist() == [PNG, PNG]
    assert columns["point"].tolist() == [[1.5, 2.0], [3.0, 4.0]] and columns["point"].dtype == np.float64
    assert rows_from_columns(ORDER.inputs, columns) == rows


def test_a_frame_with_bytes_dicts_and_lists_suggests_its_contract() -> None:
    frame = {
        "photo": [PNG, PNG],
        "paper": [b"%PDF-1.7", b"\x00\xff"],
        "point": np.zeros((2, 3)),
        "tags": [["a"], ["b", "c"]],
        "order": [{"id": 1, "sum": 2.5}, {"id": 2}],
    }

    found = {field.name: field for field in infer_contract(frame).inputs}

    assert (found["photo"].type, found["photo"].media_types) == ("image", ("image/png",))
    assert (found["paper"].type, found["paper"].media_types) == ("file", ())
    assert (found["point"].width, found["point"].item) == (3, Field(name="item", type="float"))
    assert (found["tags"].most, found["tags"].item) == (None, Field(name="item", type="str"))
    assert found["order"].fields == (
        Field(name="id", type="int"),
        Field(name="sum", type="float", nullable=True),
    )
    columns = input_columns(tuple(found.values()), frame)
    assert infer_contract(frame).validate(rows_from_columns(tuple(found.values()), columns))


def test_the_json_schema_takes_what_the_contract_takes_and_refuses_what_it_refuses() -> None:
    schema = json_schema(ORDER.inputs)
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)

    assert validator.is_valid(good())
    for name, value in (("name", ""), ("point", [1.0]), ("point", [1.0, 91]), ("order", {"id": 1}), ("order", [])):
        assert not validator.is_valid(good() | {name: value})
        assert ORDER.problems([good() | {name: value}])
    assert schema["properties"]["photo"]["contentEncoding"] == "base64"
    assert schema["properties"]["order"]["properties"]["items"]["maxItems"] == 3


def test_the_open_inference_metadata_says_each_tensors_type_and_shape() -> None:
    found = open_inference_metadata("m", ORDER, versions=["1"], platform="onnx")

    assert (found["name"], found["versions"], found["platform"]) == ("m", ["1"], "onnx")
    assert {each["name"]: (each["datatype"], each["shape"]) for each in found["inputs"]} == {
        "photo": ("BYTES", [-1, 1]),
        "note": ("BYTES", [-1, 1]),
        "name": ("BYTES", [-1, 1]),
        "point": ("FP64", [-1, 2]),
        "order": ("BYTES", [-1, 1]),
        "extra": ("BYTES", [-1, 1]),
    }
    assert found["inputs"][0]["parameters"]["content_type"] == "image/png, image/jpeg"
    assert found["outputs"] == [{"name": "value", "datatype": "FP64", "shape": [-1, 1]}]


def test_the_example_of_a_nested_contract_keeps_it_and_its_picture_is_one() -> None:
    import io

    from PIL import Image

    row = example_row(ORDER)

    assert ORDER.problems([row]) == []
    assert Image.open(io.BytesIO(base64.b64decode(row["photo"]))).size == (1, 1)

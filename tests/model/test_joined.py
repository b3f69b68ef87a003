"""Graphs that begin by joining their inputs: what is found out of their bytes, and that the answers stay the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headwater.errors import CorruptError
from headwater.model import Contract, Field
from headwater.model.columns import columns_from_rows
from headwater.model.flavours import get_flavour
from headwater.model.flavours.joined import as_matrix, names_other_files
from headwater.model.flavours.onnx import OnnxPredictor, open_session
from tests.serve.models import estimator, training

NUMBERS = Contract(
    inputs=tuple(Field(name=name, type="float", nullable=True) for name in ("hour", "delay", "distance")),
    outputs=(
        Field(name="label", type="bool"),
        Field(name="probability", type="float", source="probabilities[1]"),
    ),
)


def exported() -> bytes:
    return get_flavour("onnx").save(estimator(2), NUMBERS)["model.onnx"]


def graph(nodes: list[Any], width: int = 2, kind: int = 1) -> bytes:
    """Return a model of two columns and these nodes, whose last output is ``out``."""
    from onnx import TensorProto, helper

    columns = [helper.make_tensor_value_info(name, kind, [None, 1]) for name in ("a", "b")]
    out = [helper.make_tensor_value_info("out", TensorProto.FLOAT, [None, width])]
    made = helper.make_model(helper.make_graph(nodes, "g", columns, out), opset_imports=[helper.make_opsetid("", 17)])
    made.ir_version = 9
    data: bytes = made.SerializeToString()
    return data


def node(kind: str, given: list[str], out: str, **attributes: Any) -> Any:
    from onnx import helper

    return helper.make_node(kind, given, [out], **attributes)


def test_one_matrix_gives_the_bytes_that_the_columns_give() -> None:
    data = exported()
    columns, _ = training()
    rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)][:500]
    rows += [{"distance": 1e300, "hour": None, "delay": -0.0}, {"distance": None, "hour": None, "delay": None}]
    joined: Any = get_flavour("onnx").load({"model.onnx": data}, NUMBERS, ())
    apart = OnnxPredictor(open_session(data), NUMBERS)

    assert [each.name for each in joined._session.get_inputs()] == ["headwater_matrix"]
    for some in (rows, rows[:1], rows[-2:]):
        wanted = apart.predict(columns_from_rows(NUMBERS.inputs, some))
        for found in (joined.predict_rows(some), joined.predict(columns_from_rows(NUMBERS.inputs, some))):
            for name, values in wanted.items():
                assert found[name].dtype == values.dtype
                assert found[name].tobytes() == values.tobytes()


def test_whole_numbers_and_flags_join_the_matrix_as_they_would_be_fed_alone() -> None:
    mixed = Contract(
        inputs=(
            Field(name="hour", type="int"),
            Field(name="delay", type="float"),
            Field(name="distance", type="bool"),
        ),
        outputs=NUMBERS.outputs,
    )
    data = exported()
    rows: list[dict[str, Any]] = [{"hour": 2**53 + 1, "delay": 3.5, "distance": True}]
    joined: Any = get_flavour("onnx").load({"model.onnx": data}, mixed, ())

    wanted = OnnxPredictor(open_session(data), mixed).predict_rows(rows)

    assert joined.predict_rows(rows)["probability"].tobytes() == wanted["probability"].tobytes()


def test_the_columns_are_taken_in_the_order_they_are_joined_in() -> None:
    data = graph([node("Concat", ["b", "a"], "whole", axis=1), node("Identity", ["whole"], "out")])

    found = as_matrix(data)

    assert found is not None
    assert found[1:] == ("whole", ["b", "a"])
    assert open_session(found[0]).run(None, {"whole": np.array([[2, 1]], np.float32)})[0].tolist() == [[2, 1]]


def test_a_graph_that_does_something_else_first_is_left_as_it_is() -> None:
    join = node("Concat", ["a", "b"], "whole", axis=1)
    others = {
        "reads a column again": graph([join, node("Add", ["whole", "a"], "out")]),
        "joins below each other": graph([node("Concat", ["a", "b"], "w", axis=0), node("Identity", ["w"], "out")], 1),
        "joins one column only": graph([node("Concat", ["a"], "whole", axis=1), node("Identity", ["whole"], "out")], 1),
        "joins one column twice": graph(
            [node("Concat", ["a", "b", "a"], "whole", axis=1), node("Identity", ["whole"], "out")], 3
        ),
        "joins 64-bit floats": graph([join, node("Cast", ["whole"], "out", to=1)], kind=11),
        "adds": graph([node("Add", ["a", "b"], "sum"), node("Identity", ["sum"], "out")], 1),
    }

    assert {why: as_matrix(data) for why, data in others.items()} == dict.fromkeys(others)


def test_inputs_that_are_not_joined_are_fed_beside_the_matrix() -> None:
    import pandas
    from sklearn.compose import make_column_transformer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder
    from sklearn.tree import DecisionTreeClassifier

    from headwater.model import infer_contract

    columns, late = training()
    frame = pandas.DataFrame({**columns, "origin": np.where(late, "JFK", "EWR")})
    parts = make_column_transformer((OneHotEncoder(), ["origin"]), ("passthrough", list(columns)))
    model = make_pipeline(parts, DecisionTreeClassifier(max_depth=5, random_state=0)).fit(frame, columns["hour"] > 14)
    contract = infer_contract(frame, model)
    data = get_flavour("onnx").save(model, contract)["model.onnx"]
    rows: Any = frame.head(200).to_dict("records")
    joined: Any = get_flavour("onnx").load({"model.onnx": data}, contract, ())
    apart = OnnxPredictor(open_session(data), contract)

    assert len(joined._session.get_inputs()) == 2
    for some in (rows, rows[:1]):
        wanted = apart.predict(columns_from_rows(contract.inputs, some))["probability"].tobytes()
        assert apart.predict_rows(some)["probability"].tobytes() == wanted
        assert joined.predict_rows(some)["probability"].tobytes() == wanted
        assert joined.predict(columns_from_rows(contract.inputs, some))["probability"].tobytes() == wanted


@pytest.mark.parametrize("cut", [0, 1, 7, 200, -1])
def test_bytes_that_are_no_model_are_left_to_onnxruntime(cut: int) -> None:
    assert as_matrix(exported()[:cut]) is None


# ---- tensors that are kept in other files


WEIGHTS = np.arange(1_000, dtype=np.float32)  # of fewer onnxruntime makes a constant, which it does not read from files


def elsewhere() -> Any:
    """Return a tensor that is kept in another file."""
    from onnx import TensorProto

    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1_000], data_location=TensorProto.EXTERNAL)
    for key, value in (("location", "weights.bin"), ("offset", "0"), ("length", "4000")):
        tensor.external_data.add(key=key, value=value)
    return tensor


def adding(tensor: Any = None, *nodes: Any, functions: Any = ()) -> Any:
    """Return a model that adds a tensor, or what nodes make of it, to its input."""
    from onnx import TensorProto, helper

    ends = [helper.make_tensor_value_info(each, TensorProto.FLOAT, [1_000]) for each in ("x", "out")]
    last = helper.make_node("Add", ["x", "w"], ["out"])
    graph = helper.make_graph([*nodes, last], "g", ends[:1], ends[1:], [tensor] if tensor is not None else [])
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    made = helper.make_model(graph, opset_imports=opsets, functions=functions, doc_string="tells the location")
    made.ir_version = 9
    return made


def constant() -> Any:
    return node("Constant", [], "w", value=elsewhere())


def in_a_branch() -> Any:
    from onnx import TensorProto, helper

    out = [helper.make_tensor_value_info("w", TensorProto.FLOAT, [1_000])]
    branch = helper.make_graph([constant()], "b", [], out)
    sure = node("Constant", [], "sure", value=helper.make_tensor("c", TensorProto.BOOL, [], [True]))
    return adding(None, sure, node("If", ["sure"], "w", then_branch=branch, else_branch=branch))


def in_a_function() -> Any:
    from onnx import helper

    own = helper.make_function("own", "Made", [], ["w"], [constant()], [helper.make_opsetid("", 17)])
    return adding(None, node("Made", [], "w", domain="own"), functions=[own])


HIDING = [lambda: adding(elsewhere()), lambda: adding(None, constant()), in_a_branch, in_a_function]


@pytest.mark.parametrize("hidden", HIDING)
def test_a_model_that_keeps_tensors_in_other_files_is_refused(hidden: Callable[[], Any]) -> None:
    data = hidden().SerializeToString()

    assert names_other_files(data)
    with pytest.raises(CorruptError, match="keeps tensors in other files"):
        open_session(data)


def test_no_file_of_the_current_directory_is_read_for_a_model(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import onnxruntime

    (tmp_path / "weights.bin").write_bytes(WEIGHTS.tobytes())
    monkeypatch.chdir(tmp_path)
    data = adding(elsewhere()).SerializeToString()

    # The planted file is what onnxruntime by itself takes; the folder of our own keeps it from doing so.
    given = {"x": np.zeros(1_000, np.float32)}
    assert onnxruntime.InferenceSession(data).run(None, given)[0].tolist() == WEIGHTS.tolist()
    monkeypatch.setattr("headwater.model.flavours.onnx.names_other_files", lambda data: False)
    with pytest.raises(CorruptError, match="not an ONNX model that onnxruntime can run"):
        open_session(data)


def test_a_model_with_all_its_tensors_is_opened_whatever_it_tells() -> None:
    from onnx import numpy_helper

    data = adding(numpy_helper.from_array(WEIGHTS, "w")).SerializeToString()

    assert b"location" in data and not names_other_files(data)
    assert open_session(data).run(None, {"x": np.zeros(1_000, np.float32)})[0].tolist() == WEIGHTS.tolist()

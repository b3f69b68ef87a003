from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from headwater.errors import InvalidInputError
from headwater.evaluate import find_evidence, parity, register_model
from headwater.evaluate.agreement import check_parity, number_difference
from headwater.evaluate.search import _ordered, _unordered, climb
from headwater.model import Contract, Field, ModelFile, register
from headwater.project import LocalProject, Project
from tests.model.delays import forest, inputs

STEP = Contract(
    inputs=(Field(name="x", type="float", nullable=True), Field(name="c", type="str")),
    outputs=(Field(name="value", type="float"),),
)
FRAME = {"x": np.linspace(0, 10, 200), "c": np.array(["a", "b"] * 100, object)}


def step(columns: Mapping[str, Any], at: float = 3.3, high: float = 1.0) -> dict[str, Any]:
    return {"value": np.where(columns["x"] <= at, 0.0, high)}


def in_32_bits(columns: Mapping[str, Any], at: float = 3.3) -> dict[str, Any]:
    """As ``step``, as an export computes it."""
    return {"value": np.where(columns["x"].astype(np.float32) <= np.float32(at), 0.0, 1.0).astype(np.float32)}


@pytest.mark.long_elsewhere
def test_the_export_of_trees_passes_on_real_rows_and_at_every_jump_found(project: Project) -> None:
    version = register_model(project, "delay", forest(), inputs())

    found = find_evidence(project, version.ref, "parity")

    assert found is not None
    assert found.body["passed"] is True
    assert found.body["evaluated"]["rows"] == 3000
    assert {"odd values", "combinations", "jumps", "climbing"} == set(found.body["searched"]["kinds"])
    assert 0 < found.body["worst"]["difference"] < 1e-5
    assert set(found.body["worst"]["row"]) == {"temp", "hour", "carrier", "wet"}


@pytest.mark.long_elsewhere
def test_a_changed_weight_is_found_and_the_worst_row_shown(project: Project) -> None:
    import onnx

    good = register_model(project, "delay", forest(), inputs())
    files = {file.flavour: file for file in good.files}
    model = onnx.load_from_string(project.objects.get(files["onnx"].digest))
    trees = next(node for node in model.graph.node if node.op_type.startswith("TreeEnsemble"))
    weights = next(each for each in trees.attribute if each.name.endswith("_weights"))
    weights.floats[3] += 0.5
    data = model.SerializeToString()
    planted = ModelFile(name="model.onnx", digest=project.objects.put(data), size=len(data), flavour="onnx")
    register(project, "delay", files=[planted, files["sklearn"]], contract=good.contract)

    body = parity(project, "delay@v2", inputs()).body

    assert body["passed"] is False
    assert body["worst"]["difference"] > 0.01
    assert "inputs differ by more than 0.0001" in body["why"]


def test_a_scaler_before_trees_moves_rows_over_a_split_in_32_bits(sqlite_project: LocalProject) -> None:
    register_model(sqlite_project, "delay", forest(scaled=True), inputs())

    body = parity(sqlite_project, "delay@v1", inputs()).body

    assert body["passed"] is False
    assert body["evaluated"]["beyond"] + body["searched"]["beyond"] > 0


def test_a_shifted_split_that_no_row_shows_is_found_by_the_search() -> None:
    shifted = 3.3 + 1e-5

    body = check_parity(STEP, step, lambda columns: in_32_bits(columns, shifted), FRAME)

    assert body["evaluated"]["beyond"] == 0
    assert body["passed"] is False
    assert body["worst"]["kind"] == "jumps"
    assert body["worst"]["row"]["x"] == pytest.approx(3.3, abs=1e-5)


def test_what_32_bits_cannot_tell_apart_is_shown_and_not_judged() -> None:
    body = check_parity(STEP, step, in_32_bits, FRAME)

    assert body["passed"] is True
    assert body["unresolved"] == 1.0


def test_an_export_that_answers_otherwise_on_a_missing_value_or_an_unseen_text_fails() -> None:
    def nan_is_high(columns: Mapping[str, Any]) -> dict[str, Any]:
        answer = step(columns)["value"]
        return {"value": np.where(np.isnan(columns["x"]), 0.0, answer)}

    def refuses_unseen(columns: Mapping[str, Any]) -> dict[str, Any]:
        if not set(columns["c"].tolist()) <= {"a", "b"}:
            raise ValueError("unknown category")
        return step(columns)

    missing = check_parity(STEP, step, nan_is_high, FRAME)
    unseen = check_parity(STEP, step, refuses_unseen, FRAME)

    assert missing["passed"] is False
    assert np.isnan(missing["worst"]["row"]["x"])
    assert unseen["passed"] is False
    assert "unknown category" in unseen["worst"]["exported"]
    assert "bound the input in the contract" in unseen["why"]


def test_two_forms_that_both_refuse_the_rows_have_not_been_compared() -> None:
    def refuses(columns: Mapping[str, Any]) -> dict[str, Any]:
        raise ValueError("the engine is not there")

    body = check_parity(STEP, refuses, refuses, FRAME, narrow=step)

    assert (body["passed"], body["evaluated"]["rows"], body["searched"]["rows"]) == (False, 0, 0)
    assert "both refuse the data (ValueError: the engine is not there)" in body["why"]


def test_a_tie_between_labels_may_fall_either_way() -> None:
    contract = Contract(
        inputs=(Field(name="x", type="float"),),
        outputs=(Field(name="label", type="bool"), Field(name="probability", type="float")),
    )
    half = np.full(200, 0.5)

    def one(columns: Mapping[str, Any]) -> dict[str, Any]:
        rows = len(columns["x"])
        return {"label": np.ones(rows, bool), "probability": np.full(rows, 0.5)}

    def other(columns: Mapping[str, Any]) -> dict[str, Any]:
        rows = len(columns["x"])
        return {"label": np.zeros(rows, bool), "probability": np.full(rows, 0.5 - 1e-8)}

    assert check_parity(contract, one, other, {"x": half + np.arange(200)})["passed"] is True


def test_a_difference_is_relative_for_large_numbers_and_none_for_equal_infinities() -> None:
    a = np.array([1e6, 0.0, np.inf, np.nan, np.nan, np.inf])
    b = np.array([1e6 + 10, 1e-5, np.inf, np.nan, 0.0, 1.0])

    assert number_difference(a, b).tolist() == [1e-5, 1e-5, 0.0, 0.0, np.inf, np.inf]


def test_floats_in_order_are_whole_numbers_in_order_and_back() -> None:
    values = np.array([-np.inf, -1e30, -1.5, -5e-324, 0.0, 5e-324, 1.0, np.nextafter(1.0, 2.0), 1e308])

    places = _ordered(values, whole=False)

    assert (np.diff(places) > 0).all()
    assert places[7] - places[6] == 1
    assert _unordered(places, whole=False).tolist() == values.tolist()


def test_parity_needs_both_files_and_rows(sqlite_project: LocalProject) -> None:
    register_model(sqlite_project, "delay", forest(), inputs(), onnx=False)

    with pytest.raises(InvalidInputError, match="compares two of its forms"):
        parity(sqlite_project, "delay@v1", inputs())
    with pytest.raises(InvalidInputError, match="needs rows"):
        check_parity(STEP, step, step, {"x": np.array([]), "c": np.array([], object)})


CURVE = Contract(
    inputs=(Field(name="x", type="float", minimum=0, maximum=100), Field(name="y", type="float")),
    outputs=(Field(name="value", type="float"),),
)


def curve(columns: Mapping[str, Any]) -> dict[str, Any]:
    return {"value": np.sin(np.clip(columns["x"], -1e3, 1e3))}


def bent(columns: Mapping[str, Any]) -> dict[str, Any]:
    """As ``curve``, but for a narrow dent that the data never come near: 3e-4 deep where x is 50 and y is 7."""
    away = (columns["x"] - 50) ** 2 / 20 + (columns["y"] - 7) ** 2 / 20
    return {"value": np.sin(columns["x"]) + 3e-4 * np.exp(-away)}


def test_climbing_finds_a_dent_between_the_rows_that_no_other_probe_comes_near() -> None:
    random = np.random.default_rng(0)
    frame = {"x": np.append(random.uniform(0, 40, 500), 62.0), "y": np.append(random.uniform(0, 2, 500), 14.0)}

    body = check_parity(CURVE, curve, bent, frame)

    before = {kind: each["largest"] for kind, each in body["searched"]["kinds"].items() if kind != "climbing"}
    assert max(before.values()) < 1e-4 < body["searched"]["kinds"]["climbing"]["largest"]
    assert (body["passed"], body["worst"]["kind"]) == (False, "climbing")


def test_climbing_keeps_to_the_bounds_and_leaves_the_rows_it_began_with() -> None:
    seen: list[Any] = []

    def watched(columns: Mapping[str, Any]) -> dict[str, Any]:
        seen.append(columns)
        return bent(columns)

    frame = {"x": np.linspace(0.1, 100, 300), "y": np.linspace(-3, 9, 300)}
    base = {name: values.copy() for name, values in frame.items()}

    def differ(columns: Any) -> Any:
        return number_difference(curve(columns)["value"], watched(columns)["value"])

    climb(CURVE.inputs, base, base, differ, seed=1)

    values = np.concatenate([each["x"] for each in seen])
    assert len(seen) == 17
    assert ((values >= 0) & (values <= 100)).all()
    assert {name: (values == frame[name]).all() for name, values in base.items()} == {"x": True, "y": True}


def test_what_no_contract_lets_in_is_shown_and_not_judged() -> None:
    def careless(columns: Mapping[str, Any]) -> dict[str, Any]:
        return {"value": np.where(np.isnan(columns["x"]), 5.0, curve(columns)["value"])}

    body = check_parity(CURVE, curve, careless, {"x": np.linspace(0, 90, 50), "y": np.zeros(50)})

    assert (body["passed"], body["outside"]) == (True, float("inf"))


def test_any_two_forms_of_a_version_are_compared(sqlite_project: LocalProject) -> None:
    register_model(sqlite_project, "delay", forest(), inputs())

    body = parity(sqlite_project, "delay@v1", inputs(), original="onnx", exported="sklearn").body

    assert (body["original"], body["exported"], body["evaluated"]["beyond"]) == ("onnx", "sklearn", 0)
    with pytest.raises(InvalidInputError, match="holds onnx, sklearn"):
        parity(sqlite_project, "delay@v1", inputs(), exported="xgboost")

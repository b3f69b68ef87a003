from __future__ import annotations

import sys

import numpy as np
import pytest

from headwater.errors import InvalidInputError, MissingExtraError
from headwater.evaluate import explain_model, measure_calibration
from headwater.evaluate.importance import shapley_values
from headwater.evaluate.reliability import reliability
from headwater.project import LocalProject
from tests.evaluate.measured import register_forest
from tests.model.delays import flights


def columns(rows: int, seed: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    return {name: random.normal(0, 1, rows) for name in ("a", "b", "c")}


def test_shapley_values_of_a_line_are_weight_times_distance_from_the_mean() -> None:
    # Of a linear model the value of an input is w (x - E x), in closed form (Štrumbelj and Kononenko 2014, section 3).
    background = columns(500, 0)
    background = {name: values - values.mean() for name, values in background.items()}
    explained = columns(40, 1)

    parts, start = shapley_values(
        lambda given: 2 * given["a"] - given["b"] + 7, ["a", "b", "c"], explained, background, seed=0, orders=500
    )

    assert parts[:, 0] == pytest.approx(2 * explained["a"], abs=1e-9)
    assert parts[:, 1] == pytest.approx(-explained["b"], abs=1e-9)
    assert np.abs(parts[:, 2]).max() == 0
    assert start == pytest.approx(np.full(40, 7.0))


def test_shapley_values_share_what_inputs_do_together_and_add_up_to_the_answer() -> None:
    zeros = {name: np.zeros(10) for name in ("a", "b", "c")}
    explained = columns(30, 2)

    parts, start = shapley_values(
        lambda given: given["a"] * given["b"], ["a", "b", "c"], explained, zeros, seed=0, orders=4
    )

    # From zero, a product is half the one's and half the other's.
    product = explained["a"] * explained["b"]
    assert parts[:, 0] == pytest.approx(product / 2)
    assert parts[:, 1] == pytest.approx(product / 2)
    assert parts.sum(axis=1) + start == pytest.approx(product)


def test_an_input_that_the_truth_knows_nothing_of_is_shown_to_be_of_no_use(sqlite_project: LocalProject) -> None:
    register_forest(sqlite_project, 10)

    body = explain_model(sqlite_project, "delay@v1", flights(9, 3000), "late").body

    assert [each["input"] for each in body["inputs"]] == ["hour", "wet", "carrier", "temp"]
    assert body["unused"] == ["temp"]
    assert body["inputs"][0]["drop"]["low"] > 0.1
    assert (body["output"], body["shapley_by"]) == ("probability", "sampled")
    assert body["shapley"][0]["input"] == "hour"
    for example in body["examples"]:
        assert sum(example["shapley"].values()) + body["average"] == pytest.approx(example["answer"], abs=0.1)


def test_what_computes_shapley_values_is_known_and_installed_or_nothing_is_measured(
    sqlite_project: LocalProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    register_forest(sqlite_project, 10)
    monkeypatch.setitem(sys.modules, "shap", None)  # as where it is not installed

    with pytest.raises(InvalidInputError, match="not 'lime'"):
        explain_model(sqlite_project, "delay@v1", flights(9, 50), "late", shapley="lime")
    with pytest.raises(MissingExtraError, match=r"headwater\[shap\]"):
        explain_model(sqlite_project, "delay@v1", flights(9, 50), "late", shapley="shap")


def test_a_loss_rises_where_a_gain_falls_and_both_are_drops(sqlite_project: LocalProject) -> None:
    register_forest(sqlite_project, 10)

    body = explain_model(sqlite_project, "delay@v1", flights(9, 1000), "late", metric="brier", repeats=1).body

    assert body["inputs"][0]["input"] == "hour"
    assert body["inputs"][0]["drop"]["low"] > 0


def test_a_model_that_says_what_comes_is_calibrated_and_one_that_exaggerates_is_not() -> None:
    random = np.random.default_rng(0)
    p = random.uniform(0.02, 0.98, 6000)
    came = (random.random(6000) < p).astype(float)
    # twice the log odds: too sure of itself, so that the line through it has the slope one half
    odds = 2 * np.log(p / (1 - p))

    honest = reliability(p, came, chance=True, seed=0, resamples=100)
    loud = reliability(1 / (1 + np.exp(-odds)), came, chance=True, seed=0, resamples=100)

    assert honest["calibrated"] is True
    assert honest["slope"]["low"] < 1 < honest["slope"]["high"]
    assert honest["intercept"]["low"] < 0 < honest["intercept"]["high"]
    assert loud["calibrated"] is False
    assert loud["slope"]["low"] < 0.5 < loud["slope"]["high"]
    assert len(loud["bins"]) == 10
    assert all(each["low"] <= each["observed"] <= each["high"] for each in loud["bins"])


@pytest.mark.long
def test_of_calibrated_models_one_in_twenty_is_called_otherwise() -> None:
    wrong = 0
    for seed in range(80):
        random = np.random.default_rng(seed)
        p = random.uniform(0.05, 0.95, 400)
        found = reliability(p, (random.random(400) < p).astype(float), chance=True, seed=seed, resamples=2)
        wrong += not found["calibrated"]

    # expected 4 of 80; more than 11 has a chance below 1 in 1,000
    assert wrong <= 11


def test_numbers_that_are_always_too_low_have_an_intercept_in_their_unit() -> None:
    random = np.random.default_rng(1)
    said = random.uniform(0, 100, 2000)
    came = said + 5 + random.normal(0, 3, 2000)

    found = reliability(said, came, chance=False, seed=0, resamples=100)

    assert found["calibrated"] is False
    assert found["error"]["value"] == pytest.approx(5, abs=0.3)
    assert found["intercept"]["low"] < 5 < found["intercept"]["high"]
    assert found["slope"]["value"] == pytest.approx(1, abs=0.01)


def test_a_forest_that_learned_little_is_too_timid_and_says_so(sqlite_project: LocalProject) -> None:
    register_forest(sqlite_project, 10)

    body = measure_calibration(sqlite_project, "delay@v1", flights(9, 3000), "late", resamples=100).body

    assert body["calibrated"] is False
    assert body["slope"]["low"] > 1.2
    assert body["sentence"].startswith("not calibrated")

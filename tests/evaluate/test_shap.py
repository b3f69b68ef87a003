"""Shapley values by the library shap: collected where it is installed, which is in `make test-extra`."""

from __future__ import annotations

import numpy as np
import pytest

from headwater.evaluate import explain_model
from headwater.evaluate.shap_library import shap_values
from headwater.project import LocalProject
from tests.evaluate.measured import register_forest
from tests.model.delays import flights


@pytest.mark.parametrize("width", [3, 8])  # exact, and by permutations
def test_of_a_line_they_are_weight_times_distance_from_the_mean(width: int) -> None:
    random = np.random.default_rng(0)
    names = [f"x{place}" for place in range(width)]
    background = {name: random.normal(0, 1, 20) for name in names}
    explained = {name: random.normal(0, 1, 30) for name in names}

    parts, start = shap_values(lambda given: 2 * given["x0"] - given["x1"] + 7, names, explained, background, seed=0)

    assert parts[:, 0] == pytest.approx(2 * (explained["x0"] - background["x0"].mean()), abs=1e-9)
    assert parts[:, 1] == pytest.approx(-(explained["x1"] - background["x1"].mean()), abs=1e-9)
    assert np.abs(parts[:, 2:]).max() == pytest.approx(0, abs=1e-9)
    assert start == pytest.approx(np.full(30, 7 + 2 * background["x0"].mean() - background["x1"].mean()))


def test_a_version_with_inputs_of_text_is_explained_by_it(sqlite_project: LocalProject) -> None:
    register_forest(sqlite_project, 10)

    body = explain_model(sqlite_project, "delay@v1", flights(9, 500), "late", shapley="shap").body

    assert body["shapley_by"].startswith("shap 0.")
    assert body["shapley"][0]["input"] == "hour"
    for example in body["examples"]:
        assert sum(example["shapley"].values()) + body["average"] == pytest.approx(example["answer"], abs=1e-6)

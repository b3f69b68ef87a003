from __future__ import annotations

import numpy as np
import pytest

from headwater.errors import InvalidInputError
from headwater.evaluate import find_bad_slices
from headwater.evaluate.slice_search import _p_of_all, conditions_of, search_slices
from headwater.project import LocalProject
from tests.evaluate.measured import register_forest
from tests.model.delays import flights


def noise(rows: int, seed: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
    random = np.random.default_rng(seed)
    columns = {
        "hour": random.integers(0, 24, rows),
        "carrier": random.choice(["AA", "UA", "YX"], rows).astype(object),
        "temp": random.normal(50, 20, rows),
    }
    return columns, random.exponential(1, rows)


def test_a_planted_bad_slice_of_two_conditions_is_found_and_confirmed() -> None:
    columns, losses = noise(4000, 1)
    losses = losses + 1.0 * ((columns["carrier"] == "YX") & (columns["hour"] >= 19))

    found = search_slices(columns, losses)["found"]

    assert found[0]["confirmed"]
    assert {"carrier=YX", "hour>="} <= {part[:10].rstrip("0123456789") for part in found[0]["slice"].split(" and ")}
    assert 0.7 < found[0]["gap"]["low"] < found[0]["gap"]["value"] < found[0]["gap"]["high"] < 1.5
    assert found[0]["value"] - found[0]["rest"] == pytest.approx(found[0]["gap"]["value"])


def test_where_nothing_is_worse_hardly_anything_is_confirmed() -> None:
    # 5 % of searches at most may confirm anything, by Holm's procedure; of 60 more than 8 has a chance below 1 %
    alarms = sum(any(each["confirmed"] for each in search_slices(*noise(1000, seed))["found"]) for seed in range(60))

    assert alarms <= 8


def test_a_slice_on_which_every_row_is_wrong_and_none_elsewhere_is_confirmed() -> None:
    columns, _ = noise(1000, 4)
    wrong = (columns["carrier"] == "YX").astype(float)

    found = search_slices(columns, wrong)["found"]

    assert (found[0]["slice"], found[0]["confirmed"], found[0]["gap"]["value"]) == ("carrier=YX", True, 1.0)
    assert found[0]["p"] < 1e-50


def test_without_a_spread_the_p_value_is_that_of_drawing_just_these_rows() -> None:
    assert _p_of_all(1.0, 2, 2) == pytest.approx(1 / 6)  # of 4 rows 2 are drawn in 6 ways
    assert _p_of_all(1.0, 1, 999) == pytest.approx(1 / 1000)
    assert [_p_of_all(gap, 500, 500) for gap in (0.0, -1.0)] == [1.0, 1.0]  # no gap, or one the other way


def test_a_slice_is_confirmed_by_enough_rows_of_the_confirming_half_too() -> None:
    rows = 1000
    halves = np.random.default_rng(0).permutation(rows)  # as the search divides them: its first half finds
    hub = np.full(rows, "other", object)
    hub[halves[:60]] = hub[halves[-20:]] = "north"
    losses = np.random.default_rng(1).normal(0, 1, rows) + 2.0 * (hub == "north")

    few = search_slices({"hub": hub}, losses)["found"]
    enough = search_slices({"hub": hub}, losses, least_rows=20)["found"]

    assert [(each["slice"], each["confirmed"], each["p"]) for each in few] == [("hub=north", False, 1.0)]
    assert [(each["slice"], each["confirmed"]) for each in enough] == [("hub=north", True)]


def test_the_signs_of_bias_are_both_found() -> None:
    columns, _ = noise(4000, 2)
    errors = np.random.default_rng(3).normal(0, 1, 4000)
    errors = errors + 0.5 * (columns["carrier"] == "AA") - 0.5 * (columns["carrier"] == "UA")

    gaps = {
        each["slice"]: each["gap"]["value"]
        for each in search_slices(columns, errors, signed=True)["found"]
        if each["confirmed"]
    }

    assert gaps["carrier=AA"] > 0.5
    assert gaps["carrier=UA"] < -0.5


def test_conditions_cover_every_row_of_numbers_and_name_what_is_missing() -> None:
    temp = np.arange(100, dtype=float)
    temp[:10] = np.nan

    found = conditions_of({"temp": temp, "same": np.ones(100)})

    assert sum(each.mask for each in found).tolist() == [1] * 100  # type: ignore[union-attr]  # masks add up
    assert [each.text for each in found][:2] == ["temp=missing", "temp<27.8"]
    assert all(each.column == "temp" for each in found)


def test_a_models_bad_slice_is_recorded_as_evidence_that_names_it(sqlite_project: LocalProject) -> None:
    register_forest(sqlite_project)
    rows = flights(9, 4000).copy()
    wrong = (rows.carrier == "AA") & (rows.hour >= 18)
    rows.loc[wrong, "late"] = ~rows.loc[wrong, "late"].astype(bool)

    planted = find_bad_slices(sqlite_project, "delay@v1", rows, "late").body
    biased = find_bad_slices(sqlite_project, "delay@v1", rows, "late", loss="bias").body

    assert "carrier=AA" in planted["worst"]
    assert "hour>=19" in planted["worst"]
    assert planted["loss"] == "log_loss"
    assert planted["confirmed"] >= 1
    assert planted["worst"] in planted["sentence"]
    assert "carrier=AA" in biased["worst"]
    assert biased["worst_gap"] > 0.15  # said late far too often where the truth was turned around


def test_a_loss_that_the_task_has_not_and_a_column_that_is_not_there_are_refused(sqlite_project: LocalProject) -> None:
    register_forest(sqlite_project)

    with pytest.raises(InvalidInputError, match="no loss of binary"):
        find_bad_slices(sqlite_project, "delay@v1", flights(9, 200), "late", loss="cer")
    with pytest.raises(InvalidInputError, match="no column 'gate'"):
        find_bad_slices(sqlite_project, "delay@v1", flights(9, 200), "late", columns=["gate"])
    for most, least_rows in ((0, 30), (10, 1)):  # of no slice or no rows nothing can be said
        with pytest.raises(InvalidInputError, match="at least 1 slice of at least 2 rows"):
            find_bad_slices(sqlite_project, "delay@v1", flights(9, 200), "late", most=most, least_rows=least_rows)

from __future__ import annotations

from typing import Any

import numpy as np
import pandas
import pytest

from headwater.errors import InvalidInputError
from headwater.evaluate import compare_baselines, measure_staleness
from headwater.evaluate.aging import worse_after
from headwater.lake import add_table
from headwater.project import LocalProject, Project
from tests.evaluate.measured import register_estimator, register_forest
from tests.model.delays import flights


def by_name(body: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {each["name"]: each for each in body["baselines"]}


@pytest.mark.long_elsewhere
def test_a_forest_beats_a_constant_and_a_worse_one_does_not_beat_the_line(project: Project) -> None:
    add_table(project, "flights", "rows.parquet", flights())
    register_forest(project, 1, trained_on=["flights@v1"])

    body = compare_baselines(project, "delay@v1", flights(9, 2000), "late", metric="log_loss", resamples=100).body

    found = by_name(body)
    rate = flights(9, 2000).late.mean()
    constant = flights().late.mean()
    assert list(found) == ["constant", "linear", "tree"]
    assert found["constant"]["value"] == pytest.approx(-(rate * np.log(constant) + (1 - rate) * np.log(1 - constant)))
    assert found["constant"]["beaten"] is True
    assert found["linear"]["beaten"] is False  # one tree of a boosted forest knows less than a line
    assert found["linear"]["gain"]["high"] < 0
    assert body["beats_all"] is False
    assert body["trained_rows"] == 3000
    assert "linear" in body["sentence"]


def test_measuring_on_the_training_rows_is_said(sqlite_project: LocalProject) -> None:
    add_table(sqlite_project, "flights", "rows.parquet", flights())
    register_forest(sqlite_project, trained_on=["flights@v1"])

    honest = compare_baselines(sqlite_project, "delay@v1", flights(9, 1000), "late", resamples=20).body
    planted = compare_baselines(sqlite_project, "delay@v1", "flights@v1", "late", where="hour < 12", resamples=20).body

    assert honest["shared_rows"] < 0.02 * honest["rows"]
    assert planted["shared_rows"] == planted["rows"]
    assert "equal training rows" in planted["sentence"]


def test_any_other_version_can_be_a_baseline_and_of_nothing_there_is_no_comparison(
    sqlite_project: LocalProject,
) -> None:
    register_forest(sqlite_project, 40)
    register_forest(sqlite_project, 1, name="vendor")

    body = compare_baselines(
        sqlite_project, "delay@v1", flights(9, 2000), "late", against=["vendor@v1"], resamples=50
    ).body

    assert list(by_name(body)) == ["vendor@v1"]
    assert body["beats_all"] is True
    with pytest.raises(InvalidInputError, match="nothing to compare with"):
        compare_baselines(sqlite_project, "delay@v1", flights(9, 100), "late")
    with pytest.raises(InvalidInputError, match="not measured for this task"):
        compare_baselines(sqlite_project, "delay@v1", flights(9, 100), "late", against=["vendor@v1"], metric="cer")


def demand(month: int) -> Any:
    """Return a month of readings: load follows temperature, in a way that turns by a little every month."""
    random = np.random.default_rng(month)
    at = pandas.date_range(f"2026-{month:02d}-01", periods=28 * 24, freq="h")
    temp = random.normal(20, 8, len(at))
    load = 100 + 3 * temp * np.cos(month / 2) + random.normal(0, 4, len(at))
    return pandas.DataFrame({"at": at, "temp": temp, "load": load})


def train_each_month(project: LocalProject, months: range) -> None:
    from sklearn.linear_model import LinearRegression

    for month in months:
        rows = demand(month)
        data = add_table(project, "demand", "rows.parquet", rows, base=None)
        estimator = LinearRegression().fit(rows[["temp"]].to_numpy(), rows["load"].to_numpy())
        register_estimator(project, "load", estimator, rows[["temp"]], trained_on=[data.id])


def test_older_versions_are_found_worse_on_newer_data_and_from_which_age(sqlite_project: LocalProject) -> None:
    train_each_month(sqlite_project, range(1, 5))
    newer = pandas.concat([demand(month) for month in range(2, 7)])

    body = measure_staleness(sqlite_project, "load@v4", newer, "load", time="at", days=28, resamples=50).body

    ages = {each["age_days"] for each in body["points"]}
    assert body["metric"] == "rmse"
    assert {each["label"] for each in body["points"]} == {"load@v1", "load@v2", "load@v3", "load@v4"}
    assert min(ages) < 5
    assert max(ages) > 100
    assert all(each["worse"] for each in body["pairs"])
    assert 25 < body["worse_after_days"] < 40
    assert f"from {body['worse_after_days']:g} days on" in body["sentence"]


def test_where_nothing_changes_no_age_is_too_old(sqlite_project: LocalProject) -> None:
    train_each_month(sqlite_project, range(1, 3))
    same = demand(1)
    newer = pandas.concat([same.assign(at=same["at"] + pandas.Timedelta(days=28 * step)) for step in range(3, 6)])
    from sklearn.linear_model import LinearRegression

    for number in (1, 2):  # two versions of the same, one dated a month later
        rows = same.assign(at=same["at"] + pandas.Timedelta(days=28 * number))
        data = add_table(sqlite_project, "steady", "rows.parquet", rows)
        line = LinearRegression().fit(rows[["temp"]].to_numpy(), rows["load"].to_numpy())
        register_estimator(sqlite_project, "steady", line, rows[["temp"]], trained_on=[data.id])

    body = measure_staleness(sqlite_project, "steady@v2", newer, "load", time="at", days=28, resamples=50).body

    assert body["pairs"]
    assert not any(each["worse"] for each in body["pairs"])
    assert body["worse_after_days"] is None


def test_versions_that_do_not_say_what_they_were_trained_on_are_left_out_or_refused(
    sqlite_project: LocalProject,
) -> None:
    register_forest(sqlite_project)
    rows = flights(9, 100).assign(at=pandas.date_range("2026-01-01", periods=100))

    with pytest.raises(InvalidInputError, match="names no training data"):
        measure_staleness(sqlite_project, "delay@v1", rows, "late", time="at")


def test_an_age_is_too_old_where_it_and_most_after_it_are_worse() -> None:
    pairs = [
        {"age_days": age, "worse": worse}
        for age, worse in ((10, True), (20, False), (20, False), (30, True), (40, True))
    ]

    assert worse_after(pairs) == 10  # 3 of 5
    assert worse_after([{"age_days": 10, "worse": True}, {"age_days": 20, "worse": False}]) is None
    assert worse_after([]) is None

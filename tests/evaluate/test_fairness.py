from __future__ import annotations

import warnings
from functools import cache
from typing import Any

import numpy as np
import pandas
import pytest

from headwater.errors import InvalidInputError
from headwater.evaluate import measure_fairness
from headwater.evaluate.disparity import Rate, compare_groups, group_names
from headwater.evaluate.proxies import find_proxies
from headwater.project import LocalProject
from tests.evaluate.measured import register_estimator


@cache
def loans(seed: int = 0, rows: int = 4000) -> Any:
    """Return applications: the district tells the origin of nine in ten, and the truth depends on income alone."""
    random = np.random.default_rng(seed)
    origin = random.choice(["north", "south"], rows, p=[0.7, 0.3])
    other = np.where(origin == "north", "south", "north")
    district = np.where(random.random(rows) < 0.9, origin, other)
    income = random.normal(np.where(origin == "north", 55, 45), 10)
    return pandas.DataFrame(
        {
            "income": income.round(1),
            "district": district.astype(object),
            "years": random.integers(0, 30, rows),
            "origin": origin.astype(object),
            "deny": random.random(rows) < 1 / (1 + np.exp((income - 45) / 5)),
        }
    )


def lender(columns: list[str]) -> Any:
    from sklearn.compose import ColumnTransformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import OneHotEncoder

    texts = [name for name in columns if name in ("district", "origin")]
    encode = ColumnTransformer([("text", OneHotEncoder(), texts)], remainder="passthrough")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Pipeline([("columns", encode), ("line", LogisticRegression(max_iter=500))]).fit(
            loans()[columns], loans().deny
        )


def register_lender(project: LocalProject, columns: list[str]) -> None:
    register_estimator(project, "deny", lender(columns), loans()[columns])


def test_the_rates_of_groups_are_those_of_fairlearn(sqlite_project: LocalProject) -> None:
    from fairlearn.metrics import (
        MetricFrame,
        demographic_parity_difference,
        demographic_parity_ratio,
        false_positive_rate,
        selection_rate,
        true_positive_rate,
    )

    columns = ["income", "district", "years"]
    register_lender(sqlite_project, columns)
    fresh = loans(1)
    said = lender(columns).predict_proba(fresh[columns])[:, 1] >= 0.4

    body = measure_fairness(
        sqlite_project, "deny@v1", fresh, "deny", attribute="origin", threshold=0.4, resamples=100
    ).body

    theirs = MetricFrame(
        metrics={
            "selection_rate": selection_rate,
            "true_positive_rate": true_positive_rate,
            "false_positive_rate": false_positive_rate,
        },
        y_true=fresh.deny,
        y_pred=said,
        sensitive_features=fresh.origin,
    )
    for group in body["groups"]:
        for name, value in theirs.by_group.loc[group["group"]].items():
            assert group["metrics"][name]["value"] == pytest.approx(value), (group["group"], name)
    difference = demographic_parity_difference(fresh.deny, said, sensitive_features=fresh.origin)
    ratio = demographic_parity_ratio(fresh.deny, said, sensitive_features=fresh.origin)
    assert body["differences"]["selection_rate"]["value"] == pytest.approx(difference)
    assert body["ratios"]["selection_rate"]["value"] == pytest.approx(ratio)
    assert [each["group"] for each in body["groups"]] == ["north", "south"]
    assert body["differences"]["selection_rate"]["highest"] == "south"


def test_an_attribute_that_was_dropped_is_still_told_by_its_proxy(sqlite_project: LocalProject) -> None:
    register_lender(sqlite_project, ["income", "district", "years"])

    body = measure_fairness(sqlite_project, "deny@v1", loans(1), "deny", attribute="origin", resamples=50).body

    auc = {each["input"]: each["auc"] for each in body["proxies"]}
    assert body["used"] is False
    assert body["flipped"] is None
    assert [each["input"] for each in body["proxies"]] == ["district", "income", "years"]
    # nine in ten are told rightly on either side, so the AUC of the district alone is 0.9
    assert auc["district"]["value"] == pytest.approx(0.9, abs=0.015)
    assert auc["years"]["value"] == pytest.approx(0.5, abs=0.03)
    assert body["recovered"]["value"] > auc["district"]["value"]
    assert "does not take the attribute" in body["sentence"]
    assert body["differences"]["selection_rate"]["low"] > 0.1


def test_an_attribute_that_is_taken_shows_how_many_answers_turn_on_it(sqlite_project: LocalProject) -> None:
    # Denied exactly where the origin is south, whatever the rest says: every answer turns on it.
    from sklearn.compose import ColumnTransformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import OneHotEncoder

    rows = loans().assign(deny=loans().origin == "south")
    encode = ColumnTransformer([("text", OneHotEncoder(), ["origin"])])
    unfair = Pipeline([("columns", encode), ("line", LogisticRegression())]).fit(rows[["origin"]], rows.deny)
    register_estimator(sqlite_project, "deny", unfair, rows[["origin"]])

    body = measure_fairness(sqlite_project, "deny@v1", rows, "deny", attribute="origin", resamples=50).body

    assert body["used"] is True
    assert body["flipped"] == 1.0
    assert body["differences"]["selection_rate"]["value"] == 1.0
    assert body["recovered"] is None  # there is no other input


@pytest.mark.long
def test_the_interval_of_a_difference_covers_it_as_often_as_it_says() -> None:
    covered = 0
    for seed in range(60):
        random = np.random.default_rng(seed)
        names = np.where(random.random(600) < 0.5, "a", "b")
        hit = (random.random(600) < np.where(names == "a", 0.6, 0.4)).astype(float)
        found = compare_groups([Rate("rate", hit, np.ones(600))], names, seed=seed, resamples=200)["differences"][
            "rate"
        ]
        covered += found["low"] <= 0.2 <= found["high"]

    # of 60 intervals at 95 %, fewer than 50 cover with a chance below 1 in 1,000
    assert covered >= 50


def test_small_groups_are_named_and_left_out_and_one_group_is_refused() -> None:
    names = np.array(["a"] * 100 + ["b"] * 50 + ["c"] * 3)
    rates = [Rate("rate", np.ones(153), np.ones(153))]

    found = compare_groups(rates, names, seed=0, resamples=20)

    assert [each["group"] for each in found["groups"]] == ["a", "b"]
    assert found["left_out"] == [{"group": "c", "rows": 3}]
    with pytest.raises(InvalidInputError, match="fewer than two"):
        compare_groups(rates, names, seed=0, resamples=20, least_rows=60)


def test_ages_are_grouped_by_fifths_and_few_values_as_they_are() -> None:
    ages = np.arange(18, 68)

    assert sorted(set(group_names(ages))) == ["27.8 to 37.6", "37.6 to 47.4", "47.4 to 57.2", "<27.8", ">=57.2"]
    assert set(group_names(np.array([1, 2, 2]))) == {"1", "2"}


def test_a_proxy_is_judged_on_rows_it_was_not_learned_from() -> None:
    # An identifier tells each row apart, and so would tell anything of rows it had seen.
    random = np.random.default_rng(0)
    rows = 2000
    names = random.choice(["a", "b"], rows)
    columns = {"id": np.array([f"n{k}" for k in range(rows)], object)}

    found = find_proxies(columns, names, seed=0, resamples=50)

    assert found["proxies"][0]["auc"]["value"] == pytest.approx(0.5, abs=0.04)

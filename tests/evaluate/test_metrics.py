from __future__ import annotations

from math import log, sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headwater.errors import InvalidInputError
from headwater.evaluate.bootstrap import draws, intervals, paired_interval
from headwater.evaluate.metrics import (
    binary_metrics,
    calibration_bins,
    regression_metrics,
    weighted_auc,
)
from headwater.evaluate.slices import find_slices


def test_the_auc_is_the_share_of_pairs_in_the_right_order_with_ties_as_half() -> None:
    # positives .8 and .4 against negatives .4 and .1: right, right, tie, right
    auc = weighted_auc(np.array([1.0, 1.0, 0.0, 0.0]), np.array([0.8, 0.4, 0.4, 0.1]))

    assert auc(np.ones(4)) == 3.5 / 4
    # the tied negative drawn twice more: pairs 2 x 4, of which 1 x 4 right by .8 and 3 ties and 1 right by .4
    assert auc(np.array([1.0, 1.0, 3.0, 1.0])) == (4 + 1.5 + 1) / 8


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 9), st.integers(0, 3)), min_size=2, max_size=60))
def test_the_auc_agrees_with_scikit_learn_for_any_ties_and_weights(rows: list[tuple[bool, int, int]]) -> None:
    from sklearn.metrics import roc_auc_score

    truth = np.array([each[0] for each in rows], float)
    score = np.array([each[1] for each in rows]) / 10
    weights = np.array([each[2] for each in rows], float)
    ours = weighted_auc(truth, score)(weights)

    if (weights * truth).sum() == 0 or (weights * (1 - truth)).sum() == 0:
        assert np.isnan(ours)
    else:
        assert ours == pytest.approx(roc_auc_score(truth, score, sample_weight=weights))


def test_the_metrics_of_two_classes_agree_with_scikit_learn() -> None:
    from sklearn.metrics import accuracy_score, brier_score_loss, log_loss

    random = np.random.default_rng(1)
    p = random.random(500)
    y = random.random(500) < p
    ours = {name: metric(np.ones(500)) for name, metric in binary_metrics(y, p).items()}

    assert ours["log_loss"] == pytest.approx(log_loss(y, p))
    assert ours["brier"] == pytest.approx(brier_score_loss(y, p))
    assert ours["accuracy"] == pytest.approx(accuracy_score(y, p > 0.5))


def test_the_metrics_of_a_regression_are_those_worked_out_by_hand() -> None:
    metrics = regression_metrics(np.array([0.0, 2.0, 4.0]), np.array([1.0, 2.0, 2.0]))
    ours = {name: metric(np.ones(3)) for name, metric in metrics.items()}

    assert ours["mae"] == 1.0
    assert ours["rmse"] == pytest.approx(sqrt(5 / 3))
    assert ours["mape"] == 25.0  # the row whose truth is 0 has no percentage
    assert ours["r2"] == pytest.approx(1 - 5 / 8)


def test_a_certain_answer_that_is_wrong_has_a_finite_loss() -> None:
    loss = binary_metrics(np.array([True, False]), np.array([0.0, 0.0]))["log_loss"](np.ones(2))

    assert loss == pytest.approx(-log(1e-15) / 2, rel=1e-6)


def test_an_answer_that_is_not_a_number_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="finite"):
        weighted_auc(np.array([1.0, 0.0]), np.array([np.nan, 0.5]))


def test_calibration_bins_compare_what_was_said_with_what_came() -> None:
    bins = calibration_bins(np.array([True, False, True]), np.array([0.95, 0.91, 1.0]))

    assert [(each["from"], each["rows"]) for each in bins] == [(0.9, 3)]
    assert bins[0]["observed"] == pytest.approx(2 / 3)


def test_an_interval_is_the_same_for_the_same_seed_and_covers_the_value() -> None:
    random = np.random.default_rng(2)
    y, p = random.random(400) < 0.5, random.random(400)

    one = intervals(binary_metrics(y, p), 400, seed=7, resamples=100)
    two = intervals(binary_metrics(y, p), 400, seed=7, resamples=100)

    assert one == two
    assert one["auc"]["low"] < one["auc"]["value"] < one["auc"]["high"]


def test_the_interval_of_a_mean_is_as_wide_as_theory_says() -> None:
    values = np.random.default_rng(3).normal(size=2000)

    found = intervals({"mean": lambda w: float(w @ values / w.sum())}, 2000, seed=0, resamples=1000)["mean"]

    # 2 x 1.96 standard errors of 1 / sqrt(2000)
    assert found["high"] - found["low"] == pytest.approx(2 * 1.96 / sqrt(2000), rel=0.1)


def test_a_sample_draws_as_many_rows_as_there_are() -> None:
    assert [weights.sum() for weights in draws(50, 3, seed=0)] == [50.0, 50.0, 50.0]


def test_pairing_cancels_what_both_share() -> None:
    random = np.random.default_rng(4)
    shared = random.normal(0, 10, 500)
    a, b = shared, shared + 0.1 + random.normal(0, 0.1, 500)

    found = paired_interval(lambda w: float(w @ a / w.sum()), lambda w: float(w @ b / w.sum()), 500, seed=0)

    assert 0.05 < found["low"] < found["value"] < found["high"] < 0.15


def test_slices_are_each_value_of_a_column_or_a_rule() -> None:
    columns = {"carrier": np.array(["AA", "UA", "AA", None], object), "hour": np.array([1, 17, 20, 5])}

    found = {name: mask.tolist() for name, mask in find_slices(["carrier", "hour>=17", "carrier=UA"], columns)}

    assert list(found) == ["carrier=AA", "carrier=UA", "carrier=missing", "hour>=17"]
    assert found["carrier=AA"] == [True, False, True, False]
    assert found["hour>=17"] == [False, True, True, False]


def test_a_slice_of_no_column_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="names no column"):
        list(find_slices(["gate=3"], {"hour": np.array([1])}))

"""Metrics as functions of row weights, so that a thousand bootstrap samples cost a thousand weighted sums.

A sample with replacement of n rows is a vector of n counts. Metrics that are means of a loss per row become one
matrix product; the AUC, which is not, sorts its scores once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from headwater.errors import InvalidInputError

Array = np.ndarray[Any, Any]
Weighted = Callable[[Array], float]
"""A metric of row weights, shape (rows,): counts of a bootstrap sample, or ones."""

HIGHER_IS_BETTER: dict[str, bool] = {
    "auc": True,
    "log_loss": False,
    "brier": False,
    "accuracy": True,
    "calibration_error": False,
    "mae": False,
    "rmse": False,
    "mape": False,
    "r2": True,
    "cer": False,
    "wer": False,
}
"""Whether more of a metric is better; a metric that is not here is better the higher."""

_FLOOR = 1e-15
_BINS = 10


def binary_metrics(truth: Array, probability: Array) -> dict[str, Weighted]:
    """Return the metrics of two classes, of their probability and of the label it gives at 0.5.

    These are auc, average_precision, log_loss (nats), brier, calibration_error; accuracy, precision, recall, f1.
    ``truth`` holds booleans, ``probability`` that of True, both of shape (rows,). A metric is NaN where it is not
    defined (the AUC of one class).
    """
    y = truth.astype(np.float64)
    p = probability.astype(np.float64)
    said = (p > 0.5).astype(np.float64)
    return {
        "auc": weighted_auc(y, p),
        "average_precision": weighted_average_precision(y, p),
        "log_loss": mean_of(log_losses(y, p)),
        "brier": mean_of((p - y) ** 2),
        "accuracy": mean_of((said == y).astype(np.float64)),
        "precision": _share(y * said, said),
        "recall": _share(y * said, y),
        "f1": _share(2 * y * said, y + said),
        "calibration_error": _calibration_error(y, p),
    }


def log_losses(y: Array, probability: Array) -> Array:
    """Return each row's log loss in nats, at most 34.5; shape (rows,)."""
    inside = np.clip(probability.astype(np.float64), _FLOOR, 1 - _FLOOR)
    return -np.where(y > 0, np.log(inside), np.log1p(-inside))


def class_metrics(truth: Array, label: Array, chance: Array | None = None) -> dict[str, Weighted]:
    """Return the metrics of labels: accuracy, balanced_accuracy, macro_f1; log_loss (nats) where ``chance`` is given.

    ``chance`` is the probability that was given to the true label, shape (rows,). The averages are over the labels
    that are true in some drawn row.
    """
    y, said, labels = _numbered(truth, label)
    right = (y == said).astype(np.float64)

    def counts(weights: Array) -> tuple[Array, Array, Array]:
        several = [np.bincount(of, w, minlength=labels) for of, w in ((y, right * weights), (y, weights))]
        return several[0], several[1], np.bincount(said, weights, minlength=labels)

    def balanced(weights: Array) -> float:
        hits, true, _ = counts(weights)
        return float((hits[true > 0] / true[true > 0]).mean())

    def macro_f1(weights: Array) -> float:
        hits, true, answered = counts(weights)
        there = true > 0
        return float((2 * hits[there] / (true + answered)[there]).mean())

    found = {"accuracy": mean_of(right), "balanced_accuracy": balanced, "macro_f1": macro_f1}
    return found if chance is None else found | {"log_loss": mean_of(log_losses(np.ones(len(truth)), chance))}


def _numbered(truth: Array, label: Array) -> tuple[Array, Array, int]:
    """Return the labels of both as numbers from 0 on, and how many there are; 1, 1.0 and True are one label."""
    plain = [each.astype(np.float64) if each.dtype.kind in "biuf" else each.astype(str) for each in (truth, label)]
    if plain[0].dtype.kind != plain[1].dtype.kind:
        plain = [each.astype(str) for each in (truth, label)]
    names, place = np.unique(np.concatenate(plain), return_inverse=True)
    return place[: len(truth)], place[len(truth) :], len(names)


def regression_metrics(truth: Array, value: Array) -> dict[str, Weighted]:
    """Return the metrics of predicted numbers: mae, rmse, mape (percent, over rows whose truth is not 0), r2."""
    y, p = truth.astype(np.float64), value.astype(np.float64)
    error = p - y
    some = y != 0
    ratio = np.abs(np.divide(error, y, out=np.zeros_like(y), where=some)) * 100
    squared = mean_of(error**2)

    def rmse(weights: Array) -> float:
        return float(np.sqrt(squared(weights)))

    def mape(weights: Array) -> float:
        total = weights[some].sum()
        return float(weights @ ratio / total) if total > 0 else float("nan")

    def r2(weights: Array) -> float:
        total = weights.sum()
        mean = weights @ y / total
        spread = weights @ (y - mean) ** 2
        return float(1 - weights @ error**2 / spread) if spread > 0 else float("nan")

    return {"mae": mean_of(np.abs(error)), "rmse": rmse, "mape": mape, "r2": r2}


def weighted_auc(y: Array, score: Array) -> Weighted:
    """Return the area under the ROC curve as a function of weights; ties count one half.

    It is the share of pairs (one positive, one negative) that the score puts in the right order, so it follows from
    the number of negatives below each score: U of Mann and Whitney (1947), Ann. Math. Statist. 18, 50.
    """
    if len(score) and not np.isfinite(score).all():
        raise InvalidInputError("a score is not a number: the AUC needs a finite score for every row.")
    _, group = np.unique(score, return_inverse=True)
    groups = int(group.max()) + 1 if len(group) else 0

    def auc(weights: Array) -> float:
        positive = np.bincount(group, weights * y, minlength=groups)
        negative = np.bincount(group, weights * (1 - y), minlength=groups)
        pairs = positive.sum() * negative.sum()
        if pairs == 0:
            return float("nan")
        below = np.cumsum(negative) - negative
        return float(positive @ (below + negative / 2) / pairs)

    return auc


def weighted_average_precision(y: Array, score: Array) -> Weighted:
    """Return the mean precision at each positive, equal scores taken together, as a function of weights."""
    _, group = np.unique(-score, return_inverse=True)
    groups = int(group.max()) + 1 if len(group) else 0

    def average_precision(weights: Array) -> float:
        positive = np.bincount(group, weights * y, minlength=groups)
        drawn = np.cumsum(np.bincount(group, weights, minlength=groups))
        total = positive.sum()
        if total == 0:
            return float("nan")
        precision = np.divide(np.cumsum(positive), drawn, out=np.zeros(groups), where=drawn > 0)
        return float(positive @ precision / total)

    return average_precision


def calibration_bins(truth: Array, probability: Array) -> list[dict[str, float]]:
    """Return ten equal-width bins of probability: rows, mean prediction and observed share of each not empty."""
    y, p = truth.astype(np.float64), probability.astype(np.float64)
    place = np.minimum((p * _BINS).astype(int), _BINS - 1)
    rows = np.bincount(place, minlength=_BINS)
    predicted = np.bincount(place, p, minlength=_BINS)
    observed = np.bincount(place, y, minlength=_BINS)
    return [
        {
            "from": i / _BINS,
            "rows": int(rows[i]),
            "predicted": float(predicted[i] / rows[i]),
            "observed": float(observed[i] / rows[i]),
        }
        for i in range(_BINS)
        if rows[i]
    ]


def _calibration_error(y: Array, p: Array) -> Weighted:
    """Expected calibration error: the mean distance of prediction and observed share over ten equal-width bins."""
    place = np.minimum((p * _BINS).astype(int), _BINS - 1)

    def error(weights: Array) -> float:
        predicted = np.bincount(place, weights * p, minlength=_BINS)
        observed = np.bincount(place, weights * y, minlength=_BINS)
        return float(np.abs(predicted - observed).sum() / weights.sum())

    return error


def mean_of(values: Array) -> Weighted:
    """Return the mean of values as a function of weights."""

    def mean(weights: Array) -> float:
        return float(weights @ values / weights.sum())

    return mean


def _share(part: Array, whole: Array) -> Weighted:
    def share(weights: Array) -> float:
        total = weights @ whole
        return float(weights @ part / total) if total > 0 else float("nan")

    return share

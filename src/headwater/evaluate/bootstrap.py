"""Percentile bootstrap: how far a metric would move on other rows of the same kind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from .metrics import Array, Weighted
from .values import LEVEL, RESAMPLES


def intervals(
    metrics: Mapping[str, Weighted],
    rows: int,
    *,
    seed: int,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
    groups: Array | None = None,
) -> dict[str, dict[str, float]]:
    """Return each metric's ``value`` on all rows with the ``low`` and ``high`` end of its interval.

    Rows are drawn independently with replacement, or whole ``groups`` of them (see ``draws``); metrics that are
    computed together share the draws. Draws on which a metric is not defined are left out of its interval; with none
    left the ends are NaN.

    Source: Efron and Tibshirani (1993), An Introduction to the Bootstrap, chapter 13.
    """
    whole = np.ones(rows)
    values = {name: metric(whole) for name, metric in metrics.items()}
    drawn: dict[str, list[float]] = {name: [] for name in metrics}
    for weights in draws(rows, resamples, seed, groups):
        for name, metric in metrics.items():
            drawn[name].append(metric(weights))
    return {name: {"value": values[name], **ends(np.array(drawn[name]), level)} for name in metrics}


def paired_interval(
    a: Weighted,
    b: Weighted,
    rows: int,
    *,
    seed: int,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
    groups: Array | None = None,
) -> dict[str, float]:
    """Return the difference ``b - a`` on the same rows with the ends of its interval, both metrics on each draw."""
    whole = np.ones(rows)
    differences = np.array([b(weights) - a(weights) for weights in draws(rows, resamples, seed, groups)])
    return {"value": b(whole) - a(whole), **ends(differences, level)}


def draws(rows: int, resamples: int, seed: int, groups: Array | None = None) -> Iterator[Array]:
    """Yield how often each row is drawn, shape (rows,), for each of ``resamples`` samples of ``rows`` rows.

    ``groups`` numbers the group of each row from 0 on, shape (rows,): then as many groups as there are are drawn, each
    with all its rows, since the rows of one customer or one query do not vary independently.
    """
    random = np.random.default_rng(seed)
    units = rows if groups is None else int(groups.max()) + 1
    for _ in range(resamples):
        counts = np.bincount(random.integers(0, units, units), minlength=units).astype(np.float64)
        yield counts if groups is None else counts[groups]


def ends(values: Array, level: float = LEVEL) -> dict[str, Any]:
    """Return the ``low`` and ``high`` end of the interval that drawn values of a metric give; NaN without any."""
    defined = values[~np.isnan(values)]
    if not len(defined):
        return {"low": float("nan"), "high": float("nan")}
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return {"low": float(low), "high": float(high)}

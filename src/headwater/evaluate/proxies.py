"""Inputs that stand in for an attribute: how well each one, and all of them together, tell it.

Leaving an attribute out of a model does not leave it out of the data. An AUC of 0.5 says that an input tells nothing of
the attribute, 1 that it gives it away.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from headwater.errors import MissingExtraError

from .bootstrap import intervals
from .data import as_text
from .encoding import encoded
from .metrics import Array, Weighted, weighted_auc

MOST_ROWS = 20_000
_BINS = 20
_FOLDS = 3


def find_proxies(columns: Mapping[str, Array], names: Array, *, seed: int, resamples: int = 200) -> dict[str, Any]:
    """Return ``proxies`` and ``recovered`` as ``kinds`` describes them, measured on at most 20,000 rows.

    ``columns`` are the other inputs, ``names`` the group of each row, shape (rows,). Each row is judged by what was
    learned from other rows (``_FOLDS`` folds). With more than two groups the AUC is the mean of each group against the
    others.

    Raises:
        MissingExtraError: scikit-learn is not installed.
    """
    random = np.random.default_rng(seed)
    chosen = np.sort(random.permutation(len(names))[:MOST_ROWS])
    columns = {name: values[chosen] for name, values in columns.items()}
    groups, place = np.unique(names[chosen], return_inverse=True)
    fold = random.integers(0, _FOLDS, len(chosen))
    metrics = {
        name: _auc(_told_by(_binned(values), place, fold, len(groups)), place) for name, values in columns.items()
    }
    together = {"": _auc(_recovered(columns, place, fold, len(groups), seed), place)} if columns else {}
    found = intervals(metrics | together, len(chosen), seed=seed, resamples=resamples)
    recovered = found.pop("", None)
    ranked = sorted(found.items(), key=lambda each: -each[1]["value"])
    return {"proxies": [{"input": name, "auc": auc} for name, auc in ranked], "recovered": recovered}


def _auc(scores: Array, place: Array) -> Weighted:
    """Return the mean AUC of each group against the others; ``scores`` has shape (rows, groups)."""
    width = scores.shape[1]
    each = [weighted_auc((place == k).astype(np.float64), scores[:, k]) for k in range(1 if width == 2 else 0, width)]
    return lambda weights: float(np.mean([auc(weights) for auc in each]))


def _binned(values: Array) -> Array:
    """Return a number for each row's value, or for its range among twentieths; missing is a range of its own."""
    if values.dtype.kind in "fiu":
        numbers = values.astype(np.float64)
        known = numbers[~np.isnan(numbers)]
        edges = np.unique(np.quantile(known, np.linspace(0, 1, _BINS + 1)[1:-1])) if len(known) else np.zeros(0)
        return np.where(np.isnan(numbers), len(edges) + 1, np.searchsorted(edges, numbers, side="right"))
    return np.asarray(np.unique(as_text(values), return_inverse=True)[1])


def _told_by(bins: Array, place: Array, fold: Array, groups: int) -> Array:
    """Return the share of each group in a row's bin among the rows of other folds, shape (rows, groups)."""
    scores = np.empty((len(bins), groups))
    width = int(bins.max()) + 1
    for k in range(_FOLDS):
        own = fold == k
        counts = np.bincount(bins[~own] * groups + place[~own], minlength=width * groups).reshape(width, groups)
        prior = np.bincount(place[~own], minlength=groups) / max(1, int((~own).sum()))
        scores[own] = ((counts + prior) / (counts.sum(axis=1, keepdims=True) + 1))[bins[own]]
    return scores


def _recovered(columns: Mapping[str, Array], place: Array, fold: Array, groups: int, seed: int) -> Array:
    try:
        from sklearn.ensemble import HistGradientBoostingClassifier
        from threadpoolctl import threadpool_limits
    except ImportError as error:
        raise MissingExtraError("scikit-learn", "sklearn", "telling how well inputs recover an attribute") from error
    table = encoded(columns)
    scores = np.zeros((len(place), groups))
    for k in range(_FOLDS):
        own = fold == k
        model = HistGradientBoostingClassifier(max_iter=50, max_leaf_nodes=15, random_state=seed)
        # One thread: on a busy machine the many wait for each other longer than they compute.
        with threadpool_limits(1):
            model.fit(table[~own], place[~own])
            scores[np.ix_(own, model.classes_)] = model.predict_proba(table[own])
    return scores

"""Metrics of a ranking: what a score puts on top for each query, weighted by how often the query is drawn."""

from __future__ import annotations

import numpy as np

from .metrics import Array, Weighted

DEPTH = 10
"""How far down a ranking is looked at."""


def ranking_metrics(relevance: Array, score: Array, query: Array) -> dict[str, Weighted]:
    """Return ``ndcg_10``, ``mean_reciprocal_rank``, ``mean_average_precision``, ``precision_10``, ``recall_10``.

    ``relevance`` is 0 for what is not relevant and grows with how much it is; ``query`` numbers the query of each row
    from 0 on; all of shape (rows,). Rows of equal score rank in the order given. Each metric is a mean over the
    queries that have anything relevant. A query's weight is the mean of its rows'.

    Gains are linear, discounted by log2(rank + 1): Järvelin and Kekäläinen (2002), ACM TOIS 20, 422.
    """
    y = relevance.astype(np.float64)
    order = np.lexsort((np.arange(len(y)), -score.astype(np.float64), query))
    sizes = np.bincount(query)
    parts = np.split(y[order], np.cumsum(sizes)[:-1])
    table = np.array([_of_query(part) for part in parts])
    useful = np.array([bool(part.any()) for part in parts])
    names = ("ndcg_10", "mean_reciprocal_rank", "mean_average_precision", "precision_10", "recall_10")

    def mean(place: int) -> Weighted:
        def metric(weights: Array) -> float:
            drawn = np.bincount(query, weights, minlength=len(sizes)) / np.maximum(sizes, 1) * useful
            total = drawn.sum()
            return float(drawn @ table[:, place] / total) if total > 0 else float("nan")

        return metric

    return {name: mean(place) for place, name in enumerate(names)}


def _of_query(relevance: Array) -> tuple[float, float, float, float, float]:
    """Return the metrics of one query's relevances, in the order of the ranking; zeros where nothing is relevant."""
    hit = relevance > 0
    found = int(hit.sum())
    if not found:
        return (0.0, 0.0, 0.0, 0.0, 0.0)
    ranks = np.arange(1, len(relevance) + 1)
    discount = 1 / np.log2(ranks[:DEPTH] + 1)
    best = np.sort(relevance)[::-1][:DEPTH] @ discount
    top = int(hit[:DEPTH].sum())
    return (
        float(relevance[:DEPTH] @ discount / best),
        float(1 / ranks[hit][0]),
        float((np.cumsum(hit)[hit] / ranks[hit]).mean()),
        top / min(DEPTH, len(relevance)),
        top / found,
    )

"""What inputs are worth to a model: permutation importance, and Shapley values of single answers.

Both ask the model itself, as it is served, and need nothing but its answers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from .bootstrap import draws, ends
from .data import EvaluationSet
from .metrics import HIGHER_IS_BETTER, Array, Weighted

Columns = Mapping[str, Array]
Measured = Callable[[EvaluationSet], Weighted]
"""Rows to a metric of their weights: the model is asked anew."""


def permutation_importance(
    names: Sequence[str],
    rows: EvaluationSet,
    metric: str,
    measured: Measured,
    *,
    seed: int,
    repeats: int,
    resamples: int,
) -> list[dict[str, Any]]:
    """Return ``[{input, drop: interval}]``: how far the metric falls when an input's values are shuffled.

    The drop is the mean over ``repeats`` shuffles, its interval that of the mean over samples of the rows: each sample
    is measured with and without each shuffle. Inputs that say the same share their worth, so each alone may show none.

    Source: Breiman (2001), Machine Learning 45, 5, section 10; Fisher, Rudin and Dominici (2019), JMLR 20, 177.
    """
    random = np.random.default_rng(seed)
    sign = 1.0 if HIGHER_IS_BETTER.get(metric, True) else -1.0
    before, whole = measured(rows), np.ones(rows.rows)
    samples = list(draws(rows.rows, resamples, seed, rows.groups))
    base = np.array([before(each) for each in [whole, *samples]])
    found = []
    for name in names:
        drops = np.zeros(len(base))
        for _ in range(repeats):
            order = random.permutation(rows.rows)
            shuffled = EvaluationSet(
                {**rows.columns, name: rows.columns[name][order]}, rows.truth, target=rows.target, group=rows.group
            )
            after = measured(shuffled)
            drops += sign * (base - np.array([after(each) for each in [whole, *samples]])) / repeats
        found.append({"input": name, "drop": {"value": float(drops[0]), **ends(drops[1:])}})
    return sorted(found, key=lambda each: -each["drop"]["value"])


def shapley_values(
    ask: Callable[[Columns], Array],
    names: Sequence[str],
    explained: Columns,
    background: Columns,
    *,
    seed: int,
    orders: int = 32,
) -> tuple[Array, Array]:
    """Return each input's part in each answer, shape (rows, inputs), and the answer it starts from, shape (rows,).

    The parts of a row add up to its answer less the mean answer over the ``background`` rows it was mixed with. Inputs
    are taken from the row one by one in ``orders`` random orders and in each order reversed, the rest from a background
    row; a part is the mean of what the answer changed by. ``ask`` gives one number per row.

    Source: Štrumbelj and Kononenko (2014), Knowl. Inf. Syst. 41, 647; reversed orders: Mitchell et al. (2022), JMLR
    23, 43.
    """
    random = np.random.default_rng(seed)
    rows, width = len(explained[names[0]]), len(names)
    size = len(background[names[0]])
    parts, start = np.zeros((rows, width)), np.zeros(rows)
    mixing = random.permutation(size)
    for round_ in range(orders):
        forward = random.permutation(width)
        mixed_with = mixing[(np.arange(rows) + round_ * max(1, size // orders)) % size]  # each row meets many others
        for order in (forward, forward[::-1]):
            now = {name: background[name][mixed_with].copy() for name in names}
            steps = [dict(now)]
            for place in order:
                now = {**now, names[place]: explained[names[place]]}
                steps.append(dict(now))
            stacked = {name: np.concatenate([each[name] for each in steps]) for name in names}
            answers = ask(stacked).astype(np.float64).reshape(width + 1, rows)
            start += answers[0] / (2 * orders)
            for step, place in enumerate(order):
                parts[:, place] += (answers[step + 1] - answers[step]) / (2 * orders)
    return parts, start

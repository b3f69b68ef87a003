"""Whether answers mean what they say: bins of equal size, the error over them, and a straight line through them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from headwater.errors import InvalidInputError
from headwater.model import Contract

from .bootstrap import draws, ends, intervals
from .data import EvaluationSet, truth_as_boolean
from .measuring import as_label
from .metrics import Array, Weighted
from .tasks import positive_class, task_of

BINS = 10
_PERFECT = 400
_NORMAL_975 = 1.959963984540054
_LINE_ROWS = 20_000


def said_and_came(contract: Contract, rows: EvaluationSet, answers: Mapping[str, Array]) -> tuple[Array, Array]:
    """Return what was said and what came, both of shape (rows,), float.

    Two classes: the probability, and 1 where it was the class. More: the probability of the likeliest class, and 1
    where it was right. Numbers: the answer and the truth.

    Raises:
        InvalidInputError: the answers give neither probabilities nor numbers.
    """
    task = task_of(contract)
    if task == "binary":
        truth = truth_as_boolean(rows.truth, positive_class(contract))
        return answers["probability"].astype(np.float64), truth.astype(np.float64)
    if task == "regression":
        return answers["value"].astype(np.float64), rows.truth.astype(np.float64)
    chances = [values for name, values in answers.items() if name.startswith("probability_")]
    if task == "classes" and chances:
        right = as_label(rows.truth) == as_label(answers["label"])
        return np.max(chances, axis=0).astype(np.float64), right.astype(np.float64)
    raise InvalidInputError(
        f"calibration needs probabilities or numbers, and the answers of this {task} model are none."
    )


def reliability(said: Array, came: Array, *, chance: bool, seed: int, resamples: int) -> dict[str, Any]:
    """Return ``bins``, ``error``, ``limit``, ``calibrated``, ``slope`` and ``intercept`` as ``kinds`` describes them.

    ``chance`` says that ``said`` are probabilities: the line then runs through their log odds (Cox 1958), else through
    the numbers. The limit comes from samples in which outcomes are drawn as they were said; for numbers, residuals
    around what was said are drawn.
    """
    place = _bins_of(said)
    error = intervals({"error": _error(said, came, place)}, len(said), seed=seed, resamples=resamples)["error"]
    limit = _limit(said, came, place, chance, seed)
    slope, intercept = _line(said, came, chance, seed, resamples)
    return {
        "bins": _shown(said, came, place, chance),
        "error": error,
        "limit": limit,
        "calibrated": bool(error["value"] <= limit),
        "slope": slope,
        "intercept": intercept,
    }


def _bins_of(said: Array) -> Array:
    """Return the bin of each row: ten with as many rows each, fewer where many answers are equal."""
    edges = np.unique(np.quantile(said, np.linspace(0, 1, BINS + 1)[1:-1]))
    return np.asarray(np.unique(np.searchsorted(edges, said, side="right"), return_inverse=True)[1])


def _error(said: Array, came: Array, place: Array) -> Weighted:
    gap, bins = came - said, int(place.max()) + 1

    def error(weights: Array) -> float:
        return float(np.abs(np.bincount(place, weights * gap, minlength=bins)).sum() / weights.sum())

    return error


def _limit(said: Array, came: Array, place: Array, chance: bool, seed: int) -> float:
    random = np.random.default_rng(seed)
    bins = int(place.max()) + 1
    residuals = came - said - (came - said).mean()
    found = np.empty(_PERFECT)
    for k in range(_PERFECT):
        gap = (random.random(len(said)) < said) - said if chance else random.choice(residuals, len(said))
        found[k] = np.abs(np.bincount(place, gap, minlength=bins)).sum() / len(said)
    return float(np.quantile(found, 0.95))


def _shown(said: Array, came: Array, place: Array, chance: bool) -> list[dict[str, float]]:
    found = []
    for k in range(int(place.max()) + 1):
        own = came[place == k]
        low, high = _wilson(float(own.mean()), len(own)) if chance else _mean_interval(own)
        found.append(
            {
                "rows": len(own),
                "predicted": float(said[place == k].mean()),
                "observed": float(own.mean()),
                "low": low,
                "high": high,
            }
        )
    return found


def _wilson(share: float, rows: int) -> tuple[float, float]:
    """Return the interval of a share. Source: Wilson (1927), J. Am. Stat. Assoc. 22, 209."""
    z = _NORMAL_975
    middle = (share + z * z / (2 * rows)) / (1 + z * z / rows)
    half = z / (1 + z * z / rows) * float(np.sqrt(share * (1 - share) / rows + z * z / (4 * rows * rows)))
    return middle - half, middle + half


def _mean_interval(values: Array) -> tuple[float, float]:
    half = _NORMAL_975 * float(values.std(ddof=1)) / len(values) ** 0.5 if len(values) > 1 else float("inf")
    return float(values.mean()) - half, float(values.mean()) + half


def _line(
    said: Array, came: Array, chance: bool, seed: int, resamples: int
) -> tuple[dict[str, float], dict[str, float]]:
    """Return slope and intercept with their intervals, from at most 20,000 rows."""
    chosen = np.random.default_rng(seed).permutation(len(said))[:_LINE_ROWS]
    x, y = said[chosen], came[chosen]
    if chance:
        inside = np.clip(x, 1e-6, 1 - 1e-6)
        x = np.log(inside) - np.log1p(-inside)
    fit = _logistic if chance else _straight
    whole = fit(x, y, np.ones(len(x)))
    drawn = np.array([fit(x, y, weights) for weights in draws(len(x), min(resamples, 200), seed)])
    slope, intercept = ({"value": whole[k], **ends(drawn[:, k])} for k in (1, 0))
    return slope, intercept


def _straight(x: Array, y: Array, weights: Array) -> tuple[float, float]:
    total = weights.sum()
    mean_x, mean_y = weights @ x / total, weights @ y / total
    spread = weights @ (x - mean_x) ** 2
    slope = float(weights @ ((x - mean_x) * (y - mean_y)) / spread) if spread > 0 else float("nan")
    return float(mean_y - slope * mean_x), slope


def _logistic(x: Array, y: Array, weights: Array) -> tuple[float, float]:
    """Return intercept and slope of a logistic line by Newton's method; NaN where the outcomes are all alike."""
    if weights @ y in (0.0, weights.sum()) or np.ptp(x) == 0:
        return float("nan"), float("nan")
    design = np.column_stack([np.ones(len(x)), x])
    line = np.array([0.0, 1.0])
    for _ in range(25):
        p = 1 / (1 + np.exp(-np.clip(design @ line, -35, 35)))
        curvature = (design * (weights * p * (1 - p))[:, None]).T @ design + 1e-9 * np.eye(2)
        step = np.linalg.solve(curvature, design.T @ (weights * (y - p)))
        line = line + np.clip(step, -5, 5)
        if np.abs(step).max() < 1e-8:
            break
    return float(line[0]), float(line[1])

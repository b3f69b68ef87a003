"""How a model treats groups of rows: rates per group with intervals, and the two groups furthest apart.

The rates are those of fairlearn, which the tests hold them against; they are computed here as sums of weighted rows,
so that a thousand bootstrap samples cost a thousand products of matrices.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from headwater.errors import InvalidInputError
from headwater.model import Contract

from .bootstrap import draws, ends
from .data import EvaluationSet, as_text, truth_as_boolean
from .measuring import as_label
from .metrics import Array
from .slice_search import conditions_of
from .tasks import positive_class, task_of
from .values import LEVEL

_MOST_VALUES = 10
"""A column of numbers with more values than this is told apart by ranges."""


@dataclass(frozen=True, slots=True)
class Rate:
    """A rate of each group: the sum of ``part`` over the sum of ``whole``, both of shape (rows,)."""

    name: str
    part: Array
    whole: Array


def group_names(values: Array) -> Array:
    """Return the group of each row as text: its value, or its range among fifths where there are many numbers."""
    if values.dtype.kind not in "fiu" or len(np.unique(values[~np.isnan(values.astype(float))])) <= _MOST_VALUES:
        return as_text(values)
    names = np.full(len(values), "missing", object)
    for condition in conditions_of({"": values}):
        text = condition.text
        names[condition.mask] = text[2:].replace(" and <", " to ") if " and <" in text else text.lstrip("=")
    return names.astype(str)


def rates_of(contract: Contract, rows: EvaluationSet, answers: Mapping[str, Array], threshold: float) -> list[Rate]:
    """Return the rates that groups are compared by, those of the contract's task.

    Two classes: selection_rate, true_positive_rate, false_positive_rate, precision, accuracy, base_rate and
    mean_error (probability less truth). Labels: accuracy. Numbers: mean_error (value less truth), mae, base_rate (the
    mean truth).

    Raises:
        InvalidInputError: the task has no such rates.
    """
    task = task_of(contract)
    one = np.ones(rows.rows)
    if task == "binary":
        y = truth_as_boolean(rows.truth, positive_class(contract)).astype(np.float64)
        p = answers["probability"].astype(np.float64)
        said = (p >= threshold).astype(np.float64)
        return [
            Rate("selection_rate", said, one),
            Rate("true_positive_rate", said * y, y),
            Rate("false_positive_rate", said * (1 - y), 1 - y),
            Rate("precision", said * y, said),
            Rate("accuracy", (said == y).astype(np.float64), one),
            Rate("mean_error", p - y, one),
            Rate("base_rate", y, one),
        ]
    if task == "classes":
        return [Rate("accuracy", (as_label(rows.truth) == as_label(answers["label"])).astype(np.float64), one)]
    if task == "regression":
        y, error = rows.truth.astype(np.float64), answers["value"].astype(np.float64) - rows.truth.astype(np.float64)
        return [Rate("mean_error", error, one), Rate("mae", np.abs(error), one), Rate("base_rate", y, one)]
    raise InvalidInputError(f"groups are not compared for {task}: it has no rates. Declare slices instead (--slice).")


def compare_groups(
    rates: Sequence[Rate], names: Array, *, seed: int, resamples: int, least_rows: int = 30, level: float = LEVEL
) -> dict[str, Any]:
    """Return ``groups``, ``left_out``, ``differences`` and ``ratios`` as ``kinds`` describes them.

    ``names`` holds the group of each row, shape (rows,). A difference is that of the group whose rate is highest and
    the one whose rate is lowest on all rows, and so are its samples: with more than two groups its low end may
    therefore lie above 0 by choice alone.

    Raises:
        InvalidInputError: fewer than two groups have ``least_rows`` rows.
    """
    found, counts = np.unique(names, return_counts=True)
    order = np.lexsort((found, -counts))
    found, counts = found[order], counts[order]
    kept = [str(name) for name, count in zip(found, counts, strict=True) if count >= least_rows]
    if len(kept) < 2:
        said = ", ".join(f"{name} ({count:,})" for name, count in zip(found, counts, strict=True))
        raise InvalidInputError(
            f"fairness compares groups of at least {least_rows} rows, and there are fewer than two: {said or 'none'}."
        )
    masks = [names == name for name in kept]
    whole = _table(rates, masks, np.ones(len(names)))
    samples = np.array([_table(rates, masks, weights) for weights in draws(len(names), resamples, seed)])
    differences, ratios = {}, {}
    for place, rate in enumerate(rates):
        values = whole[:, place]
        if np.isnan(values).all():
            continue
        high, low = int(np.nanargmax(values)), int(np.nanargmin(values))
        between = {"highest": kept[high], "lowest": kept[low]}
        drawn = samples[:, high, place] - samples[:, low, place]
        differences[rate.name] = {"value": values[high] - values[low], **ends(drawn, level), **between}
        if rate.name == "selection_rate":
            ratios[rate.name] = {
                "value": _over(values[low], values[high]),
                **ends(_over(samples[:, low, place], samples[:, high, place]), level),
                **between,
            }
    groups = [
        {
            "group": name,
            "rows": int(masks[k].sum()),
            "metrics": {
                rate.name: {"value": whole[k, place], **ends(samples[:, k, place], level)}
                for place, rate in enumerate(rates)
            },
        }
        for k, name in enumerate(kept)
    ]
    small = [
        {"group": str(name), "rows": int(count)}
        for name, count in zip(found, counts, strict=True)
        if count < least_rows
    ]
    return {"groups": groups, "left_out": small, "differences": differences, "ratios": ratios}


def _table(rates: Sequence[Rate], masks: Sequence[Array], weights: Array) -> Array:
    """Return each group's rates, shape (groups, rates); NaN where the group has none of the whole."""
    found = np.empty((len(masks), len(rates)))
    for k, mask in enumerate(masks):
        drawn = weights[mask]
        for place, rate in enumerate(rates):
            whole = drawn @ rate.whole[mask]
            found[k, place] = drawn @ rate.part[mask] / whole if whole > 0 else np.nan
    return found


def _over(part: Any, whole: Any) -> Any:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(part) / np.asarray(whole)

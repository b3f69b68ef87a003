"""What answers are worth against the truth: the body of an evaluation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from headwater.model import Contract

from .bootstrap import intervals
from .data import EvaluationSet, truth_as_boolean
from .metrics import Array, Weighted, binary_metrics, calibration_bins, class_metrics, regression_metrics
from .slices import find_slices
from .tasks import positive_class, task_of
from .values import LEVEL, RESAMPLES

_SLICE_RESAMPLES = 200


def measure(
    contract: Contract,
    rows: EvaluationSet,
    answers: Mapping[str, Array],
    slices: Sequence[str] = (),
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> dict[str, Any]:
    """Return the body of an evaluation: what answers are worth against the truth."""
    task = task_of(contract)
    body: dict[str, Any] = {
        "task": task,
        "rows": rows.rows,
        "rows_digest": rows.digest(contract),
        "window": rows.window,
        "level": LEVEL,
        "resamples": resamples,
        "seed": seed,
        "metrics": intervals(task_metrics(contract, rows.truth, answers), rows.rows, seed=seed, resamples=resamples),
        "slices": _slices(contract, rows, answers, slices, seed),
    }
    if task == "binary":
        truth = truth_as_boolean(rows.truth, positive_class(contract))
        body["positive"] = positive_class(contract)
        body["base_rate"] = float(truth.mean())
        body["calibration"] = calibration_bins(truth, answers["probability"])
    return body


def task_metrics(contract: Contract, truth: Array, answers: Mapping[str, Array]) -> dict[str, Weighted]:
    """Return the metrics of a contract's task, as functions of row weights."""
    task = task_of(contract)
    if task == "binary":
        return binary_metrics(truth_as_boolean(truth, positive_class(contract)), answers["probability"])
    if task == "classes":
        return class_metrics(truth, answers["label"])
    return regression_metrics(truth, answers["value"])


def _slices(
    contract: Contract, rows: EvaluationSet, answers: Mapping[str, Array], declared: Sequence[str], seed: int
) -> list[dict[str, Any]]:
    found = []
    for name, mask in find_slices(tuple(declared), rows.columns):
        count = int(np.count_nonzero(mask))
        entry: dict[str, Any] = {"slice": name, "rows": count, "metrics": {}}
        if count:
            part = {output: values[mask] for output, values in answers.items()}
            metrics = task_metrics(contract, rows.truth[mask], part)
            entry["metrics"] = intervals(metrics, count, seed=seed, resamples=_SLICE_RESAMPLES)
        found.append(entry)
    return found

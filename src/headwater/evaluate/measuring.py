"""What answers are worth against the truth: the body of an evaluation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from headwater.errors import InvalidInputError
from headwater.model import Contract

from .bootstrap import intervals
from .data import EvaluationSet, truth_as_boolean
from .metrics import Array, Weighted, binary_metrics, calibration_bins, class_metrics, log_losses, regression_metrics
from .slices import find_slices
from .tasks import TASKS, positive_class, task_of
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
    metrics = task_metrics(contract, rows, answers)
    body: dict[str, Any] = {
        "task": task,
        **about(contract, rows, seed, resamples),
        "group": rows.group,
        "metrics": intervals(metrics, rows.rows, seed=seed, resamples=resamples, groups=rows.groups),
        "slices": _slices(contract, rows, answers, slices, seed),
    }
    if task == "binary":
        truth = truth_as_boolean(rows.truth, positive_class(contract))
        body["positive"] = positive_class(contract)
        body["base_rate"] = float(truth.mean())
        body["calibration"] = calibration_bins(truth, answers["probability"])
    return body


def about(contract: Contract, rows: EvaluationSet, seed: int, resamples: int = RESAMPLES) -> dict[str, Any]:
    """Return the fields that every measurement on rows has (``kinds``)."""
    return {
        "target": rows.target,
        "rows": rows.rows,
        "rows_digest": rows.digest(contract),
        "window": rows.window,
        "level": LEVEL,
        "resamples": resamples,
        "seed": seed,
    }


def task_metrics(contract: Contract, rows: EvaluationSet, answers: Mapping[str, Array]) -> dict[str, Weighted]:
    """Return the metrics of a contract's task, as functions of row weights.

    Raises:
        InvalidInputError: a ranking's rows do not say which query they belong to.
        MissingExtraError: text is measured and rapidfuzz is not installed.
    """
    task = task_of(contract)
    if task == "binary":
        return binary_metrics(truth_as_boolean(rows.truth, positive_class(contract)), answers["probability"])
    if task == "classes":
        return class_metrics(rows.truth, answers["label"], _given_to_truth(rows.truth, answers))
    if task == "text":
        from .recognition_metrics import recognition_metrics

        return recognition_metrics(rows.truth, answers["text"])
    if task == "detection":
        from .detection_metrics import detection_metrics

        return detection_metrics(rows.truth, answers["boxes"])
    if task == "ranking":
        from .ranking_metrics import ranking_metrics

        return ranking_metrics(rows.truth, answers["score"], _queries(rows))
    return regression_metrics(rows.truth, answers["value"])


def one_metric(contract: Contract, rows: EvaluationSet, answers: Mapping[str, Array], metric: str) -> Weighted:
    """Return one metric of the task, as a function of row weights.

    Raises:
        InvalidInputError: the task has no such metric; the message lists those it has.
    """
    offered = task_metrics(contract, rows, answers)
    if metric not in offered:
        raise InvalidInputError(f"'{metric}' is not measured for this task; there are {', '.join(offered)}.")
    return offered[metric]


def row_losses(contract: Contract, rows: EvaluationSet, answers: Mapping[str, Array]) -> tuple[str, Array]:
    """Return what each row costs, shape (rows,), and what that is called: log_loss, error, absolute_error or cer.

    Raises:
        InvalidInputError: the task's metric is no mean over rows (detection, ranking).
    """
    task = task_of(contract)
    if task == "binary":
        truth = truth_as_boolean(rows.truth, positive_class(contract)).astype(np.float64)
        return "log_loss", log_losses(truth, answers["probability"])
    if task == "classes":
        return "error", 1.0 - (as_label(rows.truth) == as_label(answers["label"]))
    if task == "regression":
        return "absolute_error", np.abs(answers["value"].astype(np.float64) - rows.truth.astype(np.float64))
    if task == "text":
        from .recognition_metrics import character_rates

        return "cer", character_rates(rows.truth, answers["text"])
    raise InvalidInputError(
        f"the metrics of {task} are no means over rows, so a row has no loss of its own. Declare slices instead: "
        "hw model evaluate ... --slice COLUMN."
    )


def as_label(values: Array) -> Array:
    """Return labels so that 1, 1.0 and True are equal; shape as given."""
    return values.astype(np.float64) if values.dtype.kind in "biuf" else values.astype(str)


def answers_of(version: Any, loaded: Any, rows: EvaluationSet) -> dict[str, Array]:
    """Return a loaded version's answers to the rows.

    Raises:
        InvalidInputError: it answered with numbers that are not finite, which no metric can judge; says how many.
    """
    answers: dict[str, Array] = loaded.predict_columns(rows.columns)
    name = TASKS[task_of(version.contract)]
    values = answers[name]
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        broken = np.flatnonzero(~np.isfinite(values))
        raise InvalidInputError(
            f"{version.label} answered {len(broken):,} of {rows.rows:,} rows with a '{name}' that is not finite, first "
            f"row {int(broken[0])}: such answers cannot be measured. Leave such rows out with where, or mend the model."
        )
    return answers


def _queries(rows: EvaluationSet) -> Array:
    if rows.groups is None:
        raise InvalidInputError(
            "a ranking is measured query by query: name the column that tells the query of each row with group "
            "(--group COLUMN)."
        )
    return rows.groups


def _given_to_truth(truth: Array, answers: Mapping[str, Array]) -> Array | None:
    """Return the probability that was given to each row's true label, None where the model gives none."""
    named = {name.removeprefix("probability_"): each for name, each in answers.items() if name != "probability"}
    named = {label: each for label, each in named.items() if f"probability_{label}" in answers}
    if not named:
        return None
    chance = np.zeros(len(truth))
    written = truth.astype(str)
    for label, each in named.items():
        mask = written == label
        chance[mask] = each[mask]
    return chance


def _slices(
    contract: Contract, rows: EvaluationSet, answers: Mapping[str, Array], declared: Sequence[str], seed: int
) -> list[dict[str, Any]]:
    found = []
    for name, mask in find_slices(tuple(declared), rows.columns):
        count = int(np.count_nonzero(mask))
        entry: dict[str, Any] = {"slice": name, "rows": count, "metrics": {}}
        if count:
            part = rows.part(mask)
            metrics = task_metrics(contract, part, {output: values[mask] for output, values in answers.items()})
            entry["metrics"] = intervals(metrics, count, seed=seed, resamples=_SLICE_RESAMPLES, groups=part.groups)
        found.append(entry)
    return found

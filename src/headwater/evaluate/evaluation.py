"""Measuring one version: metrics with intervals, on all rows and on declared slices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from headwater.errors import InvalidInputError
from headwater.model import Contract, get_model_version, load_version
from headwater.model.columns import as_columns
from headwater.operation import operation
from headwater.project import Project

from .bootstrap import LEVEL, RESAMPLES, intervals
from .data import EvaluationSet, evaluation_set, truth_as_boolean
from .evidence import record_evidence
from .metrics import Array, Weighted, binary_metrics, calibration_bins, class_metrics, regression_metrics
from .slices import find_slices
from .values import Evidence

_SLICE_RESAMPLES = 200


def evaluate_model(
    project: Project,
    model: str,
    data: Any,
    target: str,
    *,
    slices: Sequence[str] = (),
    where: str | None = None,
    data_refs: Sequence[str] = (),
    time: str | None = None,
    window: str = "",
    run: str | None = None,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Evidence:
    """Measure a version against the truth and record it as evidence of kind ``evaluation``.

    ``data`` is a dataset ref (evaluated where the project is) or a frame in memory, whose origin ``data_refs`` names.
    The body: ``task`` (binary, classes, regression), ``rows``, ``rows_digest``, ``window``, ``metrics`` (name to value,
    low, high), ``slices`` (each with rows and metrics), ``calibration``, ``level``, ``resamples``, ``seed``.

    Raises:
        InvalidInputError: a column is missing, or there is no row with truth.
        NotFoundError: no such version or data.
    """
    if isinstance(data, str):
        return evaluate_dataset(
            project, model, data, target, slices=slices, where=where, time=time, window=window, run=run, seed=seed,
            resamples=resamples,
        )  # fmt: skip
    rows = evaluation_set(project, data, target, refs=tuple(data_refs), time=time, window=window)
    return _evaluate(project, model, rows, target, slices, run, seed, resamples)


@operation("evaluate.model", needs="model:write")
def evaluate_dataset(
    project: Project,
    model: str,
    data: str,
    target: str,
    *,
    slices: Sequence[str] = (),
    where: str | None = None,
    time: str | None = None,
    window: str = "",
    run: str | None = None,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Evidence:
    """Measure a version on a dataset of the lake and record the evidence; see ``evaluate_model``."""
    rows = evaluation_set(project, data, target, where=where, time=time, window=window)
    return _evaluate(project, model, rows, target, slices, run, seed, resamples)


def _evaluate(
    project: Project,
    model: str,
    rows: EvaluationSet,
    target: str,
    slices: Sequence[str],
    run: str | None,
    seed: int,
    resamples: int,
) -> Evidence:
    version = get_model_version(project, model)
    loaded = load_version(project, version)
    body = measure(version.contract, rows, loaded.predict_columns(rows.columns), slices, seed, resamples)
    body = {"target": target, "model": version.label, "flavour": version.flavour, **body}
    return record_evidence(project, version.ref, "evaluation", body, data=rows.refs, run=run)


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


def task_of(contract: Contract) -> str:
    """Return what a contract's outputs are measured as: ``binary``, ``classes`` or ``regression``.

    Raises:
        InvalidInputError: it has neither probability, label nor value.
    """
    names = {field.name for field in contract.outputs}
    for name, task in (("probability", "binary"), ("label", "classes"), ("value", "regression")):
        if name in names:
            return task
    raise InvalidInputError(
        f"the outputs {', '.join(sorted(names))} have none of probability, label and value, so it is not known what "
        "to measure. Record your own measurement with record_evidence."
    )


def positive_class(contract: Contract) -> Any:
    """Return the class that ``probability`` is of: the last that the label allows, True without a list."""
    for field in contract.outputs:
        if field.name == "label" and field.allowed:
            return field.allowed[-1]
    return True


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
    for name, mask in find_slices(tuple(declared), as_columns(rows.columns)):
        count = int(np.count_nonzero(mask))
        entry: dict[str, Any] = {"slice": name, "rows": count, "metrics": {}}
        if count:
            part = {output: values[mask] for output, values in answers.items()}
            metrics = task_metrics(contract, rows.truth[mask], part)
            entry["metrics"] = intervals(metrics, count, seed=seed, resamples=_SLICE_RESAMPLES)
        found.append(entry)
    return found

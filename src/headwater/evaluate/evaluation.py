"""Measuring one version: metrics with intervals, on all rows and on declared slices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from headwater.model import get_model_version, load_version
from headwater.operation import operation
from headwater.project import Project

from .evidence import record_evidence
from .values import RESAMPLES, Evidence

if TYPE_CHECKING:
    from .data import EvaluationSet


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
    from .data import evaluation_set

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
    from .data import evaluation_set

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
    from .measuring import measure

    version = get_model_version(project, model)
    loaded = load_version(project, version)
    body = measure(version.contract, rows, loaded.predict_columns(rows.columns), slices, seed, resamples)
    body = {"target": target, "model": version.label, "flavour": version.flavour, **body}
    return record_evidence(project, version.ref, "evaluation", body, data=rows.refs, run=run)

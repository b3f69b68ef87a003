"""Comparing two versions on the same rows: the difference with its paired interval."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from headwater.operation import operation
from headwater.project import Project

from .values import RESAMPLES, Evidence


def compare_models(
    project: Project,
    champion: str,
    challenger: str,
    data: Any,
    target: str,
    *,
    metric: str = "",
    where: str | None = None,
    data_refs: Sequence[str] = (),
    time: str | None = None,
    window: str = "",
    run: str | None = None,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Evidence:
    """Compare two versions on the same rows and record it as evidence of kind ``comparison`` about the challenger.

    ``data`` is a dataset ref or a frame, as in ``evaluate_model``. The body: ``champion``, ``challenger`` (ids),
    ``metric``, ``champion_value``, ``challenger_value``, ``gain`` (value, low, high; positive where the challenger is
    better, whichever way the metric points), ``better`` (low above 0), ``worse`` (high below 0), ``rows``,
    ``rows_digest``, ``window``, ``sentence``.

    Raises:
        InvalidInputError: the two are of different tasks, or the metric is not one of theirs.
    """
    if isinstance(data, str):
        return compare_on_dataset(
            project, champion, challenger, data, target, metric=metric, where=where, time=time, window=window, run=run,
            seed=seed, resamples=resamples,
        )  # fmt: skip
    from .comparing import compare_on_rows
    from .data import evaluation_set

    rows = evaluation_set(project, data, target, refs=tuple(data_refs), time=time, window=window)
    return compare_on_rows(project, champion, challenger, rows, metric, run, seed, resamples)


@operation("evaluate.compare", needs="model:write")
def compare_on_dataset(
    project: Project,
    champion: str,
    challenger: str,
    data: str,
    target: str,
    *,
    metric: str = "",
    where: str | None = None,
    time: str | None = None,
    window: str = "",
    run: str | None = None,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Evidence:
    """Compare two versions on a dataset of the lake and record the evidence; see ``compare_models``."""
    from .comparing import compare_on_rows
    from .data import evaluation_set

    rows = evaluation_set(project, data, target, where=where, time=time, window=window)
    return compare_on_rows(project, champion, challenger, rows, metric, run, seed, resamples)

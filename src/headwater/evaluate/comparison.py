"""Comparing two versions on the same rows: the difference with its paired interval."""

from __future__ import annotations

from collections.abc import Sequence

from headwater.operation import operation
from headwater.project import Project

from .frames import or_frame_of_two
from .values import RESAMPLES, Evidence


@or_frame_of_two
@operation("evaluate.compare", needs="model:write")
def compare_models(
    project: Project,
    champion: str,
    challenger: str,
    data: str,
    target: str,
    *,
    metric: str = "",
    where: str | None = None,
    part: str = "",
    time: str | None = None,
    window: str = "",
    group: str = "",
    data_refs: Sequence[str] = (),
    run: str | None = None,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Evidence:
    """Compare two versions on the same rows and record it as evidence of kind ``comparison`` about the challenger.

    ``data`` and the rest are as in ``evaluate_model``; ``metric`` is by default the task's main one.

    Raises:
        InvalidInputError: the two are of different tasks, or the metric is not one of theirs.
    """
    from .comparing import compare_on_rows
    from .data import evaluation_set

    rows = evaluation_set(
        project, data, target, where=where, part=part, time=time, window=window, group=group, refs=tuple(data_refs)
    )
    return compare_on_rows(project, champion, challenger, rows, metric, run, seed, resamples)

"""Measuring one version: metrics with intervals, on all rows and on declared slices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from headwater.model import get_model_version, load_to_measure
from headwater.operation import operation
from headwater.project import Project

from .evidence import record_evidence
from .frames import or_frame
from .telling import tell_version
from .values import RESAMPLES, Evidence


@or_frame
@operation("evaluate.model", needs="model:write")
def evaluate_model(
    project: Project,
    model: str,
    data: str,
    target: str,
    *,
    slices: Sequence[str] = (),
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
    """Measure a version against the truth and record it as evidence of kind ``evaluation``.

    ``data`` is a dataset ref (evaluated where the project is; ``where`` and ``part`` choose rows and files) or a frame
    in memory, whose origin ``data_refs`` names. ``group`` names the column whose rows are resampled together, for a
    ranking the query. What an API answers is kept as it arrives: made again after it broke off, only rows without an
    answer are asked and paid for.

    Raises:
        InvalidInputError: a column is missing, there is no row with truth, or an answer is not finite.
        NotFoundError: no such version or data.
    """
    from .data import evaluation_set
    from .measuring import answers_of, measure

    version = get_model_version(project, model)
    rows = evaluation_set(
        project, data, target, where=where, part=part, time=time, window=window, group=group, refs=tuple(data_refs)
    )
    loaded = load_to_measure(project, version)
    answers = answers_of(version, loaded, rows)
    body = {
        "model": version.label,
        "flavour": version.flavour,
        **measure(version.contract, rows, answers, slices, seed, resamples),
    }
    if (usage := loaded.usage()) is not None:
        body["asked"] = msgspec.to_builtins(usage)
    body["sentence"] = _sentence(body)
    evidence = record_evidence(project, version.ref, "evaluation", body, data=rows.refs, run=run)
    tell_version(project, version, evidence)
    return evidence


def _sentence(body: dict[str, Any]) -> str:
    from .tasks import MAIN_METRIC

    metric = MAIN_METRIC[str(body["task"])]
    found = body["metrics"][metric]
    where = f" ({body['window']})" if body["window"] else ""
    return (
        f"{metric} {found['value']:.4g}, {body['level']:.0%} interval {found['low']:.4g} to {found['high']:.4g}, "
        f"on {body['rows']:,} rows{where}{_paid(body.get('asked'))}"
    )


def _paid(asked: dict[str, Any] | None) -> str:
    """Return what asking an API took this time; nothing for other models."""
    if asked is None:
        return ""
    cost = f"{asked['cost']:g} {asked['currency']}".strip()
    return f"; {asked['calls']:,} calls cost {cost}, {asked['recorded']:,} answers were there already"

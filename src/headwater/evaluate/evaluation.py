"""Measuring one version: metrics with intervals, on all rows and on declared slices."""

from __future__ import annotations

from collections.abc import Sequence

from headwater.model import get_model_version, load_version
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
    ranking the query.

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
    answers = answers_of(version, load_version(project, version), rows)
    body = {
        "model": version.label,
        "flavour": version.flavour,
        **measure(version.contract, rows, answers, slices, seed, resamples),
    }
    body["sentence"] = _sentence(body)
    evidence = record_evidence(project, version.ref, "evaluation", body, data=rows.refs, run=run)
    tell_version(project, version, evidence)
    return evidence


def _sentence(body: dict[str, object]) -> str:
    from .tasks import MAIN_METRIC

    metric = MAIN_METRIC[str(body["task"])]
    found = body["metrics"][metric]  # type: ignore[index]  # a dict by name
    where = f" ({body['window']})" if body["window"] else ""
    return (
        f"{metric} {found['value']:.4g}, {body['level']:.0%} interval {found['low']:.4g} to {found['high']:.4g}, "
        f"on {body['rows']:,} rows{where}"
    )

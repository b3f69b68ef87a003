"""Measuring whether what a version says comes as often, or is as much, as it says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from headwater.model import get_model_version, load_to_measure
from headwater.operation import operation
from headwater.project import Project

from .evidence import record_evidence
from .frames import or_frame
from .values import RESAMPLES, Evidence


@or_frame
@operation("evaluate.calibration", needs="model:write")
def measure_calibration(
    project: Project,
    model: str,
    data: str,
    target: str,
    *,
    where: str | None = None,
    part: str = "",
    time: str | None = None,
    window: str = "",
    data_refs: Sequence[str] = (),
    run: str | None = None,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Evidence:
    """Measure a version's calibration and record it as evidence of kind ``calibration``.

    It is calibrated where the mean distance of predicted and observed, over ten bins of as many rows each, is no more
    than what a perfectly calibrated model would show on so many rows in 95 of 100 samples.

    Raises:
        InvalidInputError: the answers give neither probabilities nor numbers.
    """
    from .data import evaluation_set
    from .measuring import about, answers_of
    from .reliability import reliability, said_and_came
    from .tasks import task_of

    version = get_model_version(project, model)
    rows = evaluation_set(
        project, data, target, where=where, part=part, time=time, window=window, refs=tuple(data_refs)
    )
    said, came = said_and_came(version.contract, rows, answers_of(version, load_to_measure(project, version), rows))
    task = task_of(version.contract)
    body: dict[str, Any] = {
        "model": version.label,
        **about(version.contract, rows, seed, resamples),
        "task": task,
        **reliability(said, came, chance=task != "regression", seed=seed, resamples=resamples),
    }
    body["sentence"] = _sentence(body)
    return record_evidence(project, version.ref, "calibration", body, data=rows.refs, run=run)


def _sentence(body: dict[str, Any]) -> str:
    verdict = "calibrated" if body["calibrated"] else "not calibrated"
    slope = body["slope"]
    return (
        f"{verdict}: what it says is {body['error']['value']:.3g} off on average over {len(body['bins'])} bins of "
        f"{body['rows']:,} rows, where a calibrated model would stay under {body['limit']:.3g}; slope "
        f"{slope['value']:.3g}, 95 % interval {slope['low']:.3g} to {slope['high']:.3g}"
    )

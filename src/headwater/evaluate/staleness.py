"""The staleness curve: versions of a model scored on data newer than what they were trained on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from headwater.errors import HeadwaterError, InvalidInputError
from headwater.lake import resolve, scan
from headwater.model import ModelVersion, get_model_version, list_model_versions, load_to_measure
from headwater.operation import operation
from headwater.project import Project

from .evidence import record_evidence
from .frames import or_frame
from .values import Evidence

if TYPE_CHECKING:
    from .aging import Dated
    from .data import EvaluationSet
    from .metrics import Weighted

_RESAMPLES = 200


@or_frame
@operation("evaluate.staleness", needs="model:write")
def measure_staleness(
    project: Project,
    model: str,
    data: str,
    target: str,
    *,
    time: str,
    days: float = 30.0,
    metric: str = "",
    versions: int = 10,
    least_rows: int = 30,
    where: str | None = None,
    part: str = "",
    group: str = "",
    data_refs: Sequence[str] = (),
    run: str | None = None,
    seed: int = 0,
    resamples: int = _RESAMPLES,
) -> Evidence:
    """Score a version and those before it on later data, and record it as evidence of kind ``staleness``.

    ``time`` dates the rows of ``data`` and of the data that versions were trained on: the newest time there is up to
    when a version was trained. At most ``versions`` of them are asked, on windows of ``days`` days that began later.
    ``worse_after_days`` is the age from which older versions lose to the freshest on most windows, by the paired
    interval: the time to train again.

    Raises:
        InvalidInputError: no version has dated training data, or no data are newer.
    """
    from .aging import day_of, staleness_points, times_us, windows_of, worse_after
    from .comparing import chosen_metric
    from .data import evaluation_set
    from .measuring import about

    version = get_model_version(project, model)
    rows = evaluation_set(project, data, target, where=where, part=part, time=time, group=group, refs=tuple(data_refs))
    earlier = list_model_versions(project, version.model, limit=versions - 1, before=version.number)
    dated, left_out = _dated(project, [version, *earlier], time)
    chosen = chosen_metric([each.version for each in dated], metric)
    windows = windows_of(rows, times_us(rows.columns[time], time), days, least_rows)
    points, pairs = staleness_points(dated, windows, chosen, _measured(project, chosen), seed=seed, resamples=resamples)
    if not points:
        newest = day_of(min(each.until_us for each in dated))
        raise InvalidInputError(
            f"no window of {days:g} days with at least {least_rows} rows begins after {newest}, when the oldest "
            "version's training data end. Give newer data, or shorter windows."
        )
    body: dict[str, Any] = {
        "model": version.label,
        **about(version.contract, rows, seed, resamples),
        "metric": chosen,
        "time": time,
        "days": days,
        "points": points,
        "pairs": pairs,
        "worse_after_days": worse_after(pairs),
        "oldest_days": max(each["age_days"] for each in points),
        "left_out": left_out,
    }
    body["sentence"] = _sentence(body)
    others = [each.version.ref for each in dated if each.version.id != version.id]
    return record_evidence(project, version.ref, "staleness", body, data=rows.refs, against=others, run=run)


def _dated(project: Project, versions: Sequence[ModelVersion], time: str) -> tuple[list[Dated], list[dict[str, str]]]:
    """Return the versions whose training data say until when, and those that do not, with why."""
    from .aging import Dated

    dated, left_out = [], []
    for version in versions:
        try:
            dated.append(Dated(version, _trained_until(project, version, time)))
        except HeadwaterError as error:
            left_out.append({"label": version.label, "why": error.message})
    if not dated:
        raise InvalidInputError(
            f"no version says until when it was trained: {left_out[0]['why']} Register with trained_on=[DATASET@vN] of "
            f"data that have the column '{time}'."
        )
    return dated, left_out


def _trained_until(project: Project, version: ModelVersion, time: str) -> int:
    from headwater.model.columns import as_columns

    from .aging import times_us

    if not version.trained_on:
        raise InvalidInputError(f"{version.label} names no training data.")
    newest = []
    for each in version.trained_on:
        quoted = '"' + time.replace('"', '""') + '"'
        found = as_columns(scan(project, resolve(project, each).ref, sql=f"SELECT max({quoted}) AS newest FROM data"))
        newest.append(int(times_us(found["newest"], time)[0]))
    return max(newest)


def _measured(project: Project, metric: str) -> Any:
    """Return what measures a version on rows; each version is loaded once."""
    from .measuring import answers_of, one_metric

    loaded: dict[str, Any] = {}

    def measured(version: ModelVersion, rows: EvaluationSet) -> Weighted:
        if version.id not in loaded:
            loaded[version.id] = load_to_measure(project, version)
        return one_metric(version.contract, rows, answers_of(version, loaded[version.id], rows), metric)

    return measured


def _sentence(body: dict[str, Any]) -> str:
    seen = (
        f"{len({each['label'] for each in body['points']})} versions on data up to {body['oldest_days']:g} days newer"
    )
    if body["worse_after_days"] is not None:
        return (
            f"{seen}: from {body['worse_after_days']:g} days on, older versions have a worse {body['metric']} than the "
            "freshest on most windows"
        )
    if not body["pairs"]:
        return f"{seen}: no two versions of different age could be compared on the same rows"
    return f"{seen}: at no age were older versions worse in {body['metric']} than the freshest on most windows"

"""Holding a version against models that cost less: simple ones, the last release, any other version."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from headwater.errors import InvalidInputError
from headwater.model import channels, get_model_version, load_to_measure
from headwater.operation import operation
from headwater.project import Project

from .evidence import record_evidence
from .frames import or_frame
from .values import RESAMPLES, Evidence

if TYPE_CHECKING:
    from headwater.model import ModelVersion

    from .data import EvaluationSet
    from .metrics import Array


@or_frame
@operation("evaluate.baselines", needs="model:write")
def compare_baselines(
    project: Project,
    model: str,
    data: str,
    target: str,
    *,
    metric: str = "",
    train: str = "",
    train_where: str | None = None,
    train_part: str = "",
    channel: str = "production",
    against: Sequence[str] = (),
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
    """Compare a version with baselines on the same rows, and record it as evidence of kind ``baselines``.

    A constant, a linear model and a small tree are trained on ``train`` (a dataset ref; by default the newest data that
    the version was trained on), chosen by ``train_where`` and ``train_part``. The version that ``channel`` points to,
    where it is another, and each of ``against`` (refs of any model of the same task, such as a vendor's) are asked too.

    Raises:
        InvalidInputError: there is nothing to compare with, or the metric is none of the task's.
        MissingExtraError: scikit-learn is not installed.
    """
    import numpy as np

    from .comparing import chosen_metric, gain_of
    from .data import evaluation_set
    from .measuring import about, answers_of, one_metric

    version = get_model_version(project, model)
    rows = evaluation_set(
        project, data, target, where=where, part=part, time=time, window=window, group=group, refs=tuple(data_refs)
    )
    others = _others(project, version, channel, against)
    chosen = chosen_metric([version, *(other for _, _, other in others)], metric)
    source = train or (version.trained_on[-1] if version.trained_on else "")
    trained = evaluation_set(project, source, target, where=train_where, part=train_part) if source else None
    answers = answers_of(version, load_to_measure(project, version), rows)
    own = one_metric(version.contract, rows, answers, chosen)
    found = []
    for name, what, given in _asked(project, version, rows, trained, others, seed):
        theirs = one_metric(version.contract, rows, given, chosen)
        gain = gain_of(chosen, theirs, own, rows, seed, resamples)
        entry = {"name": name, "what": what, "value": theirs(np.ones(rows.rows)), "gain": gain}
        found.append(entry | {"beaten": bool(gain["low"] > 0)})
    if not found:
        raise InvalidInputError(
            f"{version.label} names no training data, {channel} points to no other version, and 'against' is empty: "
            "there is nothing to compare with. Name training data with train, or versions with against."
        )
    refs = [other.ref for _, _, other in others]
    body: dict[str, Any] = {
        "model": version.label,
        **about(version.contract, rows, seed, resamples),
        "metric": chosen,
        "value": own(np.ones(rows.rows)),
        "trained_rows": trained.rows if trained else 0,
        "shared_rows": _shared(version, rows, trained) if trained else 0,
        "baselines": found,
        "beats_all": all(each["beaten"] for each in found),
    }
    body["sentence"] = _sentence(body)
    seen = (*rows.refs, *(trained.refs if trained else ()))
    return record_evidence(project, version.ref, "baselines", body, data=seen, against=refs, run=run)


def _others(
    project: Project, version: ModelVersion, channel: str, against: Sequence[str]
) -> list[tuple[str, str, ModelVersion]]:
    """Return the versions to compare with: name, what it is, the version."""
    head = channels(project, version.model).get(channel) if channel else None
    found = [("last release", f"{head.label}, in {channel}", head)] if head and head.id != version.id else []
    for ref in against:
        other = get_model_version(project, ref)
        found.append((other.label, other.description, other))
    return found


def _asked(
    project: Project,
    version: ModelVersion,
    rows: EvaluationSet,
    trained: EvaluationSet | None,
    others: Sequence[tuple[str, str, ModelVersion]],
    seed: int,
) -> Iterator[tuple[str, str, dict[str, Array]]]:
    from .measuring import answers_of
    from .simple_models import simple_models

    for name, what, ask in simple_models(version.contract, trained, seed=seed) if trained else ():
        yield name, what, ask(rows.columns)
    for name, what, other in others:
        yield name, what, answers_of(other, load_to_measure(project, other), rows)


def _shared(version: ModelVersion, rows: EvaluationSet, trained: EvaluationSet) -> int:
    """Return how many of the measured rows are, input by input and in their truth, among the training rows."""
    from .near import row_keys

    names = [field.name for field in version.contract.inputs]
    known, measured = (row_keys({**{n: side.columns[n] for n in names}, "": side.truth}) for side in (trained, rows))
    seen = set(known)
    return sum(key in seen for key in measured)


def _sentence(body: dict[str, Any]) -> str:
    said = [
        f"{each['name']} {each['value']:.4g} ({'beaten' if each['beaten'] else 'not beaten'}, "
        f"gain {each['gain']['value']:+.4f})"
        for each in body["baselines"]
    ]
    shared = ""
    if body["shared_rows"]:
        shared = f"; {body['shared_rows']:,} of these rows equal training rows"
    where = f" ({body['window']})" if body["window"] else ""
    return f"{body['metric']} {body['value']:.4g} on {body['rows']:,} rows{where} against {', '.join(said)}{shared}"

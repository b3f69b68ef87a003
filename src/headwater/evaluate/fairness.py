"""Measuring how a version treats the groups of a sensitive attribute."""

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
@operation("evaluate.fairness", needs="model:write")
def measure_fairness(
    project: Project,
    model: str,
    data: str,
    target: str,
    *,
    attribute: str,
    threshold: float = 0.5,
    least_rows: int = 30,
    where: str | None = None,
    part: str = "",
    time: str | None = None,
    window: str = "",
    data_refs: Sequence[str] = (),
    run: str | None = None,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Evidence:
    """Measure rates per group of an attribute, and which inputs stand in for it; evidence of kind ``fairness``.

    ``attribute`` is a column of the data, whether the model takes it or not; numbers of more than ten values are taken
    as fifths. With two classes a row is selected from the probability ``threshold`` on. Groups of fewer than
    ``least_rows`` rows are named and left out.

    Raises:
        InvalidInputError: the column is missing, fewer than two groups are large enough, or the task has no rates.
        MissingExtraError: scikit-learn is not installed.
    """
    from headwater.errors import InvalidInputError

    from .data import evaluation_set
    from .disparity import compare_groups, group_names, rates_of
    from .measuring import about, answers_of
    from .proxies import find_proxies
    from .tasks import task_of

    version = get_model_version(project, model)
    rows = evaluation_set(
        project, data, target, where=where, part=part, time=time, window=window, refs=tuple(data_refs)
    )
    if attribute not in rows.columns:
        raise InvalidInputError(f"the data has no column '{attribute}'; it has {', '.join(list(rows.columns)[:30])}.")
    loaded = load_to_measure(project, version)
    answers = answers_of(version, loaded, rows)
    names = group_names(rows.columns[attribute])
    rates = rates_of(version.contract, rows, answers, threshold)
    plain = [field.name for field in version.contract.inputs if field.type in ("float", "int", "bool", "str")]
    used = attribute in {field.name for field in version.contract.inputs}
    body: dict[str, Any] = {
        "model": version.label,
        **about(version.contract, rows, seed, resamples),
        "attribute": attribute,
        "task": task_of(version.contract),
        "used": used,
        "threshold": threshold if task_of(version.contract) == "binary" else None,
        **compare_groups(rates, names, seed=seed, resamples=resamples, least_rows=least_rows),
        "flipped": _flipped(loaded, rows, answers, attribute, threshold, seed) if used else None,
        **find_proxies({name: rows.columns[name] for name in plain if name != attribute}, names, seed=seed),
    }
    body["sentence"] = _sentence(body)
    return record_evidence(project, version.ref, "fairness", body, data=rows.refs, run=run)


def _flipped(loaded: Any, rows: Any, answers: Any, attribute: str, threshold: float, seed: int) -> float | None:
    """Return the share of rows whose label, or selection, changes when the attribute becomes another value."""
    import numpy as np

    from .data import as_text
    from .tasks import task_of

    task = task_of(loaded.contract)
    if task not in ("binary", "classes"):
        return None
    values = rows.columns[attribute]
    _, firsts, place = np.unique(as_text(values), return_index=True, return_inverse=True)
    step = np.random.default_rng(seed).integers(1, max(2, len(firsts)), len(values))
    other = values[firsts[(place + step) % len(firsts)]]
    changed = loaded.predict_columns({**rows.columns, attribute: other})
    if task == "classes":
        return float((changed["label"] != answers["label"]).mean())
    return float(((changed["probability"] >= threshold) != (answers["probability"] >= threshold)).mean())


def _sentence(body: dict[str, Any]) -> str:
    name = "selection_rate" if "selection_rate" in body["differences"] else next(iter(body["differences"]))
    found = body["differences"][name]
    by_group = {each["group"]: each["metrics"][name]["value"] for each in body["groups"]}
    said = (
        f"{name.replace('_', ' ')} {by_group[found['highest']]:.3g} for {body['attribute']} {found['highest']} and "
        f"{by_group[found['lowest']]:.3g} for {found['lowest']}: difference {found['value']:.3g}, 95 % interval "
        f"{found['low']:.3g} to {found['high']:.3g}"
    )
    taken = "the model takes the attribute" if body["used"] else "the model does not take the attribute"
    if body["recovered"] is None:
        return f"{said}; {taken}"
    best = body["proxies"][0]
    return (
        f"{said}; {taken}, and its other inputs together tell it with AUC {body['recovered']['value']:.2f} "
        f"({best['input']} alone {best['auc']['value']:.2f})"
    )

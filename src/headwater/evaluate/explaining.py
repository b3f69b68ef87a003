"""Explaining a version: what each input is worth to it, over all rows and in single answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from headwater.errors import InvalidInputError
from headwater.model import get_model_version, load_to_measure
from headwater.operation import operation
from headwater.project import Project

from .evidence import record_evidence
from .frames import or_frame
from .values import Evidence

if TYPE_CHECKING:
    from .data import EvaluationSet
    from .metrics import Weighted

_EXPLAINED = 200
_EXAMPLES = 3
_RESAMPLES = 200


@or_frame
@operation("evaluate.explain", needs="model:write")
def explain_model(
    project: Project,
    model: str,
    data: str,
    target: str,
    *,
    metric: str = "",
    repeats: int = 3,
    most_rows: int = 20_000,
    where: str | None = None,
    part: str = "",
    time: str | None = None,
    window: str = "",
    group: str = "",
    data_refs: Sequence[str] = (),
    run: str | None = None,
    seed: int = 0,
    shapley: str = "sampled",
) -> Evidence:
    """Measure what each input is worth to a version, and record it as evidence of kind ``explanation``.

    Permutation importance: how far ``metric`` falls when an input's values are shuffled among at most ``most_rows``
    rows, ``repeats`` times. Shapley values of 200 answers (value, probability or score) where there is such an output:
    ``sampled`` here, or by the library ``shap``.

    Raises:
        InvalidInputError: the metric is none of the task's, a column is missing, or ``shapley`` is neither.
        MissingExtraError: the library is asked for, and is not installed.
    """
    import numpy as np

    from .data import evaluation_set
    from .importance import permutation_importance
    from .measuring import about, answers_of, one_metric
    from .tasks import MAIN_METRIC, task_of

    by = _shapley_by(shapley)
    version = get_model_version(project, model)
    loaded = load_to_measure(project, version)
    rows = evaluation_set(
        project, data, target, where=where, part=part, time=time, window=window, group=group, refs=tuple(data_refs)
    )
    if rows.rows > most_rows:
        rows = rows.part(np.sort(np.random.default_rng(seed).permutation(rows.rows)[:most_rows]))
    chosen = metric or MAIN_METRIC[task_of(version.contract)]

    def measured(some: EvaluationSet) -> Weighted:
        return one_metric(version.contract, some, answers_of(version, loaded, some), chosen)

    names = [field.name for field in version.contract.inputs]
    inputs = permutation_importance(names, rows, chosen, measured, seed=seed, repeats=repeats, resamples=_RESAMPLES)
    body: dict[str, Any] = {
        "model": version.label,
        **about(version.contract, rows, seed, _RESAMPLES),
        "metric": chosen,
        "value": measured(rows)(np.ones(rows.rows)),
        "repeats": repeats,
        "inputs": inputs,
        "unused": [each["input"] for each in inputs if not each["drop"]["low"] > 0],
        **_shapley(loaded, rows, seed, by),
        "shapley_by": by,
    }
    body["sentence"] = _sentence(body)
    return record_evidence(project, version.ref, "explanation", body, data=rows.refs, run=run)


def _shapley_by(shapley: str) -> str:
    """Return what computes Shapley values, with the library's version."""
    if shapley == "sampled":
        return "sampled"
    if shapley != "shap":
        raise InvalidInputError(f"Shapley values are 'sampled', or by the library 'shap'; not '{shapley}'.")
    from .shap_library import library

    return f"shap {library().__version__}"


def _shapley(loaded: Any, rows: EvaluationSet, seed: int, by: str) -> dict[str, Any]:
    import numpy as np

    from headwater.model.columns import input_columns, take

    from .importance import shapley_values
    from .shap_library import shap_values

    outputs = {field.name for field in loaded.contract.outputs}
    output = next((name for name in ("probability", "value", "score") if name in outputs), "")
    if not output:
        return {"output": "", "shapley": [], "average": None, "examples": []}
    columns = input_columns(loaded.contract.inputs, rows.columns)
    names = list(columns)
    some = np.random.default_rng(seed).permutation(rows.rows)
    explained = take(columns, some[:_EXPLAINED])
    split = shapley_values if by == "sampled" else shap_values
    parts, start = split(
        lambda given: loaded.predict_columns(given)[output], names, explained, take(columns, some[:2000]), seed=seed
    )
    size = np.abs(parts).mean(axis=0)
    answers = parts.sum(axis=1) + start
    picked = [int(np.argmax(answers)), int(np.argsort(answers)[len(answers) // 2]), int(np.argmin(answers))]
    examples = [
        {
            "answer": float(answers[k]),
            "row": {
                name: values[k].item() if hasattr(values[k], "item") else values[k]
                for name, values in explained.items()
            },
            "shapley": {name: float(parts[k, place]) for place, name in enumerate(names)},
        }
        for k in dict.fromkeys(picked[:_EXAMPLES])
    ]
    return {
        "output": output,
        "shapley": [{"input": names[k], "mean_absolute": float(size[k])} for k in np.argsort(-size)],
        "average": float(start.mean()),
        "examples": examples,
    }


def _sentence(body: dict[str, Any]) -> str:
    best = body["inputs"][0]
    drop = best["drop"]
    said = (
        f"{best['input']} is worth most: without it {body['metric']} {body['value']:.4g} gets worse by "
        f"{drop['value']:.4g}, "
        f"95 % interval {drop['low']:.4g} to {drop['high']:.4g}"
    )
    if not body["unused"]:
        return f"{said}; each of the {len(body['inputs'])} inputs helps"
    return f"{said}; no use was shown of {', '.join(body['unused'])}"

"""The difference of two versions on the same rows, with its paired interval."""

from __future__ import annotations

from typing import Any

import numpy as np

from headwater.errors import InvalidInputError
from headwater.model import ModelVersion, get_model_version, load_version
from headwater.project import Project

from .bootstrap import paired_interval
from .data import EvaluationSet
from .evidence import record_evidence
from .measuring import task_metrics
from .metrics import HIGHER_IS_BETTER, Weighted
from .tasks import task_of
from .values import LEVEL, Evidence

MAIN_METRIC = {"binary": "auc", "classes": "accuracy", "regression": "rmse"}
"""The metric two versions are compared by where none is named."""


def compare_on_rows(
    project: Project,
    champion: str,
    challenger: str,
    rows: EvaluationSet,
    metric: str,
    run: str | None,
    seed: int,
    resamples: int,
) -> Evidence:
    """Compare two versions on rows and record the evidence; see ``compare_models``."""
    old, new = get_model_version(project, champion), get_model_version(project, challenger)
    chosen = _metric(old, new, metric)
    a, b = _measured(project, old, rows, chosen), _measured(project, new, rows, chosen)
    sign = 1.0 if HIGHER_IS_BETTER.get(chosen, True) else -1.0
    gain = paired_interval(
        lambda weights: sign * a(weights), lambda weights: sign * b(weights), rows.rows, seed=seed, resamples=resamples
    )
    whole = np.ones(rows.rows)
    body = {
        "champion": old.id,
        "champion_label": old.label,
        "challenger": new.id,
        "challenger_label": new.label,
        "metric": chosen,
        "champion_value": a(whole),
        "challenger_value": b(whole),
        "gain": gain,
        "better": bool(gain["low"] > 0),
        "worse": bool(gain["high"] < 0),
        "rows": rows.rows,
        "rows_digest": rows.digest(new.contract),
        "window": rows.window,
        "level": LEVEL,
        "resamples": resamples,
        "seed": seed,
    }
    body["sentence"] = sentence(body)
    return record_evidence(project, new.ref, "comparison", body, data=rows.refs, against=(old.ref,), run=run)


def sentence(body: dict[str, Any]) -> str:
    """Return a comparison in a sentence, its window included."""
    gain = body["gain"]
    verdict = "better" if body["better"] else "worse" if body["worse"] else "neither better nor worse"
    where = f" ({body['window']})" if body["window"] else ""
    return (
        f"{body['challenger_label']} is {verdict} than {body['champion_label']}: {body['metric']} "
        f"{body['challenger_value']:.4g} against {body['champion_value']:.4g} "
        f"on the same {body['rows']:,} rows{where}; "
        f"gain {gain['value']:+.4f}, 95 % interval {gain['low']:+.4f} to {gain['high']:+.4f}"
    )


def _metric(old: ModelVersion, new: ModelVersion, metric: str) -> str:
    task = task_of(new.contract)
    if task_of(old.contract) != task:
        raise InvalidInputError(
            f"{old.label} and {new.label} answer different questions ({task_of(old.contract)} and {task}): "
            "they cannot be compared on the same rows."
        )
    return metric or MAIN_METRIC[task]


def _measured(project: Project, version: ModelVersion, rows: EvaluationSet, metric: str) -> Weighted:
    answers = load_version(project, version).predict_columns(rows.columns)
    offered = task_metrics(version.contract, rows.truth, answers)
    if metric not in offered:
        raise InvalidInputError(f"'{metric}' is not measured for this task; there are {', '.join(offered)}.")
    return offered[metric]

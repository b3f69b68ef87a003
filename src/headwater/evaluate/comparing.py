"""The difference of two versions on the same rows, with its paired interval."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from headwater.errors import InvalidInputError
from headwater.model import ModelVersion, get_model_version, load_to_measure
from headwater.project import Project

from .bootstrap import paired_interval
from .data import EvaluationSet
from .evidence import record_evidence
from .measuring import about, answers_of, one_metric
from .metrics import HIGHER_IS_BETTER, Weighted
from .tasks import MAIN_METRIC, task_of
from .values import Evidence


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
    chosen = chosen_metric([old, new], metric)
    a, b = _measured(project, old, rows, chosen), _measured(project, new, rows, chosen)
    gain = gain_of(chosen, a, b, rows, seed, resamples)
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
        "group": rows.group,
        **about(new.contract, rows, seed, resamples),
    }
    body["sentence"] = sentence(body)
    return record_evidence(project, new.ref, "comparison", body, data=rows.refs, against=(old.ref,), run=run)


def gain_of(metric: str, a: Weighted, b: Weighted, rows: EvaluationSet, seed: int, resamples: int) -> dict[str, float]:
    """Return the interval of what ``b`` gains over ``a`` on the same rows; positive is better, whatever the metric."""
    sign = 1.0 if HIGHER_IS_BETTER.get(metric, True) else -1.0
    return paired_interval(
        lambda weights: sign * a(weights),
        lambda weights: sign * b(weights),
        rows.rows,
        seed=seed,
        resamples=resamples,
        groups=rows.groups,
    )


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


def chosen_metric(versions: Sequence[ModelVersion], metric: str) -> str:
    """Return the metric to compare versions by: the one named, else their task's main one.

    Raises:
        InvalidInputError: they are of different tasks.
    """
    first = versions[0]
    task = task_of(first.contract)
    for other in versions[1:]:
        if task_of(other.contract) != task:
            raise InvalidInputError(
                f"{first.label} and {other.label} answer different questions ({task} and {task_of(other.contract)}): "
                "they cannot be compared on the same rows."
            )
    return metric or MAIN_METRIC[task]


def _measured(project: Project, version: ModelVersion, rows: EvaluationSet, metric: str) -> Weighted:
    answers = answers_of(version, load_to_measure(project, version), rows)
    return one_metric(version.contract, rows, answers, metric)

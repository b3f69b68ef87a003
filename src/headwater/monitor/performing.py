"""Performance of one window: what outcomes say, against the evaluation; and an estimate where outcomes are missing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from headwater.evaluate import positive_class, task_of
from headwater.evaluate.bootstrap import intervals
from headwater.evaluate.metrics import Array, binary_metrics, regression_metrics, weighted_auc
from headwater.model import documents

from .baseline import Baseline
from .reading import Chunk, output_columns
from .sequential import Evidence
from .testing import Outcome, look_at_losses

if TYPE_CHECKING:
    from .values import Monitor

_RESAMPLES = 200
_MOST_RESAMPLED_ROWS = 200_000
SAMPLE = 20


class Scored:
    """The scores of one window of one version, and the truth of those whose outcome is known.

    Rows come in the order in which they were predicted.
    """

    def __init__(self, baseline: Baseline) -> None:
        self.baseline = baseline
        self.rows = 0
        self.sample: list[str] = []
        self._score: list[Array] = []
        self._truth: list[Array] = []
        self._task = task_of(baseline.version.contract)
        self._output = {"binary": "probability", "regression": "value"}.get(self._task, "")

    @property
    def task(self) -> str:
        """What is measured: binary, classes or regression."""
        return self._task

    def add(self, chunk: Chunk) -> None:
        """Take in some more predictions; an outcome that is no truth of this task counts as not known."""
        self.rows += len(chunk.ids)
        self.sample += chunk.ids[: SAMPLE - len(self.sample)]
        if not self._output:
            return
        columns = output_columns(self.baseline.version, chunk.outputs)
        self._score.append(columns[self._output].astype(np.float64))
        positive = positive_class(self.baseline.version.contract)
        read = _binary_truth if self._task == "binary" else _number
        self._truth.append(np.array([read(label, positive) for label in chunk.labels], np.float64))

    def arrays(self) -> tuple[Array, Array]:
        """Return scores and truth, shape (rows,); the truth is NaN where it is not known."""
        if not self._score:
            return np.zeros(0), np.zeros(0)
        return np.concatenate(self._score), np.concatenate(self._truth)


def performance(
    monitor: Monitor, scored: Scored, states: Mapping[str, Evidence]
) -> tuple[dict[str, Any], list[Outcome]]:
    """Return the body of a performance window and what its tests say."""
    score, truth = scored.arrays()
    known = ~np.isnan(truth)
    rows = int(known.sum())
    body: dict[str, Any] = {
        "task": scored.task,
        "outcomes": rows,
        "coverage": rows / scored.rows if scored.rows else 0.0,
        "evaluation": scored.baseline.evidence,
        "metrics": {},
    }
    if scored.task == "binary" and len(score):
        body["estimate"] = estimate(score)
    if not rows:
        return body, []
    measured = _metrics(scored.task, truth[known], score[known])
    for name, value in measured.items():
        reference = scored.baseline.metrics.get(name, {})
        body["metrics"][name] = {
            **value,
            "reference": reference.get("value"),
            "reference_low": reference.get("low"),
            "reference_high": reference.get("high"),
        }
    if scored.task != "binary":
        return body, []
    return body, _tests(monitor, scored.baseline, states, score[known], truth[known], measured)


def estimate(probability: Array) -> dict[str, Any]:
    """Return what the metrics would be if the probabilities were right: an estimate while outcomes are missing.

    Each row is taken for a True with its own probability. It sees a change of the inputs, not one of what they mean.
    """
    p = np.clip(probability, 1e-15, 1 - 1e-15)
    doubled = np.concatenate([p, p])
    truth = np.concatenate([np.ones(len(p)), np.zeros(len(p))])
    return {
        "assumes": "the probabilities are calibrated",
        "auc": weighted_auc(truth, doubled)(np.concatenate([p, 1 - p])),
        "brier": float(np.mean(p * (1 - p))),
        "log_loss": float(-np.mean(p * np.log(p) + (1 - p) * np.log1p(-p))),
        "accuracy": float(np.mean(np.maximum(p, 1 - p))),
    }


def _metrics(task: str, truth: Array, score: Array) -> dict[str, dict[str, float]]:
    weighted = binary_metrics(truth > 0, score) if task == "binary" else regression_metrics(truth, score)
    if len(truth) <= _MOST_RESAMPLED_ROWS:
        return intervals(weighted, len(truth), seed=0, resamples=_RESAMPLES)
    whole = np.ones(len(truth))
    return {name: {"value": metric(whole)} for name, metric in weighted.items()}


def _tests(
    monitor: Monitor,
    baseline: Baseline,
    states: Mapping[str, Evidence],
    score: Array,
    truth: Array,
    measured: Mapping[str, Mapping[str, float]],
) -> list[Outcome]:
    found = []
    if "brier" in baseline.metrics:
        limit = baseline.metrics["brier"]["high"] + monitor.performance_bar
        losses = (score - truth) ** 2
        value = measured["brier"]["value"]
        found.append(look_at_losses("brier", "brier", states.get("brier"), losses, limit, value, limit))
    pairs = disordered_pairs(score, truth)
    if "auc" in baseline.metrics and len(pairs):
        least = baseline.metrics["auc"]["low"] - monitor.performance_bar
        value = measured["auc"]["value"]
        found.append(look_at_losses("auc", "auc", states.get("auc"), pairs, 1 - least, value, least))
    return found


def disordered_pairs(score: Array, truth: Array) -> Array:
    """Return 1 for each pair of a positive and a negative that the score puts in the wrong order, 1/2 for a tie.

    Pairs are made in the order of rows, each row in one pair at most, so that they are independent: their mean is
    one less the AUC, and can be bet on.
    """
    positive, negative = score[truth > 0], score[truth <= 0]
    pairs = min(len(positive), len(negative))
    a, b = positive[:pairs], negative[:pairs]
    return np.where(b > a, 1.0, np.where(a == b, 0.5, 0.0))


def _binary_truth(label: str | None, positive: Any) -> float:
    if label is None:
        return np.nan
    value = documents.parse(label)
    if isinstance(value, bool | int | float) and (isinstance(positive, bool) or value in (0, 1)):
        return float(value != 0) if not (isinstance(value, float) and np.isnan(value)) else np.nan
    return np.nan if value is None else float(value == positive)


def _number(label: str | None, positive: Any) -> float:
    value = None if label is None else documents.parse(label)
    return float(value) if isinstance(value, int | float) else np.nan

"""Quality and drift of one window: one pass over its predictions, counts per column and bin, then the tests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from headwater.model.columns import Array, is_missing
from headwater.model.reference import bin_labels, count_column, reference_counts

from .baseline import Baseline
from .reading import Chunk, input_columns, output_columns
from .sequential import Evidence
from .testing import Outcome, look_at_share, look_at_shares

if TYPE_CHECKING:
    from headwater.model import Field

    from .values import Kind, Monitor

SAMPLE = 20


class Measured:
    """What one window holds of one version: counts that grow chunk by chunk."""

    def __init__(self, baseline: Baseline) -> None:
        self.baseline = baseline
        self.rows = 0
        self.refused = (0, 0)
        self.sample: list[str] = []
        self.counts: dict[str, Array] = {}
        self.nulls: dict[str, int] = {}
        self.outside: dict[str, int] = {}

    def add(self, chunk: Chunk) -> None:
        """Count some more predictions."""
        self.rows += len(chunk.ids)
        self.sample += chunk.ids[: SAMPLE - len(self.sample)]
        inputs = input_columns(self.baseline.version.contract, chunk.inputs)
        for field in self.baseline.version.contract.inputs:
            values = inputs[field.name]
            self.nulls[field.name] = self.nulls.get(field.name, 0) + int(is_missing(values).sum())
            profile = self.baseline.inputs.get(field.name)
            if profile is not None:
                self.outside[field.name] = self.outside.get(field.name, 0) + _outside(profile, values)
                self._count(f"input:{field.name}", profile, values)
        if self.baseline.outputs:
            outputs = output_columns(self.baseline.version, chunk.outputs)
            for name, profile in self.baseline.outputs.items():
                self._count(f"output:{name}", profile, outputs[name])

    def _count(self, key: str, profile: Mapping[str, Any], values: Array) -> None:
        found = np.asarray(count_column(profile, values), np.int64)
        self.counts[key] = self.counts[key] + found if key in self.counts else found


def tests_of(monitor: Monitor, baseline: Baseline) -> int:
    """Return how many tests a monitor has about a version: what its alpha is divided by."""
    count = 0
    if "drift" in monitor.kinds:
        count += len(baseline.inputs) + len(baseline.outputs)
    if "quality" in monitor.kinds:
        count += 1 + len(baseline.inputs) + len(_nullable(baseline))
    if "performance" in monitor.kinds:
        count += sum(name in baseline.metrics for name in ("auc", "brier"))
    return max(count, 1)


def drift(monitor: Monitor, measured: Measured, states: Mapping[str, Evidence]) -> tuple[dict[str, Any], list[Outcome]]:
    """Return the body of a drift window and what its tests say."""
    outcomes, columns = [], []
    for key, counts in measured.counts.items():
        side, _, name = key.partition(":")
        profile = (measured.baseline.inputs if side == "input" else measured.baseline.outputs)[name]
        cause = f"drift:{key}"
        reference = reference_counts(profile)
        found = look_at_shares(cause, name, states.get(cause), reference, counts.tolist(), monitor.drift_bar)
        outcomes.append(found)
        columns.append(
            {
                "name": name,
                "side": side,
                "psi": found.extra["psi"],
                "psi_since": found.statistic,
                "since_windows": found.since,
                "log_e": found.log_e,
                "bar": monitor.drift_bar,
                "counts": counts.tolist(),
                "reference": reference,
                "labels": bin_labels(profile),
            }
        )
    return {"columns": columns}, outcomes


def quality(
    monitor: Monitor, measured: Measured, states: Mapping[str, Evidence]
) -> tuple[dict[str, Any], list[Outcome]]:
    """Return the body of a quality window and what its tests say."""
    baseline, rows = measured.baseline, measured.rows
    outcomes = []
    for field in _nullable(baseline):
        bound = _share_missing(baseline.inputs[field.name]) + monitor.nulls_bar
        cause = f"nulls:{field.name}"
        hits = measured.nulls.get(field.name, 0)
        outcomes.append(look_at_share(cause, "nulls", field.name, states.get(cause), hits, rows, bound))
    for name, profile in baseline.inputs.items():
        cause = f"outside:{name}"
        bound = _share_other(profile) + monitor.outside_bar
        outcomes.append(
            look_at_share(cause, "outside", name, states.get(cause), measured.outside.get(name, 0), rows, bound)
        )
    refused, asked = measured.refused[0], measured.refused[0] + rows
    outcomes.append(look_at_share("refused", "refused", "", states.get("refused"), refused, asked, monitor.refused_bar))
    columns = [
        {
            "name": field.name,
            "rows": rows,
            "nulls": measured.nulls.get(field.name, 0),
            "nulls_reference": _share_missing(baseline.inputs[field.name]) if field.name in baseline.inputs else None,
            "outside": measured.outside.get(field.name),
        }
        for field in baseline.version.contract.inputs
    ]
    body = {"columns": columns, "refused": refused, "refused_share": refused / asked if asked else 0.0}
    return body, outcomes


def measure(
    kind: Kind, monitor: Monitor, measured: Measured, states: Mapping[str, Evidence]
) -> tuple[dict[str, Any], list[Outcome]]:
    """Return the body of a window of a kind and what its tests say."""
    return (quality if kind == "quality" else drift)(monitor, measured, states)


def _nullable(baseline: Baseline) -> list[Field]:
    return [field for field in baseline.version.contract.inputs if field.nullable and field.name in baseline.inputs]


def _outside(profile: Mapping[str, Any], values: Array) -> int:
    """Return how many values training never saw: beyond its least and greatest number, or not among its categories."""
    if profile["kind"] == "category":
        return int(count_column(profile, values)[-2])
    if "minimum" not in profile:
        return 0
    numbers = values[~is_missing(values)].astype(float)
    return int(np.count_nonzero((numbers < profile["minimum"]) | (numbers > profile["maximum"])))


def _share_missing(profile: Mapping[str, Any]) -> float:
    counts = reference_counts(profile)
    return counts[-1] / max(sum(counts), 1)


def _share_other(profile: Mapping[str, Any]) -> float:
    return int(profile.get("other", 0)) / max(sum(reference_counts(profile)), 1)

"""The generated name of a version: the shortest true sentence that tells it from another."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from headwater.track.naming import changed_parameters

from .contract_changes import contract_changes
from .values import ModelVersion

if TYPE_CHECKING:
    from headwater.lake import Version

_SHOWN = 3


def describe_version(
    version: ModelVersion, data: Sequence[Version], before: ModelVersion | None, earlier: Sequence[Version]
) -> str:
    """Return what tells a version from the one before: ``as v7, depth 8 → 12; data v12: +3,104 rows; auc −0.8 pts``.

    ``data`` and ``earlier`` are the dataset versions that the two were trained on.
    """
    if before is None:
        return "first version" + (f"; data {_data_names(data)}" if data else "")
    changes = [
        ", ".join(changed_parameters(before.params, version.params)),
        *_data(earlier, data),
        *_contract(before, version),
        *_metrics(before.metrics, version.metrics),
    ]
    if before.flavour != version.flavour:
        changes.append(f"served as {version.flavour}")
    said = "; ".join(change for change in changes if change)
    name = f"v{before.number}" if before.model == version.model else before.label
    return f"as {name}, {said or 'trained again'}"


def _data(before: Sequence[Version], after: Sequence[Version]) -> Iterator[str]:
    old = {each.dataset: each for each in before}
    new = {each.dataset: each for each in after}
    for dataset in sorted(old.keys() | new.keys()):
        was, now = old.get(dataset), new.get(dataset)
        name = f"data {dataset} " if len(old.keys() | new.keys()) > 1 else "data "
        if now is None:
            yield f"without data {dataset}"
        elif was is None:
            yield f"data {dataset} v{now.number}{_rows(now)}"
        elif was.id != now.id and was.rows is not None and now.rows is not None:
            yield f"{name}v{now.number}: {now.rows - was.rows:+,} rows".replace("-", "−")
        elif was.id != now.id:
            yield f"{name}v{was.number} → v{now.number}"


def _contract(before: ModelVersion, after: ModelVersion) -> Iterator[str]:
    old = {field.name: field for field in before.contract.inputs}
    new = {field.name: field for field in after.contract.inputs}
    added, removed = [n for n in new if n not in old], [n for n in old if n not in new]
    parts = [f"+{name}" for name in added[:_SHOWN]] + [f"−{name}" for name in removed[:_SHOWN]]
    more = max(len(added) - _SHOWN, 0) + max(len(removed) - _SHOWN, 0)
    if parts:
        yield f"inputs {', '.join(parts)}" + (f" and {more} more" if more else "")
        return
    changes = [each.what for each in contract_changes(before.contract, after.contract)]
    if changes:
        yield ", ".join(changes[:_SHOWN]) + (f" and {len(changes) - _SHOWN} more" if len(changes) > _SHOWN else "")


def difference(name: str, before: float, after: float) -> str:
    """Return how a measure moved: ``auc −0.8 pts`` for one between 0 and 1, else ``rmse 12.3 → 11.9``; '' for not.

    A point is a hundredth. What is less than a twentieth of a point, or of a percent, is no move.
    """
    if not (math.isfinite(before) and math.isfinite(after)):
        return ""
    if 0 <= before <= 1 and 0 <= after <= 1:
        points = (after - before) * 100
        return f"{name} {points:+.1f} pts".replace("-", "−") if abs(points) >= 0.05 else ""
    moved = abs(after - before) >= 0.0005 * max(abs(before), abs(after))
    return f"{name} {before:.4g} → {after:.4g}" if moved and f"{before:.4g}" != f"{after:.4g}" else ""


def measured_change(metric: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """Return how two evaluations on the same rows differ: the metric, and the slice that moved furthest beyond chance.

    ``before`` and ``after`` are bodies of evidence of kind ``evaluation``. A slice is named where its two intervals do
    not overlap: ``auc −0.8 pts, −2.1 pts on carrier=YX``.
    """
    whole = difference(metric, before["metrics"][metric]["value"], after["metrics"][metric]["value"])
    earlier = {each["slice"]: each["metrics"].get(metric) for each in before.get("slices", ())}
    moved = []
    for each in after.get("slices", ()):
        was, now = earlier.get(each["slice"]), each["metrics"].get(metric)
        if was and now and (now["low"] > was["high"] or now["high"] < was["low"]):
            moved.append((abs(now["value"] - was["value"]), each["slice"], was["value"], now["value"]))
    if not moved:
        return whole
    _, name, was, now = max(moved)
    said = difference(metric, was, now)
    if whole:
        said = said.removeprefix(f"{metric} ")
    return ", ".join(filter(None, (whole, said and f"{said} on {name}")))


def _metrics(before: Mapping[str, float], after: Mapping[str, float]) -> Iterator[str]:
    """Yield how the first metric that both versions were registered with moved, if it did."""
    shared = [name for name in after if name in before]
    if shared:
        said = difference(shared[0], before[shared[0]], after[shared[0]])
        if said:
            yield said


def _data_names(data: Sequence[Version]) -> str:
    return ", ".join(f"{each.dataset} v{each.number}{_rows(each)}" for each in data)


def _rows(version: Version) -> str:
    return f" ({version.rows:,} rows)" if version.rows is not None else ""

"""The generated name of a version: the shortest true sentence that tells it from another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from headwater.track.naming import changed_parameters

from .values import ModelVersion

if TYPE_CHECKING:
    from headwater.lake import Version

_SHOWN = 3


def describe_version(
    version: ModelVersion, data: Sequence[Version], before: ModelVersion | None, earlier: Sequence[Version]
) -> str:
    """Return what tells a version from the one before: ``as v7, depth 8 → 12; data v12: +3,104 rows``.

    ``data`` and ``earlier`` are the dataset versions that the two were trained on.
    """
    if before is None:
        return "first version" + (f"; data {_data_names(data)}" if data else "")
    changes = [
        ", ".join(changed_parameters(before.params, version.params)),
        *_data(earlier, data),
        *_contract(before, version),
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
    elif old != new or before.contract.outputs != after.contract.outputs:
        yield "another contract"


def _data_names(data: Sequence[Version]) -> str:
    return ", ".join(f"{each.dataset} v{each.number}{_rows(each)}" for each in data)


def _rows(version: Version) -> str:
    return f" ({version.rows:,} rows)" if version.rows is not None else ""

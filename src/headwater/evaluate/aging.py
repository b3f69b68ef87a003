"""How versions fare on data newer than what they were trained on: windows, points, and pairs on the same rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from headwater.errors import InvalidInputError
from headwater.model import ModelVersion
from headwater.model.columns import is_missing

from .bootstrap import intervals
from .comparing import gain_of
from .data import EvaluationSet
from .metrics import Array, Weighted

DAY_US = 86_400_000_000


@dataclass(frozen=True, slots=True)
class Dated:
    """A version and the time up to which it was trained, in microseconds since 1970."""

    version: ModelVersion
    until_us: int


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of time, in microseconds since 1970, the end left out, and its rows."""

    start_us: int
    end_us: int
    rows: EvaluationSet


def times_us(values: Array, column: str) -> Array:
    """Return times as microseconds since 1970, shape (rows,): of datetimes, dates or text in ISO 8601.

    Raises:
        InvalidInputError: some are none, or are missing.
    """
    if is_missing(values).any():
        raise InvalidInputError(
            f"the column '{column}' has rows without a time. Leave them out with where: \"{column} IS NOT NULL\".",
            column=column,
        )
    try:
        if values.dtype.kind in "fiub":
            raise ValueError(f"it holds {values.dtype}")
        return values.astype("datetime64[us]").astype(np.int64)
    except (TypeError, ValueError) as error:
        raise InvalidInputError(
            f"the column '{column}' cannot be read as times: {error}. Make it a date or timestamp first.", column=column
        ) from error


def windows_of(rows: EvaluationSet, times: Array, days: float, least_rows: int) -> list[Window]:
    """Return the windows of so many days from the first time on, those of at least ``least_rows`` rows, in order."""
    length = max(1, int(days * DAY_US))
    start = int(times.min()) // DAY_US * DAY_US
    place = (times - start) // length
    found = []
    for k in np.unique(place):
        mask = place == k
        if int(mask.sum()) >= least_rows:
            begin = start + int(k) * length
            found.append(Window(begin, begin + length, rows.part(mask)))
    return found


def staleness_points(
    dated: Sequence[Dated],
    windows: Sequence[Window],
    metric: str,
    measured: Callable[[ModelVersion, EvaluationSet], Weighted],
    *,
    seed: int,
    resamples: int,
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return ``points`` and ``pairs`` as ``kinds`` describes them.

    A version is measured on each window that begins when its training data had ended. In each window the fresher ones
    are those trained last; every older version is held against the freshest on the same rows.
    """
    points, pairs = [], []
    for window in windows:
        able = sorted((each for each in dated if each.until_us < window.start_us), key=lambda each: each.until_us)
        metrics = [measured(each.version, window.rows) for each in able]
        for each, found in zip(able, metrics, strict=True):
            interval = intervals(
                {metric: found}, window.rows.rows, seed=seed, resamples=resamples, groups=window.rows.groups
            )[metric]
            points.append(_point(each, window, interval))
        for each, found in zip(able[:-1], metrics[:-1], strict=True):
            if each.until_us == able[-1].until_us:
                continue
            gain = gain_of(metric, found, metrics[-1], window.rows, seed, resamples)
            pairs.append(
                {
                    "older": each.version.label,
                    "fresher": able[-1].version.label,
                    "start": day_of(window.start_us),
                    "age_days": _age(each, window),
                    "gain": gain,
                    "worse": bool(gain["low"] > 0),
                }
            )
    return points, pairs


def worse_after(pairs: Sequence[dict[str, Any]]) -> float | None:
    """Return the least age from which on most older versions were worse than the freshest; None where there is none.

    At that age, and at every greater one taken together, more than half of the pairs are worse.
    """
    for age in sorted({each["age_days"] for each in pairs}):
        later = [each["worse"] for each in pairs if each["age_days"] >= age]
        if next(each["worse"] for each in pairs if each["age_days"] == age) and sum(later) * 2 > len(later):
            return float(age)
    return None


def day_of(at_us: int) -> str:
    """Return the day of a time, as 2026-01-31."""
    return str(np.datetime64(at_us, "us").astype("datetime64[D]"))


def _point(dated: Dated, window: Window, interval: dict[str, float]) -> dict[str, Any]:
    return {
        "version": dated.version.id,
        "label": dated.version.label,
        "trained_until": day_of(dated.until_us),
        "start": day_of(window.start_us),
        "end": day_of(window.end_us),
        "age_days": _age(dated, window),
        "rows": window.rows.rows,
        "metric": interval,
    }


def _age(dated: Dated, window: Window) -> float:
    return round((window.start_us - dated.until_us) / DAY_US, 2)

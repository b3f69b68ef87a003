"""Searching for parts of the data on which a model is worse than elsewhere.

Every column gives conditions: a value, a range between quantiles, missing. Conditions and pairs of them are slices.
The worst are found on one half of the rows and confirmed on the other, which had no say in the choice: the gap and its
p-value there are honest, and Holm's correction covers how many were tried for confirmation.

Source: Chung et al. (2019), Slice Finder, ICDE; Holm (1979), Scand. J. Statist. 6, 65.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import erfc, exp, lgamma, sqrt
from typing import Any

import numpy as np

from headwater.model.columns import is_missing

from .data import as_text
from .metrics import Array

MOST_VALUES = 20
"""How many values of a text column become conditions, the most frequent first."""
RANGES = 5
_OVERLAP = 0.8
_NORMAL_975 = 1.959963984540054


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition on a column, as text and as the mask of its rows, shape (rows,)."""

    column: str
    text: str
    mask: Array


def search_slices(
    columns: Mapping[str, Array],
    losses: Array,
    *,
    signed: bool = False,
    most: int = 10,
    least_rows: int = 30,
    seed: int = 0,
) -> dict[str, Any]:
    """Return the worst slices of rows by their mean loss: ``overall``, ``searched``, ``found`` (see ``kinds``).

    ``columns`` are what slices may be told by and ``losses`` what each row costs, shape (rows,). With ``signed`` a
    mean that is far from the rest on either side is bad, not only a greater one. Slices of fewer than ``least_rows``
    in the finding half are not looked at, and of fewer in the confirming half not confirmed.
    """
    rows = len(losses)
    finding = np.zeros(rows, bool)
    finding[np.random.default_rng(seed).permutation(rows)[: rows // 2]] = True
    conditions = conditions_of(columns)
    masks, strongest, searched = _find(conditions, losses[finding], finding, least_rows, signed)
    chosen = _distinct(masks, strongest, most)
    found = [_judged(conditions, pair, losses, ~finding, signed, least_rows) for pair in chosen]
    _confirm(found)
    found.sort(key=lambda each: (not each["confirmed"], -abs(each["gap"]["value"])))
    return {"overall": float(losses[~finding].mean()), "searched": searched, "found": found}


def conditions_of(columns: Mapping[str, Array]) -> list[Condition]:
    """Return the conditions that each column gives; columns of one value, or of names, give none."""
    found: list[Condition] = []
    for name, values in columns.items():
        several = _by_range(name, values) if values.dtype.kind in "fiu" else _by_value(name, values)
        found += [each for each in several if 0 < each.mask.sum() < len(values)]
    return found


def _by_value(name: str, values: Array) -> list[Condition]:
    shown = as_text(values)
    texts, counts = np.unique(shown, return_counts=True)
    chosen = texts[np.lexsort((texts, -counts))][:MOST_VALUES]
    return [Condition(name, f"{name}={text}", shown == text) for text in chosen]


def _by_range(name: str, values: Array) -> list[Condition]:
    missing = is_missing(values)
    known = values[~missing]
    found = [Condition(name, f"{name}=missing", missing)] if missing.any() else []
    distinct = np.unique(known)
    if len(distinct) <= RANGES:
        return [*found, *(Condition(name, f"{name}={each:g}", values == each) for each in distinct)]
    edges = np.unique(np.quantile(known, np.linspace(0, 1, RANGES + 1)[1:-1]))
    bounds = [-np.inf, *edges.tolist(), np.inf]
    for low, high in pairwise(bounds):
        text = f"{name}<{high:g}" if low == -np.inf else f"{name}>={low:g}"
        text += f" and {name}<{high:g}" if low != -np.inf and high != np.inf else ""
        found.append(Condition(name, text, ~missing & (values >= low) & (values < high)))
    return found


def _find(
    conditions: Sequence[Condition], losses: Array, finding: Array, least: int, signed: bool
) -> tuple[Array, list[tuple[int, int]], int]:
    """Return the masks on the finding half, the slices worse there (the surest first), and how many were seen.

    A slice is a pair of places, equal for one condition. Counts and sums of all pairs are products of the matrix of
    masks with itself. A pair must be worse than each of its conditions alone, by a standard error: else the shorter
    slice says it better.
    """
    if not conditions:
        return np.zeros((0, len(losses)), np.float32), [], 0
    masks = np.stack([each.mask[finding] for each in conditions]).astype(np.float32)
    centred = (losses - losses.mean()).astype(np.float32)
    count, total = (masks @ masks.T).astype(np.float64), ((masks * centred) @ masks.T).astype(np.float64)
    squares = ((masks * centred**2) @ masks.T).astype(np.float64)
    same = np.array([[a.column == b.column and a is not b for b in conditions] for a in conditions])
    valid = np.triu(~same) & (count >= least) & (len(losses) - count >= least)
    inside, rest = np.maximum(count, 1), np.maximum(len(losses) - count, 1)
    mean, other = total / inside, -total / rest
    everything = float((centred.astype(np.float64) ** 2).sum())
    spread = np.clip(squares / inside - mean**2, 0, None) / inside
    spread = np.sqrt(spread + np.clip((everything - squares) / rest - other**2, 0, None) / rest)
    size = np.abs(mean - other) if signed else mean - other
    alone = np.diag(size)
    longer = size > np.maximum(alone[:, None], alone[None, :]) + spread
    strength = np.where(valid & (longer | np.eye(len(conditions), dtype=bool)), size / np.maximum(spread, 1e-12), 0.0)
    order = np.argsort(-strength, axis=None, kind="stable")[: int((strength > _NORMAL_975).sum())]
    return masks, [(int(k // len(conditions)), int(k % len(conditions))) for k in order], int(valid.sum())


def _distinct(masks: Array, slices: Sequence[tuple[int, int]], most: int) -> list[tuple[int, int]]:
    """Return at most so many slices, leaving out those that hold nearly the rows of one before them, or all others."""
    chosen: list[tuple[int, int]] = []
    kept: list[Array] = []
    for i, j in slices[: 50 * most]:
        mask = (masks[i] * masks[j]) > 0
        if any((mask & rows).sum() > _OVERLAP * (mask | rows).sum() for other in kept for rows in (other, ~other)):
            continue
        chosen.append((i, j))
        kept.append(mask)
        if len(chosen) == most:
            break
    return chosen


def _judged(
    conditions: Sequence[Condition],
    pair: tuple[int, int],
    losses: Array,
    confirming: Array,
    signed: bool,
    least: int,
) -> dict[str, Any]:
    """Return a slice measured on the confirming half, its p-value for being worse in the direction it was found."""
    texts = [conditions[place].text for place in dict.fromkeys(pair)]
    mask = conditions[pair[0]].mask & conditions[pair[1]].mask
    inside, rest = losses[mask & confirming], losses[~mask & confirming]
    entry: dict[str, Any] = {
        "slice": " and ".join(texts),
        "rows": int(mask.sum()),
        "share": float(mask.mean()),
        "value": float(inside.mean()) if len(inside) else float("nan"),
        "rest": float(rest.mean()) if len(rest) else float("nan"),
    }
    if min(len(inside), len(rest)) < max(2, least):
        return entry | {"gap": {"value": 0.0, "low": float("-inf"), "high": float("inf")}, "p": 1.0}
    gap = entry["value"] - entry["rest"]
    error = float(np.sqrt(inside.var(ddof=1) / len(inside) + rest.var(ddof=1) / len(rest)))
    wanted = 1.0
    if signed:
        before = losses[mask & ~confirming].mean() - losses[~mask & ~confirming].mean()
        wanted = 1.0 if before >= 0 else -1.0
    p = 0.5 * erfc(wanted * gap / error / sqrt(2)) if error > 0 else _p_of_all(wanted * gap, len(inside), len(rest))
    interval = {"value": gap, "low": gap - _NORMAL_975 * error, "high": gap + _NORMAL_975 * error}
    return entry | {"gap": interval, "p": p}


def _p_of_all(gap: float, inside: int, rest: int) -> float:
    """Return the p-value where each row inside costs the same, and each of the rest: wrong on every row here only, say.

    Of all ways to draw as many rows, one gives this gap (Fisher's exact test).
    """
    return exp(lgamma(inside + 1) + lgamma(rest + 1) - lgamma(inside + rest + 1)) if gap > 0 else 1.0


def _confirm(found: Sequence[dict[str, Any]]) -> None:
    """Mark what Holm's step-down procedure confirms at 5 %."""
    holds = True
    for place, each in enumerate(sorted(found, key=lambda one: float(one["p"]))):
        holds = holds and each["p"] <= 0.05 / (len(found) - place)
        each["confirmed"] = holds

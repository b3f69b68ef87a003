"""Errors of readings: edits per character and word, with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd


def edits(truth: Sequence[Any], said: Sequence[Any]) -> int:
    """Return the least number of insertions, deletions and substitutions between two sequences (Levenshtein, 1965)."""
    row = list(range(len(said) + 1))
    for number, wanted in enumerate(truth, 1):
        before, row[0] = row[0], number
        for place, given in enumerate(said, 1):
            before, row[place] = row[place], min(row[place] + 1, row[place - 1] + 1, before + (wanted != given))
    return row[-1]


def counted(truth: str, said: str) -> dict[str, int]:
    """Return what one line adds to the rates: edits and lengths, in characters and in words."""
    return {
        "character_edits": edits(truth, said), "characters": len(truth),
        "word_edits": edits(truth.split(), said.split()), "words": len(truth.split()),
    }  # fmt: skip


def rate(lines: pd.DataFrame, unit: str) -> float:
    """Return edits per ``character`` or ``word`` over all lines."""
    return float(lines[f"{unit}_edits"].sum() / lines[f"{unit}s"].sum())


def interval(
    lines: pd.DataFrame, unit: str, *, against: pd.DataFrame | None = None, seed: int = 0,
    resamples: int = 2000,
) -> tuple[float, float]:  # fmt: skip
    """Return the 95 % percentile interval of a rate, or of its difference ``lines - against`` line by line.

    Lines are drawn with replacement, the same for both sides (Efron, 1979). It covers the choice of lines, not of
    writers: there are too few of them.
    """
    rng = np.random.default_rng(seed)
    chosen = rng.integers(0, len(lines), (resamples, len(lines)))
    length = lines[f"{unit}s"].to_numpy()[chosen].sum(1)
    wrong = lines[f"{unit}_edits"].to_numpy()
    if against is not None:
        wrong = wrong - against[f"{unit}_edits"].to_numpy()
    low, high = np.percentile(wrong[chosen].sum(1) / length, [2.5, 97.5])
    return float(low), float(high)

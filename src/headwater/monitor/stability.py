"""How far two samples of bins lie apart: the effect that an alarm needs besides its evidence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from headwater.errors import InvalidInputError

Array = np.ndarray[Any, Any]


def stability_index(expected: Sequence[int], observed: Sequence[int], *, floor: float = 1e-6) -> float:
    """Return the population stability index of two binned samples, in nats.

    ``expected`` and ``observed`` hold counts per bin, shape (bins,), over the same edges in the same order. The index
    is 0 when the shares agree, has no upper bound, and does not change when the two samples swap places. A bin that
    is empty in one sample counts as the share ``floor``.

    Raises:
        InvalidInputError: the samples differ in number of bins, or one is empty.

    Source: the symmetric divergence of Jeffreys (1946), Proc. R. Soc. A 186, 453.
    """
    a, b = np.asarray(expected, float), np.asarray(observed, float)
    if a.shape != b.shape:
        raise InvalidInputError(f"the samples have {a.size} and {b.size} bins; the index compares bin by bin.")
    if a.sum() <= 0 or b.sum() <= 0:
        raise InvalidInputError("a sample without rows has no shares to compare.")
    p, q = np.maximum(a / a.sum(), floor), np.maximum(b / b.sum(), floor)
    return float(np.sum((p - q) * np.log(p / q)))


def reference_shares(counts: Sequence[int]) -> Array:
    """Return training's shares per bin with half a row added to each, so that no bin is thought impossible."""
    padded = np.asarray(counts, float) + 0.5
    return np.asarray(padded / padded.sum())

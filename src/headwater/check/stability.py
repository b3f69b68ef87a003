"""How far two binned samples are from each other."""

from __future__ import annotations

from collections.abc import Sequence
from math import log

from ..errors import InvalidInputError


def stability_index(expected: Sequence[int], observed: Sequence[int], *, floor: float = 1e-6) -> float:
    """Return the population stability index of two binned samples, in nats.

    ``expected`` and ``observed`` hold counts per bin over the same bins in the same order. The index is 0 when the
    shares agree, has no upper bound, and does not change when the two samples swap places. A bin that is empty in
    one sample counts as the share ``floor``.

    Raises:
        InvalidInputError: the samples differ in number of bins, or one is empty.

    Source: the symmetric divergence of Jeffreys (1946), Proc. R. Soc. A 186, 453.
    """
    if len(expected) != len(observed):
        raise InvalidInputError(f"the samples have {len(expected)} and {len(observed)} bins; they must have the same.")
    total_expected, total_observed = sum(expected), sum(observed)
    if not total_expected or not total_observed:
        raise InvalidInputError("a stability index needs two samples, and one has no rows.")
    index = 0.0
    for wanted, found in zip(expected, observed, strict=True):
        p = max(wanted / total_expected, floor)
        q = max(found / total_observed, floor)
        index += (q - p) * log(q / p)
    return index

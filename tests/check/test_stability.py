from __future__ import annotations

from math import log

import pytest

from headwater.check import stability_index
from headwater.errors import InvalidInputError


def test_the_index_is_the_symmetric_divergence() -> None:
    # 10 points moved from one of two equal bins: 0.1 * (ln 1.2 - ln 0.8)
    assert stability_index([50, 50], [40, 60]) == pytest.approx(0.1 * log(1.5))


def test_the_index_is_zero_for_equal_shares_and_does_not_mind_order() -> None:
    assert stability_index([10, 20, 30], [100, 200, 300]) == pytest.approx(0)
    assert stability_index([10, 90], [50, 50]) == pytest.approx(stability_index([50, 50], [10, 90]))


def test_an_empty_bin_counts_as_the_floor() -> None:
    # shares 1 and 0 against 0.5 and 0.5, the 0 taken as 0.01
    assert stability_index([1, 0], [1, 1], floor=0.01) == pytest.approx(-0.5 * log(0.5) + 0.49 * log(50))


def test_samples_that_cannot_be_compared_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="2 and 3 bins"):
        stability_index([1, 2], [1, 2, 3])
    with pytest.raises(InvalidInputError, match="has no rows"):
        stability_index([0, 0], [1, 2])

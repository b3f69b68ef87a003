from __future__ import annotations

import pytest

from bench.summary import Taken, lines_of, paired_ratio
from bench.values import Goal, Quantity, Role, Sample


def taken(name: str, role: Role, *values: float) -> Taken:
    return Taken(name, role, tuple(Sample(value, cpu=value / 2) for value in values))


def test_a_line_is_the_median_with_the_least_and_greatest_round() -> None:
    quantity = Quantity("wall", "s", "lower")

    (line,) = lines_of(quantity, [taken("hw", "us", 5.0, 1.0, 2.0)])

    assert (line.median, line.least, line.greatest, line.rounds, line.cpu) == (2.0, 1.0, 5.0, 3, 1.0)
    assert line.ratio is None


def test_a_ratio_is_taken_within_each_round_so_that_a_slow_round_cancels() -> None:
    ours = [Sample(1.0), Sample(10.0), Sample(1.0)]
    theirs = [Sample(2.0), Sample(20.0), Sample(4.0)]

    # 0.5, 0.5 and 0.25; the medians, 1.0 and 4.0, would have said 0.25
    assert paired_ratio(ours, theirs) == 0.5


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ((1.0, 1.5, 1.6), "≤ 1.5 s: met (2 of 3 rounds)"),
        ((1.0, 1.6, 1.7), "≤ 1.5 s: MISSED (1 of 3 rounds)"),
    ],
)
def test_a_limit_is_judged_on_the_median_and_says_how_many_rounds_kept_it(values: tuple[float, ...], said: str) -> None:
    (line,) = lines_of(Quantity("wall", "s", "lower", Goal(1.5)), [taken("hw", "us", *values)])

    assert line.goal == said


def test_a_share_is_judged_on_the_ratio_within_the_rounds() -> None:
    quantity = Quantity("rate", "/s", "higher", Goal(0.5, of="bare"))

    ours, floor = lines_of(quantity, [taken("hw", "us", 50, 600, 55), taken("bare", "floor", 100, 1000, 100)])

    assert ours.goal == "≥ 50 % of bare: met (3 of 3 rounds)"
    assert floor.ratio == 0.55


def test_what_failed_has_no_numbers_and_reaches_no_goal() -> None:
    broken = Taken("hw", "us", (Sample(0.001),), failed="'hw' ended with 3: it broke")

    ours, floor = lines_of(Quantity("wall", "s", "lower", Goal(1.5)), [broken, taken("pack", "floor", 1.0)])

    assert (ours.median, ours.ratio, ours.failed) == (None, None, "'hw' ended with 3: it broke")
    assert ours.goal == "≤ 1.5 s: failed"
    assert (floor.median, floor.ratio) == (1.0, None)


def test_a_share_of_what_failed_is_not_judged() -> None:
    quantity = Quantity("rate", "/s", "higher", Goal(0.5, of="bare"))

    ours, _ = lines_of(quantity, [taken("hw", "us", 50), Taken("bare", "floor", failed="it ended")])

    assert ours.goal == "≥ 50 % of bare: nothing to compare with"

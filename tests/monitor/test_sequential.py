from __future__ import annotations

from math import lgamma, log
from typing import Any

import numpy as np
import pytest

from headwater.monitor.sequential import (
    BETS,
    Evidence,
    bets_of_losses,
    bets_of_share,
    log_e_bound,
    log_e_shares,
    log_rising,
    strongest,
)
from headwater.monitor.stability import reference_shares, stability_index

ALPHA = 0.05
FEATURES = 20
LOOKS = 500
RUNS = 200


def most_alarms(runs: int, alpha: float) -> int:
    """Return the largest count of alarms that 999 of 1000 such simulations would stay at or under (binomial)."""
    chance, total = (1 - alpha) ** runs, 0.0
    for count in range(runs + 1):
        total += chance
        if total >= 0.999:
            return count
        chance *= (runs - count) / (count + 1) * alpha / (1 - alpha)
    return runs


def looks(seed: int, runs: int, shares: Any, rows: int, count: int = LOOKS) -> Any:
    """Yield counts per bin of one look after the other, shape (runs, features, bins)."""
    random = np.random.default_rng(seed)
    for _ in range(count):
        yield random.multinomial(rows, shares, size=(runs, FEATURES)).astype(float)


def test_the_index_is_the_symmetric_divergence() -> None:
    # 10 points moved from one of two equal bins: 0.1 * (ln 1.2 - ln 0.8)
    assert stability_index([50, 50], [40, 60]) == pytest.approx(0.1 * log(1.5))
    assert stability_index([40, 60], [50, 50]) == pytest.approx(0.1 * log(1.5))
    assert stability_index([5, 5], [500, 500]) == 0


def test_rising_factorials_agree_with_the_gamma_function() -> None:
    for a in (0.003, 0.5, 1.0, 7.9, 8.0, 250.0):
        for n in (0, 1, 2, 37, 10_000, 10**9):
            expected = lgamma(a + n) - lgamma(a)
            assert float(log_rising(np.array(a), np.array(float(n)))) == pytest.approx(expected, rel=1e-10, abs=1e-10)


def test_evidence_of_one_start_is_the_ratio_of_the_mixture_to_the_shares() -> None:
    # Two bins of one half, prior Dirichlet(10, 10), three rows in the first bin: (10*11*12)/(20*21*22) / (1/8)
    evidence = Evidence.new(2).add(np.array([3.0, 0.0]))

    mixed, alone = log_e_shares(evidence, np.array([0.5, 0.5]))

    ratio = (10 * 11 * 12) / (20 * 21 * 22) * 8
    assert alone[0] == pytest.approx(log(ratio))
    # The start has half the weight, the starts to come the other half, and count as 1.
    assert float(mixed) == pytest.approx(log(0.5 * ratio + 0.5))


def test_the_mixture_is_one_on_average() -> None:
    # All 16 outcomes of four looks of one row each, by their chances: the mean is 1 but for the starts that
    # thinning dropped, each of which was worth at most its weight.
    shares = np.array([0.3, 0.7])
    mean = 0.0
    for outcome in range(16):
        evidence, chance = Evidence.new(2), 1.0
        for look in range(4):
            hit = outcome >> look & 1
            evidence = evidence.add(np.array([hit, 1 - hit], float))
            chance *= shares[0] if hit else shares[1]
        mean += chance * float(np.exp(log_e_shares(evidence, shares)[0]))

    assert 0.9 < mean <= 1 + 1e-12


def test_bets_on_a_share_are_the_bets_on_its_rows() -> None:
    rows = np.array([1.0, 0.0, 0.0, 1.0, 0.0])

    assert bets_of_share(2, 5, 0.2) == pytest.approx(bets_of_losses(rows, 0.2))


def test_state_comes_back_with_every_bit() -> None:
    evidence = Evidence.new(3)
    for look in range(70):
        evidence = evidence.add(np.array([look / 3, 1e-300, -look]))

    back = Evidence.decode(evidence.encode())

    assert back.looks == 70
    assert back.starts.tobytes() == evidence.starts.tobytes()
    assert back.table.tobytes() == evidence.table.tobytes()


def test_what_is_kept_grows_with_the_logarithm_of_the_looks() -> None:
    evidence = Evidence.new(1)
    for _ in range(5000):
        evidence = evidence.add(np.ones(1))

    assert len(evidence.starts) <= 2 * 13 + 2
    assert evidence.starts[0] == 0
    assert evidence.table[:, 0].tolist() == (5000 - evidence.starts).tolist()


def share_of_runs_with_an_alarm(runs: int, bins: int, rows: int, seed: int) -> int:
    """Return how many of ``runs`` monitors of 20 features alarm in 500 looks at data that never changes."""
    shares = np.full(bins, 1 / bins)
    evidence, alarmed = Evidence.new(runs, FEATURES, bins), np.zeros(runs, bool)
    for counts in looks(seed, runs, shares, rows):
        evidence = evidence.add(counts)
        alarmed |= (log_e_shares(evidence, shares)[0] >= log(FEATURES / ALPHA)).any(axis=1)
    return int(alarmed.sum())


@pytest.mark.parametrize(("runs", "bins"), [(60, 5), pytest.param(RUNS, 10, marks=pytest.mark.long)])
def test_twenty_features_and_five_hundred_looks_alarm_falsely_in_at_most_alpha_of_runs(runs: int, bins: int) -> None:
    alarms = share_of_runs_with_an_alarm(runs, bins, rows=100, seed=1)

    assert alarms <= most_alarms(runs, ALPHA)


def test_a_p_value_per_look_alarms_falsely_in_nearly_every_run() -> None:
    # What the test above would have to catch: chi-square per look and feature, even with the correction for features.
    critical = 22.0  # chi-square with 4 degrees of freedom exceeds it with chance 0.0002 < 0.05 / 20
    shares = np.full(5, 1 / 5)
    alarmed = np.zeros(60, bool)
    for counts in looks(1, 60, shares, 100):
        statistic = ((counts - 20) ** 2 / 20).sum(-1)
        alarmed |= (statistic >= critical).any(axis=1)

    assert int(alarmed.sum()) > most_alarms(60, ALPHA)


def test_bets_against_a_bound_alarm_falsely_in_at_most_alpha_of_runs() -> None:
    random = np.random.default_rng(3)
    bound, runs = 0.05, 200
    evidence, alarmed = Evidence.new(runs, len(BETS)), np.zeros(runs, bool)
    for _ in range(LOOKS):
        hits = random.binomial(100, bound, runs)[:, None]  # the share stands exactly at its bound
        stakes = BETS / bound
        evidence = evidence.add(hits * np.log1p(stakes * (1 - bound)) + (100 - hits) * np.log1p(-stakes * bound))
        alarmed |= log_e_bound(evidence) >= log(1 / ALPHA)

    assert int(alarmed.sum()) <= most_alarms(runs, ALPHA)


def test_a_planted_drift_is_found_soon_after_a_long_quiet_time() -> None:
    shares = np.array([0.2, 0.2, 0.2, 0.2, 0.2])
    moved = np.array([0.32, 0.24, 0.2, 0.14, 0.1])
    random = np.random.default_rng(5)
    evidence = Evidence.new(5)
    for _ in range(300):
        evidence = evidence.add(random.multinomial(200, shares).astype(float))
    assert float(log_e_shares(evidence, shares)[0]) < log(FEATURES / ALPHA)

    needed = 0
    while float(log_e_shares(evidence, shares)[0]) < log(FEATURES / ALPHA):
        evidence = evidence.add(random.multinomial(200, moved).astype(float))
        needed += 1

    assert needed <= 5
    start = strongest(log_e_shares(evidence, shares)[1])
    assert 290 <= evidence.starts[start] <= 300


def test_a_tiny_drift_in_many_rows_is_evident_but_too_small_to_matter() -> None:
    reference = [200_000] * 5
    counts = np.array([205_000, 195_000, 200_000, 200_000, 200_000], float)

    log_e, _ = log_e_shares(Evidence.new(5).add(counts), reference_shares(reference))

    assert float(log_e) > log(FEATURES / ALPHA)
    assert stability_index(reference, counts.tolist()) < 0.001

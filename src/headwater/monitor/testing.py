"""The tests of a monitor: what each asks, how its evidence grows by a window, and whether it alarms.

A test is named by its cause (``drift:input:temp``, ``nulls:temp``, ``outside:temp``, ``refused``, ``brier``, ``auc``).
All tests of a monitor about one version share its ``alpha``: each alarms at an e-value of ``tests / alpha``.
"""

from __future__ import annotations

import math
from typing import Any

import msgspec
import numpy as np

from .sequential import Array, Evidence, bets_of_losses, bets_of_share, log_e_bound, log_e_shares, strongest
from .stability import reference_shares, stability_index


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What a test says after a window: the effect against its bar, the log of its e-value, and its evidence now.

    ``since`` is how many windows ago the change seems to have begun (0: in this one).
    """

    cause: str
    test: str
    feature: str
    statistic: float
    bar: float
    log_e: float
    rows: int
    evidence: Evidence
    since: int = 0
    extra: dict[str, Any] = {}

    def fires(self, tests: int, alpha: float) -> bool:
        """Whether the evidence is enough for ``tests`` tests that share ``alpha``, and the effect large enough."""
        return self.log_e >= math.log(tests / alpha) and self.statistic >= self.bar


def look_at_shares(
    cause: str, feature: str, before: Evidence | None, reference: list[int], counts: list[int], bar: float
) -> Outcome:
    """Return what a window's counts per bin say about drift from the reference's.

    The statistic is the stability index of all rows since the change seems to have begun, not of the window alone:
    a small window's index is large by chance.
    """
    evidence = (before or Evidence.new(len(counts))).add(np.asarray(counts, float))
    log_e, alone = log_e_shares(evidence, reference_shares(reference))
    start = strongest(alone)
    return Outcome(
        cause=cause,
        test="drift",
        feature=feature,
        statistic=stability_index(reference, evidence.table[start].tolist()),
        bar=bar,
        log_e=float(log_e),
        rows=sum(counts),
        evidence=evidence,
        since=evidence.looks - 1 - int(evidence.starts[start]),
        extra={"psi": stability_index(reference, counts)},
    )


def look_at_share(
    cause: str, test: str, feature: str, before: Evidence | None, hits: int, rows: int, bound: float
) -> Outcome:
    """Return what ``hits`` among ``rows`` say about a share that should be at most ``bound``.

    The bound already holds the effect that matters, so the bar repeats it.
    """
    limit = _inside(bound)
    evidence = (before or Evidence.new(len(bets_of_share(0, 0, limit)))).add(bets_of_share(hits, rows, limit))
    return _against_bound(cause, test, feature, evidence, hits / rows if rows else 0.0, limit, rows)


def look_at_losses(
    cause: str, test: str, before: Evidence | None, losses: Array, bound: float, statistic: float, bar: float
) -> Outcome:
    """Return what losses in [0, 1] say about a mean that should be at most ``bound``; ``statistic`` is for people."""
    limit = _inside(bound)
    won = bets_of_losses(losses, limit)
    evidence = (before or Evidence.new(len(won))).add(won)
    found = _against_bound(cause, test, "", evidence, float(np.mean(losses)), limit, len(losses))
    return msgspec.structs.replace(found, extra={"value": statistic, "limit": bar})


def _against_bound(
    cause: str, test: str, feature: str, evidence: Evidence, statistic: float, bound: float, rows: int
) -> Outcome:
    return Outcome(
        cause=cause,
        test=test,
        feature=feature,
        statistic=statistic,
        bar=bound,
        log_e=float(log_e_bound(evidence)),
        rows=rows,
        evidence=evidence,
    )


def _inside(bound: float) -> float:
    """Return a bound away from 0 and 1, where there is nothing to bet."""
    return min(max(bound, 1e-4), 0.999)

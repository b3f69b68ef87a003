"""Evidence that may be looked at as often as one likes: e-processes, and what is kept of them between looks.

An e-process is 1 on average, however long it runs, while nothing has changed; so the chance that it ever reaches
``1 / alpha`` is at most ``alpha``, over all looks together (Ville's inequality). Watching m things, each may alarm at
``m / alpha`` and the chance that any of them ever alarms falsely is still at most ``alpha``.

A change may come at any time, and what was gathered before it would drown it. So each look starts an e-process of its
own, and the evidence is their mixture with the weights 1/(w+1)(w+2), w = 0, 1, ...; those yet to start count as 1.
Of the older starts two per doubling of age are kept, which only makes the evidence smaller, never unfair.

Source: Ville (1939), Étude critique de la notion de collectif; Ramdas, Grünwald, Vovk, Shafer (2023), Game-theoretic
statistics and safe anytime-valid inference, Statist. Sci. 38, 576; for shares, Waudby-Smith and Ramdas (2024),
Estimating means of bounded random variables by betting, J. R. Stat. Soc. B 86, 1.
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from headwater import canonical

Array = np.ndarray[Any, Any]

CONCENTRATION = 10.0
"""How sure the mixture is that new shares resemble the old, in rows per bin: it expects shares to move by a third."""

BETS = np.array([0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 0.95])
"""Bets against a bound, as parts of the largest bet that can never lose everything on one row."""


class Evidence(msgspec.Struct, kw_only=True):
    """What a test keeps between looks: a sum since each start. ``table`` has shape (starts, ..., columns).

    The axes between hold tests that are looked at together; one test has none.
    """

    looks: int
    starts: Array
    table: Array

    @classmethod
    def new(cls, *shape: int) -> Evidence:
        """Return the evidence before the first look, for tests that each keep ``shape[-1]`` sums."""
        return cls(looks=0, starts=np.zeros(0, np.int64), table=np.zeros((0, *shape)))

    def add(self, sums: Array) -> Evidence:
        """Return the evidence after one more look, which adds ``sums`` to every start and is a start itself."""
        starts = np.append(self.starts, self.looks)
        table = np.concatenate([self.table, np.zeros((1, *sums.shape))]) + sums
        kept = _kept(starts, self.looks)
        return Evidence(looks=self.looks + 1, starts=starts[kept], table=table[kept])

    def mixed(self, log_values: Array) -> Array:
        """Return the log of the mixture of e-processes whose logs are given by start, shape (starts, ...)."""
        weights = -np.log((self.starts + 1.0) * (self.starts + 2.0))
        terms = log_values + weights.reshape(-1, *[1] * (log_values.ndim - 1))
        waiting = np.full((1, *log_values.shape[1:]), -np.log(self.looks + 1.0))
        return _log_sum(np.concatenate([terms, waiting]))

    def encode(self) -> bytes:
        """Return the evidence as bytes that give back every bit."""
        return canonical.encode([self.looks, self.starts.tolist(), self.table.tolist()])

    @classmethod
    def decode(cls, data: bytes) -> Evidence:
        """Return the evidence that ``encode`` wrote."""
        looks, starts, table = canonical.decode(data)
        return cls(looks=looks, starts=np.array(starts, np.int64), table=np.array(table, float))


def log_e_shares(evidence: Evidence, shares: Array) -> tuple[Array, Array]:
    """Return the log evidence that rows no longer fall in bins as ``shares`` says, and the log of each start alone.

    ``evidence`` holds counts per bin. Each start holds rows against the shares, with the Dirichlet mixture around them
    as the alternative: the ratio is a martingale row by row, so windows may have any size.
    """
    counts = evidence.table
    prior = CONCENTRATION * shares.shape[-1] * shares
    alternative = log_rising(prior, counts).sum(-1) - log_rising(prior.sum(-1), counts.sum(-1))
    alone = alternative - (counts * np.log(shares)).sum(-1)
    return evidence.mixed(alone), alone


def bets_of_losses(losses: Array, bound: float) -> Array:
    """Return the log wealth that each bet wins on losses in [0, 1] against a mean of at most ``bound``."""
    stakes = BETS / bound
    won: Array = np.log1p(np.outer(np.asarray(losses, float) - bound, stakes)).sum(axis=0)
    return won


def bets_of_share(hits: int, rows: int, bound: float) -> Array:
    """Return ``bets_of_losses`` of ``hits`` ones among ``rows`` rows."""
    stakes = BETS / bound
    won: Array = hits * np.log1p(stakes * (1 - bound)) + (rows - hits) * np.log1p(-stakes * bound)
    return won


def log_e_bound(evidence: Evidence) -> Array:
    """Return the log evidence that a mean is above the bound that the bets were made against."""
    return evidence.mixed(_log_sum(np.moveaxis(evidence.table, -1, 0)) - np.log(len(BETS)))


def strongest(alone: Array) -> int:
    """Return which start by itself says most: since when the change seems to be there."""
    return int(np.argmax(alone))


def log_rising(a: Array, n: Array) -> Array:
    """Return log(a (a+1) ... (a+n-1)) for a > 0 and n >= 0: the rising factorial, Gamma(a + n) / Gamma(a)."""
    return _log_gamma(a + n) - _log_gamma(a)


def _log_gamma(x: Array) -> Array:
    """Return log Gamma(x) for x > 0 within 1e-12, relatively: Stirling's series after a shift by 8 where x is small."""
    x = np.asarray(x, float)
    small = x < 8
    if small.any():
        low = np.where(small, x, 1.0)
        product = low.copy()
        for step in range(1, 8):
            product *= low + step
        shifted = np.where(small, x + 8, x)
        return np.where(small, _stirling(shifted) - np.log(product), _stirling(shifted))
    return _stirling(x)


def _stirling(x: Array) -> Array:
    # Abramowitz and Stegun (1964), 6.1.41.
    inverse = 1 / x
    square = inverse * inverse
    series = inverse * (1 / 12 - square * (1 / 360 - square * (1 / 1260 - square * (1 / 1680 - square / 1188))))
    return np.asarray((x - 0.5) * np.log(x) - x + 0.9189385332046727 + series)


def _log_sum(logs: Array) -> Array:
    top = logs.max(axis=0)
    return np.asarray(top + np.log(np.exp(logs - top).sum(axis=0)))


def _kept(starts: Array, now: int) -> Array:
    """Return which starts to keep: all young ones, of older ones those that later thinning keeps too."""
    age = np.maximum(now - starts, 1)
    spacing = 2 ** np.maximum(np.floor(np.log2(age)).astype(np.int64) - 1, 0)
    return np.asarray(starts % spacing == 0)

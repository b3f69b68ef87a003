"""When a canary grows, stays or goes back: the rules of a channel, and the judgement over live figures. Pure.

Declared per channel::

    [channels.production.canary]
    stages = [5, 25, 50]      # percent of requests; behind the last stage the channel moves
    hold_s = 600              # each stage lasts at least so long ...
    least = 200               # ... and until the version gave so many answers
    failures_over = 0.01      # its share of failed answers may be so much above the present version's
    latency_ratio = 1.5       # its p95 may be so many times the present version's
    wait_s = 86400            # a stage that has not gathered ``least`` answers by then goes back
"""

from __future__ import annotations

from math import sqrt
from typing import Literal

import msgspec

SURE = 4.0
"""Standard errors of the interval that ends a stage early: 1 in 30,000 looks at a sound version would."""

SLACK_US = 2000
"""A p95 within so much of the present version's is never too slow: of a quick model a ratio says little."""

PERCENT = 100


class CanaryRules(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a canary grows in one channel (the module's text shows each key)."""

    stages: tuple[float, ...] = (5, 25, 50)
    hold_s: float = 600
    least: int = 200
    failures_over: float = 0.01
    latency_ratio: float = 1.5
    wait_s: float = 86_400

    def __post_init__(self) -> None:
        growing = all(a < b for a, b in zip(self.stages, self.stages[1:], strict=False))
        if not self.stages or not growing or not all(0.01 <= each <= PERCENT for each in self.stages):
            raise ValueError("stages are growing percentages of requests, from 0.01 to 100")
        if min(self.hold_s, self.least, self.failures_over) < 0 or self.latency_ratio < 1:
            raise ValueError("hold_s, least and failures_over are at least 0, and latency_ratio at least 1")
        if self.wait_s <= self.hold_s:
            raise ValueError("wait_s is more than hold_s")


class Side(msgspec.Struct, frozen=True, kw_only=True):
    """What one version did in a stage. ``failures``: requests it failed to answer, beside its ``answers``."""

    answers: int = 0
    failures: int = 0
    p95_us: int | None = None


class Live(msgspec.Struct, frozen=True, kw_only=True):
    """The live figures of a stage, and the alarms (refs) that fired about the canary since it began."""

    canary: Side
    stable: Side
    alarms: tuple[str, ...] = ()


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What a stage calls for, and why in a sentence."""

    act: Literal["wait", "grow", "back"]
    why: str


def shares_of(rules: CanaryRules) -> tuple[int, ...]:
    """Return the stages as shares of 10,000 requests."""
    return tuple(round(each * PERCENT) for each in rules.stages)


def judge(rules: CanaryRules, live: Live, seconds: float) -> Verdict:
    """Return what a stage calls for after so many ``seconds``. What is surely wrong ends it at once."""
    wrong = _wrong(rules, live, enough=False)
    if wrong:
        return Verdict(act="back", why=wrong)
    gathered = live.canary.answers + live.canary.failures
    if seconds < rules.hold_s:
        return Verdict(
            act="wait", why=f"{gathered:,} answers in {seconds:,.0f} of {rules.hold_s:,.0f} s; nothing wrong"
        )
    if gathered < rules.least:
        if seconds >= rules.wait_s:
            return Verdict(act="back", why=f"only {gathered:,} of {rules.least:,} answers in {seconds:,.0f} s")
        return Verdict(act="wait", why=f"{gathered:,} of {rules.least:,} answers so far; nothing wrong")
    wrong = _wrong(rules, live, enough=True)
    if wrong:
        return Verdict(act="back", why=wrong)
    return Verdict(act="grow", why=_well(live))


def _wrong(rules: CanaryRules, live: Live, *, enough: bool) -> str:
    """Return what is wrong: surely so, or, where there are answers enough to end the stage, as measured."""
    if live.alarms:
        return f"{len(live.alarms)} alarm{'s' if len(live.alarms) > 1 else ''} about it: {', '.join(live.alarms[:3])}"
    failed, beside = _share(live.canary), _share(live.stable)
    least = failed if enough else wilson_low(live.canary.failures, live.canary.answers + live.canary.failures)
    if least > beside + rules.failures_over:
        return (
            f"it failed {live.canary.failures:,} of {live.canary.answers + live.canary.failures:,} requests "
            f"({failed:.1%}; the present version {beside:.1%}, and {rules.failures_over:.1%} more is allowed)"
        )
    ours, theirs = live.canary.p95_us, live.stable.p95_us
    if enough and ours is not None and theirs is not None and ours > rules.latency_ratio * theirs + SLACK_US:
        return (
            f"95 of 100 answers within {ours / 1000:.1f} ms, the present version's within {theirs / 1000:.1f} ms: more "
            f"than {rules.latency_ratio:g} times as long"
        )
    return ""


def wilson_low(hits: int, count: int, z: float = SURE) -> float:
    """Return the lower end of Wilson's interval of a share; 0 where nothing was counted.

    Source: Wilson (1927), J. Am. Stat. Assoc. 22, 209.
    """
    if not count:
        return 0.0
    share = hits / count
    middle = share + z * z / (2 * count)
    half = z * sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    return max(0.0, (middle - half) / (1 + z * z / count))


def _share(side: Side) -> float:
    asked = side.answers + side.failures
    return side.failures / asked if asked else 0.0


def _well(live: Live) -> str:
    late = f", 95 of 100 within {live.canary.p95_us / 1000:.1f} ms" if live.canary.p95_us is not None else ""
    return f"{live.canary.answers:,} answers, {live.canary.failures:,} failures{late}: the figures hold"

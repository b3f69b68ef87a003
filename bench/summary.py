"""From samples to what is shown: medians, the spread, ratios within a round, and whether a goal is met."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from .values import Better, Goal, Quantity, Role, Sample


@dataclass(frozen=True, slots=True)
class Taken:
    """What a contender gave, round by round; ``failed`` holds why it has no result, and then nothing else counts."""

    name: str
    role: Role
    samples: tuple[Sample, ...] = ()
    failed: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the table. ``ratio`` is ours divided by this one's, the median over the rounds that both ran.

    A line that failed has no numbers at all: what broke half-way must not look fast.
    """

    name: str
    role: Role
    median: float | None = None
    least: float | None = None
    greatest: float | None = None
    rounds: int = 0
    cpu: float | None = None
    ratio: float | None = None
    goal: str = ""
    failed: str = ""


def lines_of(quantity: Quantity, taken: Sequence[Taken]) -> list[Line]:
    """Return a line per contender, in their order, with our goal judged on our own line."""
    ours = next((each for each in taken if each.role == "us" and not each.failed and each.samples), None)
    return [_line(quantity, each, ours, taken) for each in taken]


def _line(quantity: Quantity, one: Taken, ours: Taken | None, everyone: Sequence[Taken]) -> Line:
    goal = _judged(quantity, one, everyone) if one.role == "us" else ""
    if one.failed or not one.samples:
        return Line(one.name, one.role, goal=goal, failed=one.failed or "gave no sample")
    values = [each.value for each in one.samples]
    cpu = [each.cpu for each in one.samples if each.cpu is not None]
    return Line(
        one.name,
        one.role,
        median=median(values),
        least=min(values),
        greatest=max(values),
        rounds=len(values),
        cpu=median(cpu) if cpu else None,
        ratio=None if ours is None or one is ours else paired_ratio(ours.samples, one.samples),
        goal=goal,
    )


def paired_ratio(ours: Sequence[Sample], theirs: Sequence[Sample]) -> float:
    """Return the median over the rounds of ours divided by theirs; a slow round slows both and cancels."""
    return median(ratios(ours, theirs))


def ratios(ours: Sequence[Sample], theirs: Sequence[Sample]) -> list[float]:
    """Return ours divided by theirs, round by round."""
    return [mine.value / other.value for mine, other in zip(ours, theirs, strict=True)]


def _judged(quantity: Quantity, ours: Taken, everyone: Sequence[Taken]) -> str:
    """Return "" without a goal, else what was wanted and whether the median and how many rounds reached it."""
    goal = quantity.goal
    if goal is None:
        return ""
    wanted = goal_text(quantity, goal)
    if ours.failed or not ours.samples:
        return f"{wanted}: failed"
    values = [each.value for each in ours.samples]
    if goal.of:
        other = next((each for each in everyone if each.name == goal.of and not each.failed), None)
        if other is None:
            return f"{wanted}: nothing to compare with"
        values = ratios(ours.samples, other.samples)
    reached = sum(reaches(each, goal.limit, quantity.better) for each in values)
    verdict = "met" if reaches(median(values), goal.limit, quantity.better) else "MISSED"
    return f"{wanted}: {verdict} ({reached} of {len(values)} rounds)"


def reaches(value: float, limit: float, better: Better) -> bool:
    """Tell whether a value is on the good side of a limit; the limit itself is."""
    return value <= limit if better == "lower" else value >= limit


def goal_text(quantity: Quantity, goal: Goal) -> str:
    """Return a goal as people write it: ``≤ 1.5 s``, ``≥ 50 % of bare``."""
    sign = "≤" if quantity.better == "lower" else "≥"
    if goal.of:
        return f"{sign} {goal.limit:.0%} of {goal.of}".replace("%", " %")
    return f"{sign} {number(goal.limit)} {quantity.unit}"


def number(value: float) -> str:
    """Return a number with three figures, whole from a hundred up."""
    if value == 0:
        return "0"
    if abs(value) >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.3g}"

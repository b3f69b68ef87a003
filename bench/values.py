"""What a measure is made of: quantities, who is compared, and one timed sample."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

Role = Literal["us", "floor", "peer"]
Better = Literal["lower", "higher"]


class MeasureError(Exception):
    """A measure that could not be taken; the text says why and becomes the row."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One measurement and the CPU that it cost, in the unit its quantity names (None: not counted)."""

    value: float
    cpu: float | None = None


@dataclass(frozen=True, slots=True)
class Goal:
    """What we want of our own median: a limit, or a share of what the contender ``of`` reaches in the same round."""

    limit: float
    of: str = ""


@dataclass(frozen=True, slots=True)
class Quantity:
    """What is measured. ``cpu_unit`` is the unit of the samples' CPU."""

    name: str
    unit: str
    better: Better
    goal: Goal | None = None
    cpu_unit: str = "s"


Go = Callable[[Path], dict[str, Sample]]


@dataclass(frozen=True, slots=True)
class Contender:
    """One way to do the work. ``go`` gets a fresh empty folder and returns a sample per quantity it has.

    ``missing`` says why it cannot run at all; then ``go`` is never called.
    """

    name: str
    role: Role
    go: Go
    missing: str = ""


@dataclass(frozen=True, slots=True)
class Comparison:
    """The same work by several contenders. ``warm``: one uncounted pass first; ``times``: rounds per asked round.

    ``once`` is for what does not vary, such as a size.
    """

    name: str
    quantities: tuple[Quantity, ...]
    contenders: tuple[Contender, ...]
    warm: bool = False
    times: int = 1
    once: bool = False


def absent(name: str, role: Role, why: str) -> Contender:
    """Return a contender that cannot run, so that its row says why."""

    def never(folder: Path) -> dict[str, Sample]:
        raise MeasureError(why)

    return Contender(name, role, never, missing=why)


def without_goals(comparison: Comparison) -> Comparison:
    """Return the comparison with nothing to reach."""
    return replace(comparison, quantities=tuple(replace(each, goal=None) for each in comparison.quantities))


def without_peers(comparison: Comparison) -> Comparison:
    """Return the comparison of us with the floor alone."""
    return replace(comparison, contenders=tuple(each for each in comparison.contenders if each.role != "peer"))

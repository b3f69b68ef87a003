"""What readiness hands out: scores of tests, levels, phases, each with what it was read from."""

from __future__ import annotations

from typing import Literal

import msgspec

Way = Literal["", "by hand", "by itself"]
"""How what was found came about: not shown, by a person, or by a trigger or the platform. Worth 0, 0.5 and 1 point."""

POINTS: dict[Way, float] = {"": 0.0, "by hand": 0.5, "by itself": 1.0}


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """What the ledger says of one test: the sentence, the way it came about, when, and the refs that say so.

    ``at`` is None where nothing was found, and where what was found does not grow old.
    """

    found: str
    way: Way = ""
    at: int | None = None
    evidence: tuple[str, ...] = ()
    do: str = ""


class Score(msgspec.Struct, frozen=True, kw_only=True):
    """One test of the ML Test Score: 0, 0.5 or 1 point.

    ``found`` says what the ledger holds, ``wants`` what would be worth a point, ``do`` the next act where a point or a
    half is missing, ``cost`` how much that act takes (1 a command, 2 a declaration in headwater.toml, 3 code of the
    team, 4 something that must come to exist first, such as outcomes). ``valid_until`` is when the points expire.
    """

    test: str
    section: str
    title: str
    points: float
    found: str
    wants: str
    do: str
    cost: int
    valid_days: int
    measured_at: int | None = None
    valid_until: int | None = None
    evidence: tuple[str, ...] = ()


class Section(msgspec.Struct, frozen=True, kw_only=True):
    """The sum of one section's seven tests."""

    name: str
    points: float


class Level(msgspec.Struct, frozen=True, kw_only=True):
    """One technology readiness level: what it asks for, whether that is met, and what was found."""

    level: int
    wants: str
    met: bool
    found: str


class PhaseCheck(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that a phase must leave behind, whether it did, and what was found."""

    name: str
    met: bool
    found: str


class Phase(msgspec.Struct, frozen=True, kw_only=True):
    """A phase of CRISP-ML(Q) with its checks."""

    name: str
    checks: tuple[PhaseCheck, ...]

    @property
    def met(self) -> int:
        """How many of its checks are met."""
        return sum(check.met for check in self.checks)


class Readiness(msgspec.Struct, frozen=True, kw_only=True):
    """How ready a model version is, as the ledger shows it at one moment.

    ``score`` is the least of the four sections, ``lowest`` their name; ``level`` the technology readiness level, 0 to
    9. ``next`` names the tests whose next act raises the lowest section, the cheapest first.
    """

    model: str
    version: str
    computed_at: int
    score: float
    verdict: str
    lowest: str
    level: int
    next: tuple[str, ...]
    sections: tuple[Section, ...]
    tests: tuple[Score, ...]
    levels: tuple[Level, ...]
    phases: tuple[Phase, ...]

    def test(self, name: str) -> Score:
        """Return the score of a test by its short name (``M5``)."""
        return next(each for each in self.tests if each.test == name)

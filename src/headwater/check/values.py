"""What checks speak in: declarations, results, verdicts, publications."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from ..lake import Version

Outcome = Literal["passed", "warned", "failed"]
Severity = Literal["fail", "warn"]


class CheckResult(msgspec.Struct, frozen=True, kw_only=True):
    """What one check found.

    ``found`` says what is there, ``value`` and ``expected`` the measured and the demanded figure; ``why`` it matters,
    ``owner`` whom to ask, ``do`` what to do. ``sample`` holds up to ten offending rows. ``traceback`` is the user's
    own when a check crashed, which counts as failed.
    """

    name: str
    kind: str
    outcome: Outcome
    found: str
    value: float | int | str | None = None
    expected: str = ""
    why: str = ""
    owner: str = ""
    do: str = ""
    sample: tuple[dict[str, Any], ...] = ()
    traceback: str = ""

    @property
    def message(self) -> str:
        """The finding as a person reads it: what was found, why it matters, whom to ask, what to do."""
        parts = [f"{self.name}: {self.found}"]
        if self.why:
            parts.append(f"Why it matters: {self.why}")
        if self.owner:
            parts.append(f"Ask: {self.owner}")
        if self.do:
            parts.append(f"What to do: {self.do}")
        return " · ".join(parts)


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """All results of checking one version: a fact. ``declared`` is the digest of the declarations it covers.

    ``baseline`` is the id of the version that comparisons were made with, None where there was none.
    """

    id: str
    version: str
    dataset: str
    outcome: Outcome
    results: tuple[CheckResult, ...]
    declared: str
    created_at: int
    author: str
    baseline: str | None = None

    @property
    def failures(self) -> tuple[CheckResult, ...]:
        """The results that failed."""
        return tuple(r for r in self.results if r.outcome == "failed")


class Publication(msgspec.Struct, frozen=True, kw_only=True):
    """How publishing went: the version, its verdicts, and whether the branch now points to it."""

    version: Version
    verdicts: tuple[Verdict, ...]
    published: bool
    branch: str
    message: str

    @property
    def verdict(self) -> Verdict | None:
        """The verdict of this publication, None where nothing is declared for the dataset."""
        return self.verdicts[-1] if self.verdicts else None


class Quarantined(msgspec.Struct, frozen=True, kw_only=True):
    """A version that failed its checks and was not released: readable, but on no protected branch."""

    version: Version
    verdict: Verdict

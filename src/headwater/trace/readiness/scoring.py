"""The readiness of a model version: computed from the ledger, and recorded as evidence that cards and gates read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime

import msgspec

from headwater.evaluate import Evidence, record_evidence
from headwater.evaluate.words import card_words
from headwater.model import get_model_version
from headwater.operation import operation
from headwater.project import Project

from . import data_tests, infrastructure_tests, model_tests, monitoring_tests
from .catalogue import SECTIONS, TESTS, Test, readiness_rules
from .facts import DAY_US, Facts
from .levels import levels_of, reached
from .phases import phases_of
from .values import POINTS, Finding, Readiness, Score, Section

_SCORERS: Mapping[str, Callable[[Facts], Finding]] = {
    **data_tests.SCORERS,
    **model_tests.SCORERS,
    **infrastructure_tests.SCORERS,
    **monitoring_tests.SCORERS,
}


@operation("model.readiness", needs="model:read")
def model_readiness(project: Project, model: str) -> Readiness:
    """Return how ready a version is: the ML Test Score, the technology readiness level, the phases of CRISP-ML(Q).

    Everything is read from the ledger as it is now. Where evidence is missing, expired, only typed in or about another
    version, a test has 0 points and says what would make them.

    Raises:
        NotFoundError: there is no such version.
        InvalidInputError: ``[readiness]`` in headwater.toml cannot be read.
    """
    rules = readiness_rules(project.settings)
    version = get_model_version(project, model)
    facts = Facts(project, version, rules, project.clock())
    scores = {test.name: _score(facts, test) for test in TESTS}
    sections = tuple(_section(name, scores) for name in SECTIONS)
    lowest = min(sections, key=lambda each: each.points)
    levels = levels_of(facts, scores)
    return Readiness(
        model=version.label,
        version=version.id,
        computed_at=facts.now,
        score=lowest.points,
        verdict=verdict_of(lowest.points),
        lowest=lowest.name,
        level=reached(levels),
        next=tuple(each.test for each in next_acts(scores, lowest.name)),
        sections=sections,
        tests=tuple(scores.values()),
        levels=levels,
        phases=phases_of(facts, card_words(project, version.id).words, scores),
    )


@operation("model.readiness.record", needs="model:write")
def record_readiness(project: Project, model: str) -> Evidence:
    """Compute a version's readiness and record it as evidence of kind ``readiness``, for its card and for gates.

    The body: ``score``, ``lowest``, ``level``, ``sections`` (name to points), ``tests`` (short name to points, found
    and valid_until), ``phases`` (name to met, of), ``next``, ``sentence``, and ``valid_until``: when the first points
    in it expire, null where none do.
    """
    found = model_readiness(project, model)
    until = [each.valid_until for each in found.tests if each.points and each.valid_until is not None]
    body = {
        "score": found.score,
        "lowest": found.lowest,
        "level": found.level,
        "sections": {each.name: each.points for each in found.sections},
        "tests": {
            each.test: {"points": each.points, "found": each.found, "valid_until": each.valid_until}
            for each in found.tests
        },
        "phases": {each.name: {"met": each.met, "of": len(each.checks)} for each in found.phases},
        "next": list(found.next[:3]),
        "valid_until": min(until, default=None),
        "sentence": readiness_sentence(found),
    }
    against = sorted({ref for each in found.tests if each.points for ref in each.evidence})
    return record_evidence(project, f"modelversion:{found.version}", "readiness", body, against=against)


def readiness_sentence(found: Readiness) -> str:
    """Return readiness in one sentence, with the cheapest act that raises it."""
    said = f"ML Test Score {found.score:g} of 7 (the {found.lowest} section), technology readiness level {found.level}"
    return f"{said}; next: {found.test(found.next[0]).do}" if found.next else said


def verdict_of(score: float) -> str:
    """Return what the source says of a score at the two ends of its scale, '' between."""
    if score == 0:
        return "more of a research project than a productionized system"
    return "exceptional" if score > 5 else ""


def next_acts(scores: Mapping[str, Score], section: str) -> list[Score]:
    """Return the tests of a section that lack points, the cheapest act first, then what brings more points."""
    lacking = [each for each in scores.values() if each.section == section and each.points < 1]
    return sorted(lacking, key=lambda each: (each.cost, each.points))


def _section(name: str, scores: Mapping[str, Score]) -> Section:
    return Section(name=name, points=sum(each.points for each in scores.values() if each.section == name))


def _score(facts: Facts, test: Test) -> Score:
    found = _SCORERS[test.name](facts)
    days = facts.rules.days(test)
    until = None if found.at is None else found.at + days * DAY_US
    if found.way and until is not None and until <= facts.now:
        expired = f"{found.found}; that held until {_date(until)} ({days} days)"
        found = msgspec.structs.replace(found, way="", found=expired)
    do = found.do or test.do.format(facts.version.label, facts.version.model)
    if found.way == "by hand" and not found.do:
        do = f"{do}, in a job of a trigger for the other half"
    return Score(
        test=test.name,
        section=test.section,
        title=test.title,
        points=POINTS[found.way],
        found=found.found,
        wants=test.wants,
        do="" if found.way == "by itself" else do,
        cost=test.cost,
        valid_days=days,
        measured_at=found.at,
        valid_until=until if found.way else None,
        evidence=found.evidence,
    )


def _date(at: int) -> str:
    return datetime.fromtimestamp(at / 1e6, UTC).strftime("%Y-%m-%d")

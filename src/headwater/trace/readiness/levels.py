"""Technology readiness levels 1 to 9, from the same evidence.

Which level asks for what is this project's own reading of the scale; no standard maps it to machine learning.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from .facts import Facts, days_between
from .values import Level, Score

Asked = tuple[str, Callable[[Facts, Mapping[str, Score]], tuple[bool, str]]]


def levels_of(facts: Facts, scores: Mapping[str, Score]) -> tuple[Level, ...]:
    """Return the nine levels; one is met where what it asks for is there, and all below it are met."""
    return tuple(_levels(facts, scores))


def reached(levels: tuple[Level, ...]) -> int:
    """Return the highest level that is met, 0 where not even the first is."""
    return max((each.level for each in levels if each.met), default=0)


def _levels(facts: Facts, scores: Mapping[str, Score]) -> Iterator[Level]:
    below = True
    for number, (wants, look) in enumerate(_ASKED, 1):
        met, found = look(facts, scores)
        below = below and met
        yield Level(level=number, wants=wants, met=below, found=found)


def _data(facts: Facts, scores: Mapping[str, Score]) -> tuple[bool, str]:
    named = ", ".join(f"{each.dataset} v{each.number}" for each in facts.data)
    return bool(named), f"trained on {named}" if named else "no training data are named"


def _made(facts: Facts, scores: Mapping[str, Score]) -> tuple[bool, str]:
    run = facts.run
    return run is not None, f"made by run {run.id}" if run else "no run is named that made it"


def _measured(facts: Facts, scores: Mapping[str, Score]) -> tuple[bool, str]:
    found = facts.newest("evaluation")
    shown = found is not None and bool(facts.way_of(found))
    return shown, f"evaluated on {found.body.get('rows', 0):,} rows" if found and shown else "no evaluation is recorded"


def _points(*tests: str) -> Callable[[Facts, Mapping[str, Score]], tuple[bool, str]]:
    def look(facts: Facts, scores: Mapping[str, Score]) -> tuple[bool, str]:
        missing = [name for name in tests if not scores[name].points]
        said = "; ".join(f"{name}: {scores[name].found}" for name in missing or tests)
        return not missing, said

    return look


def _staged(facts: Facts, scores: Mapping[str, Score]) -> tuple[bool, str]:
    been = sorted({each.channel for each in facts.releases if each.version == facts.version.id})
    return bool(been), f"released to {', '.join(been)}" if been else "it was released to no channel"


def _in_production(facts: Facts, scores: Mapping[str, Score]) -> tuple[bool, str]:
    watched, said = _points("Mo2", "Mo3")(facts, scores)
    if "production" not in facts.channels:
        return False, "production does not point to it"
    return watched, f"in production; {said}"


def _proven(facts: Facts, scores: Mapping[str, Score]) -> tuple[bool, str]:
    release = facts.channels.get("production")
    if release is None:
        return False, "production does not point to it"
    days = days_between(release.released_at, facts.now)
    good, said = _points("Mo7")(facts, scores)
    found = f"in production for {days:.0f} of {facts.rules.proven_days} days; {said}"
    return good and days >= facts.rules.proven_days, found


_ASKED: tuple[Asked, ...] = (
    ("the data that it is about are there", _data),
    ("a recorded run made it", _made),
    ("its answers were measured against the truth", _measured),
    ("its training can be repeated, and its data are checked (I1, D1)", _points("I1", "D1")),
    ("nothing simpler does as well (M5)", _points("M5")),
    ("its whole flow runs again, and gates validated it (I3, I4)", _points("I3", "I4")),
    ("it was released to a channel, on data as they come", _staged),
    ("it is in production, its inputs watched (Mo2, Mo3)", _in_production),
    ("it has proven itself in production against outcomes (Mo7)", _proven),
)

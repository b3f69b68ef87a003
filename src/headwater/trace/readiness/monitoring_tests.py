"""The monitoring section: notices, invariants, skew, age, numbers that are none, speed and quality in production."""

from __future__ import annotations

import math
from typing import Any

from headwater.evaluate import Evidence, find_evidence
from headwater.serve import list_predictions

from .facts import Facts, body_of, days_between
from .values import Finding

SLOWER = 0.25
"""By how much more a version may cost than the one before."""
_COSTS = ("p50_ms", "p99_ms", "memory_mib")
ANSWERS = 500
"""How many of the newest answers are looked through for NaN and infinities."""


def notices(facts: Facts) -> Finding:
    """Mo1: somebody was told of a change of the data that it descends from."""
    rows = facts.rows(
        "SELECT id, notifier, event, ref, ended_at FROM deliveries WHERE status = 'sent' "
        "AND event IN ('version', 'verdict', 'branch', 'pull') ORDER BY id DESC LIMIT 1000",
        (),
    )
    for row in rows:
        dataset = _dataset_of(facts, row.ref)
        if dataset in facts.upstream:
            found = f"'{row.notifier}' was told of a {row.event} of {dataset}"
            return Finding(found=found, way="by itself", at=row.ended_at, evidence=(row.ref,))
    return Finding(found="no message about its training data was ever sent")


def _dataset_of(facts: Facts, ref: str) -> str:
    kind, _, name = ref.partition(":")
    if kind == "branch":
        return name.rpartition("/")[0]
    table = {"version": "versions", "verdict": "verdicts", "pull": "pulls"}.get(kind)
    if table is None:
        return ""
    rows = facts.rows(f"SELECT dataset FROM {table} WHERE id = ?", (name,))
    return str(rows[0].dataset) if rows else ""


def invariants(facts: Facts) -> Finding:
    """Mo2: what comes in is held against what training saw."""
    return facts.watched("quality")


def skew(facts: Facts) -> Finding:
    """Mo3: no input of the newest window has drifted beyond its bar."""
    windows = facts.windows("drift")
    columns = body_of(windows[0]).get("columns", []) if windows else []
    beyond = [each["name"] for each in columns if each["side"] == "input" and each["psi"] > each["bar"]]
    return facts.watched("drift", f"beyond the bar: {', '.join(beyond)}" if beyond else "")


def age(facts: Facts) -> Finding:
    """Mo4: it is younger than the age from which versions of the model were seen to be worse."""
    curve = facts.newest("staleness")
    if curve is None:
        return Finding(found="no staleness curve says how old it may become")
    limit = curve.body.get("worse_after_days")
    limit = curve.body.get("oldest_days") if limit is None else limit
    if limit is None:
        return Finding(found="the staleness curve measured no age", evidence=(curve.ref,))
    days = days_between(facts.version.created_at, facts.now)
    found = f"it is {days:.0f} days old, and versions are known to hold for {limit:.0f}"
    return facts.shown(curve, "", days < limit, found)


def stable(facts: Facts) -> Finding:
    """Mo5: its export agrees to the edges of 32-bit floats, and none of its newest answers is NaN or infinite."""
    kind = "parity" if len({file.flavour for file in facts.version.files if file.flavour}) > 1 else "spec_tests"
    searched = facts.newest(kind)
    missing = f"no evidence '{kind}' is recorded"
    answers = list_predictions(facts.project, version=facts.version.id, limit=ANSWERS)
    odd = sum(any(_is_odd(value) for value in each.outputs.values()) for each in answers)
    if not answers:
        return Finding(found="it has not answered yet, so its numbers were seen nowhere but in tests")
    passed = bool(searched and searched.body.get("passed") is True) and not odd
    return facts.shown(searched, missing, passed, f"{odd} of its newest {len(answers)} answers are NaN or infinite")


def _is_odd(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return any(_is_odd(each) for each in value)
    return isinstance(value, float) and not math.isfinite(value)


def speed(facts: Facts) -> Finding:
    """Mo6: its latency and memory are not much worse than those of the version before, measured on the same machine."""
    newest = facts.newest("budget")
    if newest is None:
        return Finding(found="no budget of latency and memory is recorded")
    before = _budget_before(facts, newest)
    if before is None:
        said = "its latency and memory are known, and no other version was measured on the same machine"
        return facts.shown(newest, "", True, said)
    worse = [name for name in _COSTS if _value(newest, name) > (1 + SLOWER) * _value(before, name)]
    said = f"more than {SLOWER:.0%} worse than before: {', '.join(worse)}" if worse else "no cost has grown much"
    return facts.shown(newest, "", not worse, said)


def _budget_before(facts: Facts, newest: Evidence) -> Evidence | None:
    for version in facts.versions:
        if version.number >= facts.version.number:
            continue
        found = find_evidence(facts.project, version.ref, "budget")
        if found is not None and found.body.get("machine") == newest.body.get("machine"):
            return found
    return None


def _value(evidence: Evidence, name: str) -> float:
    found = evidence.body.get(name)
    return float(found) if isinstance(found, int | float) else math.nan  # compared with NaN nothing is worse


def quality(facts: Facts) -> Finding:
    """Mo7: with the outcomes that came, it is as good as its evaluation said."""
    return facts.watched("performance")


SCORERS = {
    "Mo1": notices,
    "Mo2": invariants,
    "Mo3": skew,
    "Mo4": age,
    "Mo5": stable,
    "Mo6": speed,
    "Mo7": quality,
}

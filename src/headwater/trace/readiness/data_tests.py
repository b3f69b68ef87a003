"""The data section: what is expected of features, what each is worth and costs, and who may use them."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median

from .facts import Facts, days_between
from .values import Finding


def schema(facts: Facts) -> Finding:
    """D1: every input is checked on the training data, by checks that notice planted faults."""
    if not facts.data:
        return Finding(found="no dataset version is named as training data")
    refs = []
    declared = set()
    for version in facts.data:
        verdicts = facts.rows(
            "SELECT id, outcome, declared FROM verdicts WHERE version = ? ORDER BY turn DESC LIMIT 1", (version.id,)
        )
        label = f"{version.dataset} v{version.number}"
        if not verdicts or not verdicts[0].declared:
            do = f"declare [[checks.{version.dataset}]], then hw check run {version.dataset}@v{version.number}"
            return Finding(found=f"no declared check ran on {label}", do=do)
        if verdicts[0].outcome == "failed":
            return Finding(found=f"{label} failed its checks", evidence=(f"verdict:{verdicts[0].id}",))
        refs.append(f"verdict:{verdicts[0].id}")
        declared.add(verdicts[0].declared)
    drill = facts.newest("data_tests")
    if drill is not None and set(drill.body.get("declared", ())) != declared:
        return Finding(
            found="the checks were changed since it was tried whether they notice faults", evidence=(drill.ref,)
        )
    missing = "the training data passed its checks; whether they notice faults was not tried"
    found = facts.shown(drill, missing, *_said(drill.body if drill else {}))
    return Finding(found=found.found, way=found.way, at=found.at, evidence=(*refs, *found.evidence))


def _said(body: dict[str, object]) -> tuple[bool, str]:
    return body.get("passed") is True, str(body.get("sentence", ""))


def beneficial(facts: Facts) -> Finding:
    """D2: shuffling any input costs something, beyond its interval."""
    found = facts.newest("explanation")
    if found is None:
        return Finding(found="no explanation is recorded")
    measured = {each["input"] for each in found.body.get("inputs", ())}
    unseen = [field.name for field in facts.version.contract.inputs if field.name not in measured]
    unused = [*found.body.get("unused", ()), *unseen]
    said = f"{len(unused)} inputs are not shown to help: {', '.join(unused[:8])}" if unused else "every input helps"
    return facts.shown(found, "", not unused, said)


def costs(facts: Facts) -> Finding:
    """D3: what each feature costs, as the team measured it."""
    return facts.own("feature_costs")


def policy(facts: Facts) -> Finding:
    """D4: that every input may be used for this, as the team found."""
    return facts.own("feature_policy")


def privacy(facts: Facts) -> Finding:
    """D5: a scan for personal data that passed, and an erasure that was carried out in the data it descends from."""
    scan = facts.own("privacy_scan")
    if not scan.way:
        return scan
    erased = [
        row
        for row in facts.rows(
            "SELECT id, dataset, done_at FROM erasures WHERE done_at IS NOT NULL ORDER BY id DESC", ()
        )
        if row.dataset in facts.upstream
    ]
    if not erased:
        found = "personal data were scanned for; no erasure from its training data was ever carried out"
        return Finding(found=found, at=scan.at, evidence=scan.evidence, do="hw data erase, on a subject of a copy")
    at = min(scan.at or 0, erased[0].done_at)
    found = f"{scan.found}; a subject was erased from {erased[0].dataset}"
    return Finding(found=found, way=scan.way, at=at, evidence=(*scan.evidence, f"erasure:{erased[0].id}"))


def quick(facts: Facts) -> Finding:
    """D6: how long inputs that came later took from their data to production; half of them at most ``feature_days``."""
    times = dict(_lead_days(facts))
    if not times:
        return Finding(found="no input came after the model's first version and into production")
    middle = median(times.values())
    found = f"{len(times)} inputs came later and took {middle:.1f} days to production (median)"
    released = max(each.released_at for each in facts.releases if each.kind == "release")
    return Finding(found=found, way="by itself" if middle <= facts.rules.feature_days else "", at=released)


def _lead_days(facts: Facts) -> Iterator[tuple[str, float]]:
    oldest_first = facts.versions[::-1]
    first = {field.name for field in oldest_first[0].contract.inputs}
    production = [each for each in facts.releases[::-1] if each.channel == "production" and each.kind == "release"]
    for name in (field.name for field in facts.version.contract.inputs if field.name not in first):
        having = [each for each in oldest_first if any(field.name == name for field in each.contract.inputs)]
        out = next((each for each in production if each.version in {version.id for version in having}), None)
        if out is None or not having[0].trained_on:
            continue
        began = facts.rows(
            "SELECT MIN(created_at) AS at FROM versions WHERE id = ?", (having[0].trained_on[0],)
        )[0].at  # fmt: skip
        if began is not None:
            yield name, days_between(began, out.released_at)


def feature_code(facts: Facts) -> Finding:
    """D7: tests of the code that makes the features, as the team ran them."""
    return facts.own("feature_code_tests")


SCORERS = {
    "D1": schema,
    "D2": beneficial,
    "D3": costs,
    "D4": policy,
    "D5": privacy,
    "D6": quick,
    "D7": feature_code,
}

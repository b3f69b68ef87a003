"""The model section: review, tuning, staleness, simpler models, slices and fairness."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from headwater.access.approvals import same_person
from headwater.evaluate import Evidence, find_evidence, list_evidence

from .facts import Facts, body_of
from .values import POINTS, Finding

LEAST_RELEASES = 4
"""Fewer pairs give a correlation no interval."""
FAIR_RATIO = 0.8
"""Of selection rates: the four-fifths rule of the Uniform Guidelines on Employee Selection Procedures (1978)."""


def reviewed(facts: Facts) -> Finding:
    """M1: somebody other than the author approved it, and its code is kept as it was committed."""
    author = facts.version.author
    for request in facts.requests:
        yes = [each for each in request.approvals if each.decision == "approve" and not same_person(each.by, author)]
        if not yes:
            continue
        code = _code(facts)
        refs = (f"request:{request.id}", *(f"approval:{each.id}" for each in yes))
        if not code:
            do = "train in a run (hw run FLOW, or with hw.track) in a folder whose changes are committed"
            found = f"{yes[0].by} approved it, but the code that made it is not kept from a commit"
            return Finding(found=found, at=yes[0].at, evidence=refs, do=do)
        demanded = request.needs > 0 and not yes[0].claimed
        found = f"{yes[0].by}{' (claimed)' if yes[0].claimed else ''} approved it for {request.channel}; {code}"
        do = f"let the channel {request.channel} demand an approval (approvals = 1, authenticated = true)"
        return Finding(found=found, way="by itself" if demanded else "by hand", at=yes[0].at, evidence=refs, do=do)
    return Finding(found=f"nobody but {author}, the author, approved it")


def _code(facts: Facts) -> str:
    run = facts.run
    if run is None:
        return ""
    if run.environment.get("commit") and not run.environment.get("diff"):
        return f"its code is commit {run.environment['commit'][:12]}"
    return f"its code is kept as snapshot {run.code[:12]}" if run.code else ""


def correlated(facts: Facts) -> Finding:
    """M2: versions that measured better before their release were better in production."""
    pairs = list(_offline_online(facts))
    if len(pairs) < LEAST_RELEASES:
        found = (
            f"{len(pairs)} versions were measured both before release and in production; {LEAST_RELEASES} are needed"
        )
        return Finding(found=found)
    low, r, high = correlation([each[0] for each in pairs], [each[1] for each in pairs])
    found = f"over {len(pairs)} versions the correlation is {r:.2f} ({low:.2f} to {high:.2f})"
    return Finding(found=found, way="by itself" if low > 0 else "", at=max(each[2] for each in pairs))


def _offline_online(facts: Facts) -> Iterator[tuple[float, float, int]]:
    """Yield a metric measured before release, the same one measured in production, and when; one for each version."""
    for version in facts.versions:
        offline = find_evidence(facts.project, version.ref, "evaluation")
        windows = facts.rows(
            "SELECT body, computed_at FROM monitor_windows WHERE version = ? AND kind = 'performance' "
            "ORDER BY computed_at DESC LIMIT 1",
            (version.id,),
        )
        if offline is None or not windows:
            continue
        online = body_of(windows[0]).get("metrics", {})
        for metric, found in offline.body.get("metrics", {}).items():
            value = online.get(metric, {}).get("value")
            if value is not None and math.isfinite(value) and math.isfinite(found["value"]):
                yield float(found["value"]), float(value), int(windows[0].computed_at)
                break


def correlation(x: Sequence[float], y: Sequence[float]) -> tuple[float, float, float]:
    """Return the low end, value and high end of the correlation of pairs, at 95 %; NaN where one side is constant.

    Source: Fisher (1921), On the probable error of a coefficient of correlation, Metron 1, 3.
    """
    n = len(x)
    mean_x, mean_y = sum(x) / n, sum(y) / n
    xx = sum((a - mean_x) ** 2 for a in x)
    yy = sum((b - mean_y) ** 2 for b in y)
    if n < LEAST_RELEASES or not xx or not yy:
        return math.nan, math.nan, math.nan
    r = sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True)) / math.sqrt(xx * yy)
    inside = max(-1 + 1e-12, min(1 - 1e-12, r))
    half = 1.959964 / math.sqrt(n - 3)
    return math.tanh(math.atanh(inside) - half), r, math.tanh(math.atanh(inside) + half)


def tuned(facts: Facts) -> Finding:
    """M3: searches varied every declared parameter."""
    declared = set(facts.version.params)
    if not declared:
        return Finding(found="the version declares no parameter")
    run = facts.run
    if run is None:
        return Finding(found="no run is named that made it, so no search is known to be of its flow")
    rows = facts.rows(
        "SELECT p.key AS key, COUNT(DISTINCT p.text) AS variants, MAX(s.started_at) AS at, MAX(s.id) AS search "
        "FROM run_params p JOIN runs r ON r.id = p.run JOIN runs s ON s.id = r.parent "
        "WHERE s.kind = 'search' AND s.shelf < 2 AND ((r.flow <> '' AND r.flow = ?) OR r.name = ?) GROUP BY p.key",
        (run.flow, run.name),
    )
    varied = {row.key for row in rows if row.variants > 1}
    missing = sorted(declared - varied)
    if not rows or missing:
        return Finding(found=f"never varied in a search: {', '.join(missing)}")
    searches = sorted({row.search for row in rows})
    by_itself = facts.triggered(job for each in searches for job in facts.parents(f"run:{each}", "job"))
    return Finding(
        found=f"searches varied all of {', '.join(sorted(declared))}",
        way="by itself" if by_itself else "by hand",
        at=max(row.at for row in rows),
        evidence=tuple(f"run:{each}" for each in searches),
    )


def staleness(facts: Facts) -> Finding:
    """M4: how old versions fare on newer data."""
    found = facts.newest("staleness")
    points = found.body.get("points", ()) if found else ()
    said = str(found.body.get("sentence", "")) if found else ""
    return facts.shown(found, "no staleness curve is recorded", len(points) > 1, said or f"{len(points)} points")


def not_simpler(facts: Facts) -> Finding:
    """M5: it beats each baseline by an interval above 0."""
    found = facts.newest("baselines")
    passed = bool(found and found.body.get("baselines") and found.body.get("beats_all") is True)
    said = str(found.body.get("sentence", "")) if found else ""
    return facts.shown(
        found, "no baselines are recorded", passed, said or ("beats each" if passed else "beats not all")
    )


def slices(facts: Facts) -> Finding:
    """M6: a search confirmed no slice that is worse than the rest."""
    found = facts.newest("slices")
    passed = bool(found and found.body.get("confirmed") == 0)
    said = str(found.body.get("sentence", "")) if found else ""
    return facts.shown(found, "no search for bad slices is recorded", passed, said)


def inclusion(facts: Facts) -> Finding:
    """M7: of each attribute's newest fairness evidence, no selection ratio lies below four fifths for certain."""
    newest: dict[str, Evidence] = {}
    for each in list_evidence(facts.project, facts.version.ref, kind="fairness"):
        newest.setdefault(str(each.body.get("attribute", "")), each)
    if not newest:
        return Finding(found="no fairness by a sensitive attribute is recorded")
    shown = []
    for attribute, evidence in newest.items():
        ratio = evidence.body.get("ratios", {}).get("selection_rate")
        bad = ratio is not None and ratio.get("high", math.nan) < FAIR_RATIO
        said = f"{attribute}: {evidence.body.get('sentence', 'measured')}"
        shown.append(facts.shown(evidence, "", not bad, said))
    least = min(shown, key=lambda each: POINTS[each.way])
    return Finding(
        found="; ".join(each.found for each in shown),
        way=least.way,
        at=min(each.created_at for each in newest.values()),
        evidence=tuple(ref for each in shown for ref in each.evidence),
    )


SCORERS = {
    "M1": reviewed,
    "M2": correlated,
    "M3": tuned,
    "M4": staleness,
    "M5": not_simpler,
    "M6": slices,
    "M7": inclusion,
}

"""The infrastructure section: training again, the specification's own tests, gates, canaries, the way back."""

from __future__ import annotations

from headwater.evaluate import find_evidence
from headwater.model import ModelVersion

from .facts import Facts
from .values import Finding, Way

QUALITY = ("evaluation", "comparison")
_SAME = 1e-9


def reproducible(facts: Facts) -> Finding:
    """I1: another run with the same code, data and parameters made the same files, or measured the same."""
    version, run = facts.version, facts.run
    if run is None:
        return Finding(found="no run is named that made it, so nobody can tell whether another one would make the same")
    twins = [each for each in facts.versions if _twin(facts, each)]
    if not twins:
        return Finding(found="no other run with its code, data and parameters registered a version")
    twin = twins[0]
    same_bytes = _files(twin) == _files(version)
    later = max((twin, version), key=lambda each: each.created_at)
    refs = (twin.ref, f"run:{twin.run}")
    if not same_bytes and not _same_measures(facts, twin):
        found = f"{twin.label} came of the same code, data and parameters, and its files are others"
        return Finding(found=found, at=later.created_at, evidence=refs)
    said = "the files are equal byte for byte" if same_bytes else "the files differ, and both measure the same"
    way: Way = "by itself" if facts.triggered(facts.parents(f"run:{later.run}", "job")) else "by hand"
    return Finding(found=f"trained again as {twin.label}: {said}", way=way, at=later.created_at, evidence=refs)


def _twin(facts: Facts, other: ModelVersion) -> bool:
    version = facts.version
    if other.id == version.id or not other.run or other.run == version.run:
        return False
    if (other.params, set(other.trained_on)) != (version.params, set(version.trained_on)):
        return False
    run, again = facts.run, facts.run_of(other.run)
    if run is None or again is None:
        return False
    here, there = (each.code or each.environment.get("commit", "") for each in (run, again))
    return bool(here) and here == there


def _files(version: ModelVersion) -> dict[str, str]:
    return {file.name: file.digest for file in version.files}


def _same_measures(facts: Facts, twin: ModelVersion) -> bool:
    """Tell whether both were measured on the same rows and every metric is the same."""
    a = find_evidence(facts.project, facts.version.ref, "evaluation")
    b = find_evidence(facts.project, twin.ref, "evaluation")
    if a is None or b is None or a.body.get("rows_digest") != b.body.get("rows_digest"):
        return False
    x, y = (each.body.get("metrics", {}) for each in (a, b))
    return bool(x) and x.keys() == y.keys() and all(abs(x[name]["value"] - y[name]["value"]) <= _SAME for name in x)


def spec(facts: Facts) -> Finding:
    """I2: the tests of the specification passed."""
    return facts.own("spec_tests")


def integration(facts: Facts) -> Finding:
    """I3: the flow that made it ran again since, from end to end."""
    run = facts.run
    if run is None or not run.flow:
        return Finding(found="no run of a flow is named that made it")
    later = facts.rows(
        "SELECT id, status, started_at FROM runs WHERE flow = ? AND kind = 'flow' AND started_at > ? AND id <> ? "
        "AND status IN ('done', 'failed', 'killed') ORDER BY started_at DESC, id DESC LIMIT 1",
        (run.flow, run.started_at, run.id),
    )
    if not later:
        return Finding(found=f"the flow '{run.flow}' did not run again since it made this version")
    newest = later[0]
    ref = f"run:{newest.id}"
    if newest.status != "done":
        found = f"the newest run of '{run.flow}' is {newest.status}"
        return Finding(found=found, at=newest.started_at, evidence=(ref,))
    way: Way = "by itself" if facts.triggered(facts.parents(ref, "job")) else "by hand"
    return Finding(found=f"'{run.flow}' ran again and is done", way=way, at=newest.started_at, evidence=(ref,))


def validated(facts: Facts) -> Finding:
    """I4: each of its releases but those to staging went through a gate that read a measurement of this version."""
    releases = [
        each
        for each in facts.releases
        if each.version == facts.version.id and each.kind != "rollback" and each.channel != "staging"
    ]
    if not releases:
        return Finding(found="it was not released to any channel but staging")
    quality = {each.ref for each in facts.evidence if each.kind in QUALITY and facts.way_of(each)}
    refs: list[str] = []
    for release in releases:
        read = [ref for gate in release.gates if gate.open for ref in gate.looked_at if ref in quality]
        if not read:
            found = f"its release to {release.channel} went through no gate that read a measurement of it"
            return Finding(found=found, evidence=(f"release:{release.id}",))
        refs += [release.ref, *read]
    found = f"each of its {len(releases)} releases went through a gate on a measurement of it"
    return Finding(found=found, way="by itself", at=releases[0].released_at, evidence=tuple(dict.fromkeys(refs)))


def debuggable(facts: Facts) -> Finding:
    """I5: an example of its answers was followed to the sources and computed again."""
    return facts.own("example")


def canaried(facts: Facts) -> Finding:
    """I6: a canary or shadow of it came before a release."""
    rows = facts.rows(
        "SELECT o.id AS rollout, o.kind AS kind, o.channel AS channel, r.id AS release, r.released_at AS released_at "
        "FROM rollouts o JOIN releases r ON r.version = o.version AND r.channel = o.channel AND r.kind = 'release' "
        "AND r.released_at >= o.started_at "
        "WHERE o.version = ? AND (o.kind = 'shadow' OR (o.kind = 'canary' AND o.status = 'released')) "
        "ORDER BY r.released_at DESC, o.started_at DESC",
        (facts.version.id,),
    )
    if not rows:
        return Finding(found="it was released by no canary or shadow")
    newest = rows[0]
    found = f"it came to {newest.channel} by a {newest.kind}"
    refs = (f"rollout:{newest.rollout}", f"release:{newest.release}")
    return Finding(found=found, way="by itself", at=newest.released_at, evidence=refs)


def way_back(facts: Facts) -> Finding:
    """I7: the model was rolled back, in a drill or for a reason."""
    back = next((each for each in facts.releases if each.kind == "rollback"), None)
    if back is None:
        return Finding(found="the model was never rolled back, not even as a drill")
    by_itself = facts.triggered(facts.parents(back.ref, "job"))
    found = f"{back.by} rolled {back.channel} back to v{back.number} (\u201c{back.reason}\u201d)"
    return Finding(
        found=found, way="by itself" if by_itself else "by hand", at=back.released_at, evidence=(back.ref,)
    )  # fmt: skip


SCORERS = {
    "I1": reproducible,
    "I2": spec,
    "I3": integration,
    "I4": validated,
    "I5": debuggable,
    "I6": canaried,
    "I7": way_back,
}

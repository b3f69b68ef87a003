"""The stages of a delivery: each is a few ``hw`` commands that a person could type.

The commands are performed by whoever calls (the command line), which keeps what they print for people; what came of
them is read from the ledger.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from typing import Any

from headwater.errors import InvalidInputError, NotFoundError
from headwater.evaluate import find_evidence, list_evidence, record_evidence
from headwater.flow import Outcome
from headwater.lake import show
from headwater.model import ModelVersion, get_model_version

from ..controller_acts import RolloutRecord, list_rollouts
from ..log import get_release_request, list_release_requests
from ..values import ReleaseRequest, by_role
from .candidates import version_made_by
from .pipeline import ROLLBACK, STAGES, Pipeline
from .walking import StageFailed, StageWaits, Walk


def run_stage(walk: Walk, name: str) -> str:
    """Run one stage; return ``passed``, ``waits`` or ``failed``. The delivery is kept either way.

    Raises:
        InvalidInputError: there is no such stage, or the one before it has not passed.
        HeadwaterError: a command could not do its work; the stage is kept as failed.
    """
    if name not in _DOES:
        raise InvalidInputError(f"there is no stage '{name}'. They are {', '.join(_DOES)}.", stage=name)
    _require_before(walk, name)
    walk.tell(f"— {name}")
    if name != ROLLBACK and walk.delivery.failed:
        walk.note(failed="")  # what failed before is tried again, and may have to wait now
    try:
        _DOES[name](walk)
    except StageWaits as waits:
        walk.tell(f"{name} waits: {waits}")
        return "waits"
    except StageFailed as failed:
        walk.note(failed=name)
        walk.tell(f"{name} failed: {failed}")
        return "failed"
    except Exception:
        walk.note(failed=name)
        raise
    if name != ROLLBACK:
        walk.passed(name)
    return "passed"


def _require_before(walk: Walk, name: str) -> None:
    before = () if name == ROLLBACK else STAGES[: STAGES.index(name)]
    missing = [each for each in before if each not in walk.delivery.passed]
    if missing:
        raise InvalidInputError(
            f"stage '{name}' comes after '{missing[0]}', which this delivery has not passed. "
            f"Run 'hw ci run {missing[0]}', or 'hw ci run' for all of them in order.",
            stage=name,
        )


def _source(walk: Walk) -> None:
    """Pin the versions of data, and see that their checks hold."""
    pipeline = walk.pipeline
    data = show(walk.project, pipeline.data)
    test = show(walk.project, pipeline.test_data or pipeline.data)
    walk.note(data=data.ref, test_data=test.ref)
    for ref in dict.fromkeys((data.ref, test.ref)):
        walk.hw("check", "run", ref)


def _build(walk: Walk) -> None:
    """Train, and find the version that came of it."""
    pipeline = walk.pipeline
    given = {**pipeline.arguments, pipeline.argument: walk.delivery.data}
    ended = walk.hw("run", pipeline.flow, *(f"{name}={_argument(value)}" for name, value in given.items()))
    run = ended.run if isinstance(ended, Outcome) else ended
    returned = ended.returned if isinstance(ended, Outcome) else None
    candidate = version_made_by(walk.project, pipeline, run, returned)
    champion = walk.in_channel(pipeline.production)
    walk.note(run=run.id, candidate=candidate.label, champion=champion.label if champion else "")
    walk.tell(f"candidate: {candidate.label}, {candidate.description}")


def _test(walk: Walk) -> None:
    """Run the team's tests, and make the evidence that gates and the report read."""
    candidate, champion = walk.candidate(), walk.in_channel(walk.pipeline.production)
    walk.note(champion=champion.label if champion else "")
    _own_tests(walk, candidate)
    _evaluate(walk, candidate)
    if candidate.flavour == "onnx" and any(file.flavour not in ("", "onnx") for file in candidate.files):
        walk.hw("model", "parity", candidate.label, walk.delivery.test_data, *_rows(walk.pipeline))
    if champion is not None and champion.id != candidate.id:
        _compare(walk, champion, candidate)
    walk.hw("ci", "report", candidate.label, "--channel", walk.pipeline.production, "--output", walk.report)


def _staging(walk: Walk) -> None:
    """Release to staging, and ask the version there for an answer."""
    _release(walk, walk.pipeline.staging)
    _answer(walk, walk.pipeline.staging)


def _approval(walk: Walk) -> None:
    """Ask for the release to production; where nobody need approve it, only see that its gates are open."""
    candidate, channel = walk.candidate(), walk.pipeline.production
    if _is(walk.in_channel(channel), candidate):
        walk.tell(f"{channel} points to {candidate.label} already")
    elif walk.demands_approval:
        request = _ask(walk, candidate, channel)
        walk.note(request=request.id)
    else:
        walk.hw("release", "gates", candidate.label, channel)


def _production(walk: Walk) -> None:
    """See that production points to the candidate, by approval where one is demanded, and that it answers."""
    pipeline, candidate = walk.pipeline, walk.candidate()
    if not _is(walk.in_channel(pipeline.production), candidate):
        if not walk.delivery.request:
            if walk.demands_approval:
                raise StageFailed(f"no release of {candidate.label} was asked for: run 'hw ci run approval' again")
            walk.note(request=_ask(walk, candidate, pipeline.production).id)
        _require_released(walk, candidate)
    walk.hw("release", "log", "--model", pipeline.model, "--channel", pipeline.production, "--limit", "1")
    _answer(walk, pipeline.production)


def _rollback(walk: Walk) -> None:
    """Put back what production pointed to before, or end the canary, if this delivery changed it."""
    pipeline, delivery = walk.pipeline, walk.delivery
    if not delivery.candidate:
        raise InvalidInputError(
            f"this delivery has built nothing yet, so there is nothing of it to take back. To put back what "
            f"{pipeline.production} pointed to before all the same: 'hw rollback {pipeline.model} "
            f"--channel {pipeline.production} --reason ...'."
        )
    present = walk.in_channel(pipeline.production)
    canary = _rollout(walk)
    if (present is None or present.label != delivery.candidate) and (canary is None or canary.status != "open"):
        there = present.label if present else "nothing"
        walk.tell(f"{pipeline.production} points to {there}, not to {delivery.candidate}: nothing to take back")
        return
    if delivery.candidate == delivery.champion:
        walk.tell(f"{delivery.candidate} was in {pipeline.production} before this delivery: nothing to take back")
        return
    # Named, since a canary may go back by itself meanwhile: going back once more would pass what it replaced.
    to = _replaced(walk)
    where = ("--channel", pipeline.production, *(("--to", to) if to else ()))
    walk.hw("rollback", pipeline.model, *where, "--reason", walk.reason)
    walk.note(taken_back=True)


def _replaced(walk: Walk) -> str:
    """Return the label of what production pointed to when the candidate's request was made, else when it was tested."""
    if not walk.delivery.request:
        return walk.delivery.champion
    replaces = get_release_request(walk.project, walk.delivery.request).replaces
    return get_model_version(walk.project, replaces).label if replaces else ""


_DOES: Mapping[str, Callable[[Walk], None]] = {
    "source": _source,
    "build": _build,
    "test": _test,
    "staging": _staging,
    "approval": _approval,
    "production": _production,
    ROLLBACK: _rollback,
}


def _own_tests(walk: Walk, candidate: ModelVersion) -> None:
    """Run all of the team's commands; the outcome is evidence of kind ``tests`` about the candidate."""
    if not walk.pipeline.tests:
        return
    ran = []
    for line in walk.pipeline.tests:
        started = time.monotonic()
        code = walk.program(line)
        ran.append({"command": line, "passed": code == 0, "seconds": round(time.monotonic() - started, 3)})
    failed = [str(each["command"]) for each in ran if not each["passed"]]
    body = {"passed": not failed, "commit": walk.delivery.commit, "commands": ran}
    record_evidence(walk.project, candidate.ref, "tests", body)
    if failed:
        raise StageFailed(f"{', '.join(map(repr, failed))} ended with another exit code than 0")


def _evaluate(walk: Walk, version: ModelVersion) -> None:
    slices = [word for each in walk.pipeline.slices for word in ("--slice", each)]
    walk.hw(
        "model", "evaluate", version.label, walk.delivery.test_data, "--target", walk.pipeline.target,
        *slices, *_rows(walk.pipeline),
    )  # fmt: skip


def _compare(walk: Walk, champion: ModelVersion, candidate: ModelVersion) -> None:
    """Measure both on the same rows: the paired difference, and the champion's own figures where they are missing."""
    measured = find_evidence(walk.project, candidate.ref, "evaluation")
    wanted = measured.body.get("rows_digest") if measured else None
    known = {each.body.get("rows_digest") for each in list_evidence(walk.project, champion.ref, kind="evaluation")}
    if wanted not in known:
        _evaluate(walk, champion)
    metric = ["--metric", walk.pipeline.metric] if walk.pipeline.metric else []
    walk.hw(
        "model", "compare", champion.label, candidate.label, walk.delivery.test_data, "--target", walk.pipeline.target,
        *metric, *_rows(walk.pipeline),
    )  # fmt: skip


def _rows(pipeline: Pipeline) -> list[str]:
    return ["--where", pipeline.where] if pipeline.where else []


def _release(walk: Walk, channel: str) -> None:
    candidate = walk.candidate()
    if _is(walk.in_channel(channel), candidate):
        walk.tell(f"{channel} points to {candidate.label} already")
        return
    request = _ask(walk, candidate, channel)
    if not _is(walk.in_channel(channel), candidate):
        raise StageWaits(_standing(request))


def _ask(walk: Walk, candidate: ModelVersion, channel: str) -> ReleaseRequest:
    """Return the request for a release: the one that waits already, else a new one."""
    waiting = _requests(walk, candidate, channel, status="waiting")
    if waiting:
        walk.tell(f"request {waiting[0].id} asks for it already")
        return waiting[0]
    canary = ["--canary"] if walk.pipeline.canary and channel == walk.pipeline.production else []
    walk.hw("release", "request", candidate.label, channel, *canary, "--reason", walk.reason)
    made = _requests(walk, candidate, channel)
    if not made:
        raise NotFoundError(f"the request for {candidate.label} in {channel} is not on record: ask again.")
    return made[0]


def _requests(walk: Walk, candidate: ModelVersion, channel: str, *, status: str | None = None) -> list[ReleaseRequest]:
    found = list_release_requests(walk.project, candidate.model, status=status)
    return [each for each in found if each.version == candidate.id and each.channel == channel]


def _require_released(walk: Walk, candidate: ModelVersion) -> None:
    """Return when production points to the candidate since its request was released."""
    if _is(walk.in_channel(walk.pipeline.production), candidate):
        return
    request = get_release_request(walk.project, walk.delivery.request)
    if request.status == "waiting":
        raise StageWaits(_standing(request))
    if request.status != "released":
        raise StageFailed(f"request {request.id} is {request.status}: {request.why}")
    canary = _rollout(walk)
    if canary is not None and canary.status == "open":
        raise StageWaits(
            f"the canary of {candidate.label} is at {canary.share:g} %: 'hw release rollouts {canary.id}' shows how it "
            "does; once production points to it, run this again"
        )
    if canary is not None and canary.status == "withdrawn":
        raise StageFailed(f"the canary of {candidate.label} went back: {canary.why}")
    present = walk.in_channel(walk.pipeline.production)
    raise StageFailed(f"{candidate.label} was released and replaced by {present.label if present else 'nothing'}")


def _rollout(walk: Walk) -> RolloutRecord | None:
    """Return the canary that the delivery's request began, if it was one."""
    found = list_rollouts(walk.project, walk.pipeline.model) if walk.delivery.request else []
    return next((each for each in found if each.request == walk.delivery.request), None)


def _standing(request: ReleaseRequest) -> str:
    people = "1 more person" if len(request.lacks) == 1 else f"{len(request.lacks)} more people"
    roles = f" ({by_role(request.lacks)})" if any(request.lacks) else ""
    return (
        f"request {request.id} for {request.model}@v{request.number} → {request.channel} needs {people}{roles}. "
        f"Somebody else than {request.requested_by} runs 'hw release approve {request.id} --reason ...' "
        "(or 'reject'); then run this again"
    )


def _answer(walk: Walk, channel: str) -> None:
    if walk.pipeline.sample:
        walk.hw("model", "predict", f"{walk.pipeline.model}@{channel}", walk.pipeline.sample)


def _is(present: ModelVersion | None, wanted: ModelVersion) -> bool:
    return present is not None and present.id == wanted.id


def _argument(value: Any) -> str:
    """Return a value as ``hw run`` reads it back: text as it is, unless it reads as something else."""
    if not isinstance(value, str):
        return json.dumps(value)
    try:
        json.loads(value)
    except ValueError:
        return value
    return json.dumps(value)

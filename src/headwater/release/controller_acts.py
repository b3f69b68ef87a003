"""What is on its way: shown, begun as a shadow, ended by a person, and moved on by the controller."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Literal

import msgspec

from headwater.errors import ConflictError, HeadwaterError, InvalidInputError, NotFoundError
from headwater.ledger import release_lease, take_lease
from headwater.model import documents
from headwater.model.refs import check_channel
from headwater.model.registry import get_model_version, read_version
from headwater.operation import operation
from headwater.project import Project

from .approvers import require_may_move
from .controller import grow, shadow, withdraw
from .controller_live import live_figures
from .controller_rows import Because, read_channel, record
from .controller_rules import CanaryRules, Live, Verdict, judge
from .requests import still_releasable
from .rules import channel_rules

if TYPE_CHECKING:
    from headwater.ledger import Row, Tx

LEASE = "release.controller"
LEASE_S = 60.0
_COLUMNS = (
    "id, model, channel, kind, version, number, stable, request, stages, rules, stage, share, status, why, person, "
    "claimed, reason, started_at, stage_at, ended_at"
)
_log = logging.getLogger("headwater.release")


class RolloutRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A version on its way into a channel (``canary``) or computing beside it (``shadow``).

    ``stages`` and ``share`` are percent of requests; ``stage`` counts from 0. ``released``: the channel points to it;
    ``withdrawn``: it went back, and ``why`` says why. Times are UTC microseconds.
    """

    id: str
    model: str
    channel: str
    kind: Literal["canary", "shadow"]
    version: str
    number: int
    stable: str
    stable_number: int
    stages: tuple[float, ...]
    stage: int
    share: float
    status: Literal["open", "released", "withdrawn"]
    why: str
    by: str
    claimed: bool
    reason: str
    started_at: int
    stage_at: int
    ended_at: int | None = None
    request: str | None = None
    rules: CanaryRules | None = None

    @property
    def ref(self) -> str:
        """The text that names this rollout in announcements and the lineage."""
        return f"rollout:{self.id}"


class RolloutFigures(msgspec.Struct, frozen=True, kw_only=True):
    """A rollout with the live figures of its stage and what they call for."""

    rollout: RolloutRecord
    live: Live
    verdict: Verdict


@operation("release.rollouts.list", needs="release:read")
def list_rollouts(
    project: Project, model: str | None = None, *, status: str | None = None, limit: int = 50
) -> list[RolloutRecord]:
    """Return canaries and shadows, newest first; ``status`` is open, released or withdrawn."""
    given = {"model = ?": model, "status = ?": status}
    clauses = [clause for clause, value in given.items() if value is not None] or ["1 = 1"]
    values = [value for value in given.values() if value is not None]
    with project.ledger.read() as tx:
        rows = tx.all(
            f"SELECT {_COLUMNS} FROM rollouts WHERE {' AND '.join(clauses)} ORDER BY started_at DESC, id DESC LIMIT ?",
            (*values, limit),
        )
        return [_record(tx, row) for row in rows]


@operation("release.rollouts.get", needs="release:read")
def get_rollout(project: Project, rollout: str) -> RolloutFigures:
    """Return a rollout with its live figures since the stage began, and what they call for now.

    Raises:
        NotFoundError: there is none of that id.
    """
    with project.ledger.read() as tx:
        found = _read(tx, rollout)
    live = _live(project, found)
    return RolloutFigures(rollout=found, live=live, verdict=_verdict(project, found, live))


@operation("release.shadow", needs="release:write")
def start_shadow(project: Project, version: str, channel: str, reason: str) -> RolloutRecord:
    """Let a version compute beside a channel: it sees a copy of each request, and its answers are given to nobody.

    It takes no gate and no approval. What it said is kept beside what was answered.

    Raises:
        NotFoundError: there is no such version, or nothing was released to the channel.
        ConflictError: a rollout is under way there, or the channel points to this version.
    """
    check_channel(channel)
    if not reason.strip():
        raise InvalidInputError("a shadow needs a reason: whoever reads the log later will ask for it.")
    wanted = get_model_version(project, version)
    with project.ledger.write() as tx:
        before = read_channel(tx, wanted.model, channel)
        identifier = tx.new_id()
        after = shadow(before, identifier, wanted.id)
        record(tx, wanted.model, channel, before, after, Because(actor=project.actor, reason=reason))
        return _read(tx, identifier)


@operation("release.rollouts.stop", needs="release:write")
def stop_rollout(project: Project, rollout: str, reason: str) -> RolloutRecord:
    """End a canary or shadow: what the channel points to answers everything again. No gate; recorded.

    Raises:
        DeniedError: it is a canary, its channel demands people who are signed in, and this one only claims a name.
        NotFoundError: there is none of that id.
        ConflictError: it has ended already.
    """
    if not reason.strip():
        raise InvalidInputError("ending a rollout needs a reason: whoever reads the log later will ask for it.")
    with project.ledger.write() as tx:
        found = _read(tx, rollout)
        if found.kind == "canary":
            require_may_move(project.actor, channel_rules(project.settings, found.model, found.channel), found.channel)
        before = read_channel(tx, found.model, found.channel)
        after = withdraw(before, found.id)
        record(tx, found.model, found.channel, before, after, Because(actor=project.actor, reason=reason))
        return _read(tx, found.id)


@operation("release.rollouts.run", needs="release:write", audited=False)
def run_controller(project: Project) -> list[RolloutFigures]:
    """Judge each open canary by its live figures, let it grow or go back, and return what was found, as it stands now.

    A server does so every few seconds; one at a time by lease. Each step commits only if the rollout is still at the
    stage that was measured. One that cannot be judged stays as it is, and the log says why.
    """
    with project.ledger.read() as tx:
        if not tx.value("SELECT 1 FROM rollouts WHERE status = 'open' AND kind = 'canary' LIMIT 1"):
            return []
    with project.ledger.write() as tx:
        lease = take_lease(tx, LEASE, project.actor.name or "controller", ttl_s=LEASE_S)
    if lease is None:
        return []
    try:
        with project.ledger.fenced(LEASE, lease.token):
            return [
                found for each in list_rollouts(project, status="open", limit=1000) if (found := _go_on(project, each))
            ]
    finally:
        with project.ledger.write() as tx:
            release_lease(tx, lease)


def _go_on(project: Project, rollout: RolloutRecord) -> RolloutFigures | None:
    if rollout.kind != "canary":
        return None
    try:
        live = _live(project, rollout)
        verdict = _verdict(project, rollout, live)
        if verdict.act != "wait":
            verdict = _step(project, rollout, verdict)
            with project.ledger.read() as tx:
                rollout = _read(tx, rollout.id)
        return RolloutFigures(rollout=rollout, live=live, verdict=verdict)
    except ConflictError as late:  # a person was first
        _log.info("rollout %s: %s", rollout.id, late)
    except HeadwaterError:
        _log.exception("rollout %s cannot be judged; it stays at %g %%", rollout.id, rollout.share)
    return None


def _step(project: Project, rollout: RolloutRecord, verdict: Verdict) -> Verdict:
    """Record one step of the controller, if the rollout is still at the stage that was judged; return what it did.

    The step that moves the channel reads the gates and the approvals again: where they no longer let it, the canary is
    withdrawn instead.
    """
    with project.ledger.write() as tx:
        before = read_channel(tx, rollout.model, rollout.channel)
        step = grow if verdict.act == "grow" else withdraw
        after = step(before, rollout.id, rollout.stage)
        because = Because(actor=project.actor, reason=verdict.why)
        if after.stable == rollout.version and rollout.request:
            asked, gates, why = still_releasable(tx, project, rollout.request)
            because = msgspec.structs.replace(because, request=asked.id, approvals=asked.approvals, gates=gates)
            if why:
                verdict = Verdict(act="back", why=why)
                after = withdraw(before, rollout.id, rollout.stage)
                because = Because(actor=project.actor, reason=why)
        record(tx, rollout.model, rollout.channel, before, after, because)
    return verdict


def _live(project: Project, rollout: RolloutRecord) -> Live:
    return live_figures(
        project,
        model=rollout.model,
        channel=rollout.channel,
        canary=rollout.version,
        stable=rollout.stable,
        since=rollout.stage_at,
        begun=rollout.started_at,
    )


def _verdict(project: Project, rollout: RolloutRecord, live: Live) -> Verdict:
    if rollout.status != "open" or rollout.rules is None:
        return Verdict(act="wait", why=rollout.why or "a shadow stays until it is stopped")
    return judge(rollout.rules, live, (project.clock() - rollout.stage_at) / 1e6)


def _read(tx: Tx, rollout: str) -> RolloutRecord:
    identifier = rollout.removeprefix("rollout:")
    row = tx.one(f"SELECT {_COLUMNS} FROM rollouts WHERE id = ?", (identifier,))
    if row is None:
        raise NotFoundError(
            f"there is no rollout '{identifier}'. 'hw release rollouts' shows them.", rollout=identifier
        )
    return _record(tx, row)


def _record(tx: Tx, row: Row) -> RolloutRecord:
    rules = documents.parse(row.rules)
    return RolloutRecord(
        id=row.id,
        model=row.model,
        channel=row.channel,
        kind=row.kind,
        version=row.version,
        number=row.number,
        stable=row.stable,
        stable_number=read_version(tx, row.stable).number,
        stages=tuple(each / 100 for each in documents.parse(row.stages)),
        stage=row.stage,
        share=row.share / 100,
        status=row.status,
        why=row.why,
        by=row.person,
        claimed=bool(row.claimed),
        reason=row.reason,
        started_at=row.started_at,
        stage_at=row.stage_at,
        ended_at=row.ended_at,
        request=row.request,
        rules=None if rules is None else msgspec.convert(rules, CanaryRules),
    )

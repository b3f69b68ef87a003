"""A channel as the ledger holds it, and the one place that records what the state machine returned.

Everything is one transaction: the pointer, the release, the rollout, governance and announcements. Two rollouts of one
channel cannot be open at once: an index of the table forbids it, whatever wrote the second.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import msgspec

from headwater.errors import ConflictError
from headwater.model import ModelVersion, documents
from headwater.model.registry import channel_head, read_version
from headwater.project import Actor

from .controller import Asked, Channel, Rollout, history, release
from .controller_rules import CanaryRules, shares_of
from .moving import move_channel
from .rules import ChannelRules
from .seats import seated
from .values import Approval, GateResult, ReleaseRequest

if TYPE_CHECKING:
    from headwater.ledger import Row, Tx, WriteTx


class Because(msgspec.Struct, frozen=True, kw_only=True):
    """Who changes a channel and why; ``request`` with its approvals and gates where it was asked for."""

    actor: Actor
    reason: str
    kind: Literal["release", "rollback"] = "release"
    request: str | None = None
    approvals: tuple[Approval, ...] = ()
    gates: tuple[GateResult, ...] = ()


def read_channel(tx: Tx, model: str, channel: str) -> Channel:
    """Return a channel as the ledger has it in this transaction; one that nothing was released to is empty."""
    place = f"{model}/{channel}"
    moves = tx.value("SELECT moves FROM pointers WHERE kind = 'channel' AND name = ?", (place,)) or 0
    steps = tx.value("SELECT SUM(step) FROM rollouts WHERE place = ?", (place,)) or 0
    rows = tx.stream(
        "SELECT version, kind FROM releases WHERE model = ? AND channel = ? ORDER BY seq", (model, channel)
    )
    behind, been = history((row.version, row.kind) for row in rows)
    stable = channel_head(tx, model, channel)
    return Channel(
        revision=int(moves) + int(steps),
        stable=stable,
        behind=behind,
        been=been | ({stable} if stable else frozenset()),
        rollout=_open_rollout(tx, place),
    )


def asked_of(request: ReleaseRequest, rules: ChannelRules) -> Asked:
    """Return a request as the state machine sees it: ``yes`` are the people who fill a place that the rules demand."""
    needs = max(request.needs, rules.people)
    return Asked(
        id=request.id,
        version=request.version,
        replaces=request.replaces,
        kind=request.kind,
        status=request.status,
        needs=needs,
        yes=seated(request.approvals, rules, needs).yes,
    )


def release_asked(tx: WriteTx, request: ReleaseRequest, rules: ChannelRules, because: Because) -> str | None:
    """Release a request that has what it needs: move its channel or begin its canary; the release's id if it moved.

    Raises:
        ConflictError: it waits for more, the channel moved since it was judged, or a canary is under way.
    """
    before = read_channel(tx, request.model, request.channel)
    after = release(before, asked_of(request, rules), shares_of(rules.canary))
    return record(tx, request.model, request.channel, before, after, because, rules.canary)


def record(
    tx: WriteTx,
    model: str,
    channel: str,
    before: Channel,
    after: Channel,
    because: Because,
    rules: CanaryRules | None = None,
) -> str | None:
    """Record what changed between two states of a channel; returns the release's id where the channel moved.

    Raises:
        ConflictError: the ledger no longer holds ``before``.
    """
    place = f"{model}/{channel}"
    old, new = before.rollout, after.rollout
    if old is not None and (new is None or new.id != old.id):
        _end(tx, old, after, because)
    elif old is not None and new is not None and new != old:
        _grow(tx, old, new, because)
    release = None
    if after.stable is not None and (after.stable != before.stable or because.kind == "rollback"):
        release = _move(tx, channel, before, after, because)
    if new is not None and (old is None or new.id != old.id):
        _begin(tx, place, new, after, because, rules)
    return release


def _move(tx: WriteTx, channel: str, before: Channel, after: Channel, because: Because) -> str:
    assert after.stable is not None
    pointed = read_version(tx, before.stable) if before.stable else None
    replaced = pointed
    if because.kind == "rollback" and before.rollout is not None and after.stable == before.stable:
        replaced = read_version(tx, before.rollout.version)  # a canary was taken back, the pointer stays
    return move_channel(
        tx,
        read_version(tx, after.stable),
        channel,
        pointed,
        replaced=replaced,
        kind=because.kind,
        actor=because.actor,
        reason=because.reason,
        request=because.request,
        approvals=because.approvals,
        gates=because.gates,
    )


def _begin(
    tx: WriteTx, place: str, rollout: Rollout, after: Channel, because: Because, rules: CanaryRules | None
) -> None:
    version = read_version(tx, rollout.version)
    tx.insert(
        "rollouts",
        id=rollout.id,
        place=place,
        model=version.model,
        channel=place.rpartition("/")[2],
        kind=rollout.kind,
        version=version.id,
        number=version.number,
        stable=after.stable,
        request=because.request,
        stages=documents.dump(rollout.shares),
        rules=documents.dump(rules),
        stage=rollout.stage,
        share=rollout.share,
        step=1,
        status="open",
        why="",
        person=because.actor.name,
        claimed=int(because.actor.claimed),
        reason=because.reason,
        started_at=tx.now,
        stage_at=tx.now,
        ended_at=None,
    )
    ref = f"rollout:{rollout.id}"
    tx.edges(
        [
            (ref, "version", version.ref),
            *((ref, "approval", f"approval:{each.id}") for each in because.approvals),
        ]
    )
    _tell(tx, rollout, "begun", because, version)


def _grow(tx: WriteTx, old: Rollout, new: Rollout, because: Because) -> None:
    changed = tx.execute(
        "UPDATE rollouts SET stage = ?, share = ?, step = step + 1, stage_at = ?, why = ? "
        "WHERE id = ? AND status = 'open' AND stage = ?",
        (new.stage, new.share, tx.now, because.reason, old.id, old.stage),
    )
    _require_one(changed, old)
    _tell(tx, new, "grown", because)


def _end(tx: WriteTx, old: Rollout, after: Channel, because: Because) -> None:
    released = because.kind == "release" and after.stable == old.version
    status = "released" if released else "withdrawn"
    changed = tx.execute(
        "UPDATE rollouts SET status = ?, step = step + 1, why = ?, ended_at = ? WHERE id = ? AND status = 'open'",
        (status, because.reason, tx.now, old.id),
    )
    _require_one(changed, old)
    _tell(tx, old, status, because)


def _tell(tx: WriteTx, rollout: Rollout, what: str, because: Because, version: ModelVersion | None = None) -> None:
    ref = f"rollout:{rollout.id}"
    body: dict[str, Any] = {
        "what": what,
        "kind": rollout.kind,
        "version": version.id if version else rollout.version,
        "share": rollout.share,
        "stage": rollout.stage,
        "by": because.actor.name,
        "claimed": because.actor.claimed,
        "reason": because.reason,
        "approvals": [{"id": each.id, "by": each.by, "claimed": each.claimed} for each in because.approvals],
        "at": tx.now,
    }
    tx.govern("rollout", ref, body)
    tx.announce("rollout", ref)


def _require_one(changed: int, rollout: Rollout) -> None:
    if changed != 1:
        raise ConflictError(
            f"rollout {rollout.id} changed meanwhile. Look at it again: hw release rollouts", rollout=rollout.id
        )


def _open_rollout(tx: Tx, place: str) -> Rollout | None:
    row = tx.one("SELECT id, kind, version, stages, stage FROM rollouts WHERE place = ? AND status = 'open'", (place,))
    return None if row is None else _rollout(row)


def _rollout(row: Row) -> Rollout:
    shares = tuple(documents.parse(row.stages))
    return Rollout(id=row.id, kind=row.kind, version=row.version, shares=shares, stage=row.stage)

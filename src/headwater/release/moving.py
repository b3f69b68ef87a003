"""The one place where a channel moves: pointer, release, lineage, governance and announcement in one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from headwater.jobs import current_job
from headwater.model import ModelVersion, documents
from headwater.project import Actor

from .values import Approval, GateResult

if TYPE_CHECKING:
    from headwater.ledger import WriteTx


def move_channel(
    tx: WriteTx,
    version: ModelVersion,
    channel: str,
    previous: ModelVersion | None,
    *,
    replaced: ModelVersion | None = None,
    kind: Literal["release", "rollback"],
    actor: Actor,
    reason: str,
    request: str | None = None,
    approvals: Sequence[Approval] = (),
    gates: Sequence[GateResult] = (),
) -> str:
    """Point a channel from ``previous`` to a version, and record that it happened; return the release's id.

    ``replaced``: what the log names as replaced where that is not ``previous`` (a canary that was taken back).

    Raises:
        ConflictError: the channel no longer points to ``previous``.
    """
    name = f"{version.model}/{channel}"
    replaced = replaced or previous
    tx.move_pointer(
        "channel", name, expected=previous.id if previous else None, new=version.id, why=reason, by=actor.name
    )
    last = tx.one(
        "SELECT seq, released_at FROM releases WHERE model = ? AND channel = ? ORDER BY seq DESC LIMIT 1",
        (version.model, channel),
    )
    identifier = tx.new_id()
    # A clock set back must not put a release before the one it replaced: "on date D" goes by this time.
    at = max(tx.now, last.released_at) if last else tx.now
    tx.insert(
        "releases",
        id=identifier,
        seq=last.seq + 1 if last else 1,
        model=version.model,
        channel=channel,
        version=version.id,
        number=version.number,
        previous=replaced.id if replaced else None,
        previous_number=replaced.number if replaced else None,
        kind=kind,
        request=request,
        person=actor.name,
        claimed=int(actor.claimed),
        reason=reason,
        released_at=at,
        gates=documents.dump(gates),
    )
    ref = f"release:{identifier}"
    looked_at = sorted({each for result in gates for each in result.looked_at})
    tx.edges(
        [
            (ref, "version", version.ref),
            *((ref, "approval", f"approval:{each.id}") for each in approvals),
            *((ref, "evidence", each) for each in looked_at),
            *((ref, "job", each) for each in [current_job()] if each),
        ]
    )
    body = {
        "model": version.model,
        "channel": channel,
        "version": version.id,
        "previous": replaced.id if replaced else None,
        "kind": kind,
        "request": request,
        "by": actor.name,
        "claimed": actor.claimed,
        "reason": reason,
        "at": at,
        "approvals": [{"id": each.id, "by": each.by, "claimed": each.claimed} for each in approvals],
        "evidence": looked_at,
    }
    tx.govern("release", ref, body)
    tx.announce("release", ref)
    return identifier

"""A person's yes or no, with a reason: a fact of governance, whatever it was said to."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headwater.ledger import WriteTx
    from headwater.project import Actor

Decision = Literal["approve", "reject"]


def record_decision(
    tx: WriteTx, actor: Actor, decision: Decision, reason: str, *, request: str, subject: str, about: Mapping[str, Any]
) -> str:
    """Record what a person said to a request (an id) about a subject (a ref), also in the chain; return its ref.

    ``about``: what of the request the chain is to keep.
    """
    identifier = tx.new_id()
    tx.insert(
        "approvals",
        id=identifier,
        request=request,
        person=actor.name,
        claimed=int(actor.claimed),
        roles=json.dumps(actor.roles),
        decision=decision,
        reason=reason,
        at=tx.now,
    )
    ref = f"approval:{identifier}"
    tx.edge(ref, "subject", subject)
    body = {
        "request": request,
        **about,
        "decision": decision,
        "by": actor.name,
        "claimed": actor.claimed,
        "roles": list(actor.roles),
        "reason": reason,
        "at": tx.now,
    }
    tx.govern("approval", ref, body)
    tx.announce("approval", ref)
    return ref


def same_person(a: str, b: str) -> bool:
    """Tell whether two names are one person's, however they are spaced and cased: a claim costs nothing."""
    return " ".join(a.split()).casefold() == " ".join(b.split()).casefold()

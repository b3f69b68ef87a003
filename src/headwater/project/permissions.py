"""Which role holds which permission: ``area:verb`` needed by an operation, ordered verbs granted by a role."""

from __future__ import annotations

from headwater.errors import DeniedError

from .base import Actor

GRANTS: dict[str, frozenset[str]] = {
    "viewer": frozenset({"read"}),
    "developer": frozenset({"read", "write"}),
    "approver": frozenset({"read", "approve"}),
    "service": frozenset({"read", "predict"}),
    "admin": frozenset({"read", "write", "approve", "predict", "admin"}),
}


def require(actor: Actor, needs: str, operation: str) -> None:
    """Return when one of the actor's roles grants what the operation needs.

    Raises:
        DeniedError: none does; the message names the roles that would.
    """
    verb = needs.rpartition(":")[2]
    if any(verb in GRANTS.get(role, ()) for role in actor.roles):
        return
    enough = ", ".join(role for role, verbs in GRANTS.items() if verb in verbs)
    raise DeniedError(
        f"{actor.name} may not run '{operation}': it needs '{needs}', which the roles {enough} have; "
        f"{actor.name} has {', '.join(actor.roles) or 'none'}. Ask an admin for the role.",
        operation=operation,
        needs=needs,
        actor=actor.name,
    )

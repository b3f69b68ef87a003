"""The audit: who ran which operation that changes something, when, and how it ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from headwater.operation import Operation

    from .local import LocalProject

_LONGEST = 200
_SECRET = frozenset({"password", "secret", "text"})  # arguments of these names are written nowhere


def record_audit(
    project: LocalProject, operation: Operation, args: tuple[Any, ...], kwargs: dict[str, Any], outcome: str
) -> None:
    """Add one entry to the audit; ``outcome`` is ``done`` or the kind of the error."""
    with project.ledger.write() as tx:
        tx.insert(
            "audit",
            id=tx.new_id(),
            at=tx.now,
            actor=project.actor.name,
            claimed=int(project.actor.claimed),
            operation=operation.name,
            subject=_subject(args, kwargs),
            outcome=outcome,
        )


def _subject(args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    """Return the arguments in short: plain values only, so that no secret object and no payload is kept."""
    parts = [str(value) for value in args if isinstance(value, str | int | bool)]
    shown = {key: value for key, value in kwargs.items() if key not in _SECRET}
    parts += [f"{key}={value}" for key, value in shown.items() if isinstance(value, str | int | bool)]
    return " ".join(parts)[:_LONGEST]

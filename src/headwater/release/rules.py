"""What a channel demands: ``[channels.production]`` in headwater.toml, and ``[models.delay.channels.production]``."""

from __future__ import annotations

from typing import Any

import msgspec

from headwater.errors import InvalidInputError
from headwater.project import Settings

from .controller_rules import CanaryRules

GateDeclaration = str | dict[str, Any]


class ChannelRules(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The rules of one channel; a channel that is not declared demands nothing.

    ``approvals`` people must say yes, each holding one of ``roles`` (an admin holds all) where some are named, and
    none of them the version's author or the requester while ``not_author``. Written by role, as in
    ``{reviewer = 1, owner = 1}``, so many of each must, and a person counts once, for one role. ``authenticated`` takes
    no claimed names, so that only a server can move the channel. ``measured`` counts only evidence that an operation
    measured, none whose figures somebody brought. ``gates`` are texts or tables (``headwater.release.gates``).
    ``canary`` says how a version's share of requests grows (``headwater.release.controller_rules``).
    """

    approvals: int | dict[str, int] = 0
    not_author: bool = True
    roles: tuple[str, ...] = ()
    authenticated: bool = False
    measured: bool = False
    gates: tuple[GateDeclaration, ...] = ()
    canary: CanaryRules = CanaryRules()

    def __post_init__(self) -> None:
        if isinstance(self.approvals, dict):
            if self.roles:
                raise ValueError("approvals names roles already: leave out roles, or make approvals a number")
            if not all(role and count >= 1 for role, count in self.approvals.items()):
                raise ValueError("approvals by role are a role and how many, at least 1: {reviewer = 1, owner = 1}")

    @property
    def people(self) -> int:
        """How many people must say yes."""
        return sum(self.places.values()) if isinstance(self.approvals, dict) else self.approvals

    @property
    def places(self) -> dict[str, int]:
        """How many of each role; empty where the channel demands a number of people alone."""
        return self.approvals if isinstance(self.approvals, dict) else {}

    @property
    def who(self) -> tuple[str, ...]:
        """The roles of which an approver holds one; empty where anybody may be."""
        return tuple(self.places) or self.roles


def channel_rules(settings: Settings, model: str, channel: str) -> ChannelRules:
    """Return a channel's rules for a model: those of the channel, each key overridden by the model's own.

    Raises:
        InvalidInputError: a table has a key or value that is none of a channel's; the message names it.
    """
    general = settings.table("channels").get(channel, {})
    own = settings.table("models").get(model, {}).get("channels", {}).get(channel, {})
    try:
        return msgspec.convert({**general, **own}, ChannelRules)
    except (msgspec.ValidationError, TypeError) as error:
        known = ", ".join(ChannelRules.__struct_fields__)
        raise InvalidInputError(
            f"[channels.{channel}] in headwater.toml cannot be read: {error}. Its keys are {known}.", channel=channel
        ) from error

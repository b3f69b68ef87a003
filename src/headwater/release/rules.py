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
    none of them the version's author or the requester while ``not_author``. ``authenticated`` takes no claimed names,
    so that only a server can move the channel. ``measured`` counts only evidence that an operation measured, none whose
    figures somebody brought. ``gates`` are texts or tables (``headwater.release.gates``).
    ``canary`` says how a version's share of requests grows (``headwater.release.controller_rules``).
    """

    approvals: int = 0
    not_author: bool = True
    roles: tuple[str, ...] = ()
    authenticated: bool = False
    measured: bool = False
    gates: tuple[GateDeclaration, ...] = ()
    canary: CanaryRules = CanaryRules()


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

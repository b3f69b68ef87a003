"""Channels as people look at them: what each points to, since when, and what it demands of whoever wants to move it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from headwater.model.documents import plain
from headwater.operation import operation
from headwater.project import Project

from .rows import RELEASE, releases_of
from .rules import channel_rules
from .values import Release

if TYPE_CHECKING:
    from headwater.ledger import Tx


class ChannelState(msgspec.Struct, frozen=True, kw_only=True):
    """A channel of a model: the release in force (None before the first), and its rules.

    ``approvals`` people must say yes, of whom ``places`` says how many of which role, where it matters. ``gates`` are
    as they are written in headwater.toml; a table is its JSON.
    """

    model: str
    channel: str
    release: Release | None
    approvals: int
    places: dict[str, int]
    roles: tuple[str, ...]
    not_author: bool
    authenticated: bool
    measured: bool
    gates: tuple[str, ...]

    @property
    def demands(self) -> str:
        """The approvals that the channel demands, in words; empty where it demands none."""
        if not self.approvals:
            return ""
        said = ", ".join(f"{count} {role}" for role, count in self.places.items()) or str(self.approvals)
        said += f" by {' or '.join(self.roles)}" if self.roles else ""
        said += ", not the author" if self.not_author else ""
        return said + (", signed in" if self.authenticated else "")


@operation("release.channels", needs="release:read")
def list_channels(project: Project, model: str | None = None) -> list[ChannelState]:
    """Return the channels of all models or one, by model and channel: those in use, and those headwater.toml declares.

    Raises:
        InvalidInputError: the rules of a channel cannot be read.
    """
    with project.ledger.read() as tx:
        models = [model] if model is not None else [row.name for row in tx.all("SELECT name FROM models ORDER BY name")]
        found = []
        for name in models:
            in_force = _in_force(tx, name)
            declared = set(project.settings.table("channels")) | set(_own(project, name))
            found += [_state(project, name, each, in_force.get(each)) for each in sorted(declared | in_force.keys())]
        return found


def _in_force(tx: Tx, model: str) -> dict[str, Release]:
    rows = tx.all(
        f"SELECT {RELEASE} FROM releases AS latest WHERE model = ? AND seq = "
        "(SELECT MAX(seq) FROM releases WHERE model = latest.model AND channel = latest.channel)",
        (model,),
    )
    return {each.channel: each for each in releases_of(tx, rows)}


def _own(project: Project, model: str) -> dict[str, Any]:
    channels: dict[str, Any] = project.settings.table("models").get(model, {}).get("channels", {})
    return channels


def _state(project: Project, model: str, channel: str, release: Release | None) -> ChannelState:
    rules = channel_rules(project.settings, model, channel)
    return ChannelState(
        model=model,
        channel=channel,
        release=release,
        approvals=rules.people,
        places=rules.places,
        roles=rules.roles,
        not_author=rules.not_author,
        authenticated=rules.authenticated,
        measured=rules.measured,
        gates=tuple(
            each if isinstance(each, str) else msgspec.json.encode(plain(each)).decode() for each in rules.gates
        ),
    )

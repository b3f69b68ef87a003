"""What releasing hands out: requests, decisions, gate results, releases."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Literal

import msgspec


class GateResult(msgspec.Struct, frozen=True, kw_only=True):
    """What a gate looked at (refs of evidence), found and wants; ``do`` is the command that would help."""

    name: str
    open: bool
    found: str
    wants: str
    looked_at: tuple[str, ...] = ()
    do: str = ""


class Approval(msgspec.Struct, frozen=True, kw_only=True):
    """A person's yes or no, with a reason. ``claimed``: the name was given, not proven; ``roles`` were held then."""

    id: str
    request: str
    by: str
    claimed: bool
    decision: Literal["approve", "reject"]
    reason: str
    at: int
    roles: tuple[str, ...] = ()


class ReleaseRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The wish that a channel point to a version.

    ``waiting``: gates open, approvals missing. ``released``: done. ``rejected``: somebody said no.
    ``closed``: a gate is closed, or the channel moved since; ``why`` says it in a sentence.
    ``replaces`` is the version (id) the channel pointed to when it was asked for. A released ``canary`` began as a
    rollout of the same id; ``release`` is there once the channel moved. ``lacks``, while it waits, has an entry for
    each approval that was missing after the last decision: who may give it, as ``owner`` or ``reviewer or owner``, ''
    where anybody may.
    """

    id: str
    model: str
    version: str
    number: int
    channel: str
    status: Literal["waiting", "released", "rejected", "closed"]
    reason: str
    requested_by: str
    claimed: bool
    requested_at: int
    needs: int
    lacks: tuple[str, ...] = ()
    kind: Literal["direct", "canary"] = "direct"
    why: str = ""
    replaces: str | None = None
    gates: tuple[GateResult, ...] = ()
    approvals: tuple[Approval, ...] = ()
    release: str | None = None

    @property
    def ref(self) -> str:
        """The text that names this request in announcements."""
        return f"request:{self.id}"

    @property
    def waits_for(self) -> str:
        """What is missing, in words; empty where nothing is."""
        return waits_for(self.lacks) if self.lacks else ""


def waits_for(lacks: Sequence[str]) -> str:
    """Return missing approvals in words: ``2 approvals (1 reviewer, 1 owner)``; see ``ReleaseRequest.lacks``."""
    said = f"{len(lacks)} approval{'' if len(lacks) == 1 else 's'}"
    return f"{said} ({by_role(lacks)})" if any(lacks) else said


def by_role(lacks: Sequence[str]) -> str:
    """Return how many of which role are missing: ``1 reviewer, 1 owner``."""
    return ", ".join(f"{count} {role or 'of anybody'}" for role, count in Counter(lacks).items())


class Release(msgspec.Struct, frozen=True, kw_only=True):
    """The fact that a channel points to a version since ``released_at`` (UTC microseconds).

    ``kind`` is ``release`` or ``rollback``; a rollback has no request and no gates.
    """

    id: str
    model: str
    channel: str
    version: str
    number: int
    kind: Literal["release", "rollback"]
    by: str
    claimed: bool
    reason: str
    released_at: int
    previous: str | None = None
    previous_number: int | None = None
    request: str | None = None
    approvals: tuple[Approval, ...] = ()
    gates: tuple[GateResult, ...] = ()

    @property
    def ref(self) -> str:
        """The text that names this release in the lineage."""
        return f"release:{self.id}"

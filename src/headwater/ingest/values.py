"""What ingest speaks in: pulls, what a source would fetch, and sources as people see them."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

Outcome = Literal["running", "committed", "published", "quarantined", "unchanged", "overtaken", "failed"]


class Pull(msgspec.Struct, frozen=True, kw_only=True):
    """One pull of a source: a fact.

    ``version`` is the id of what the dataset was after it (of its branch, or in quarantine); ``number`` its number.
    ``origin`` is where from, as the lineage names it. ``files`` and ``bytes`` count what was put and was not there
    before. ``proof`` is the digest of the object that tells where each file came from.
    """

    id: str
    source: str
    parameters: dict[str, str]
    dataset: str
    branch: str
    kind: str
    origin: str
    outcome: Outcome
    message: str
    started_at: int
    actor: str
    ended_at: int | None = None
    version: str | None = None
    number: int | None = None
    files: int = 0
    bytes: int = 0
    removed: int = 0
    proof: str | None = None

    @property
    def ref(self) -> str:
        """The text that names the pull in lineage."""
        return f"pull:{self.id}"


class Planned(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that a pull would do: ``act`` is ``fetch``, ``ask`` (fetched only if it changed) or ``remove``."""

    act: Literal["fetch", "ask", "remove"]
    what: str
    why: str = ""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What a pull would do now, with where it would go on from."""

    source: str
    dataset: str
    branch: str
    origin: str
    since: str
    planned: tuple[Planned, ...]


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """A trigger that pulls a source by the clock, and when it does so next (UTC microseconds; None while paused)."""

    trigger: str
    cron: str
    next_at: int | None


class SourceInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A declared source: where from, where to, when next, and how its last pull went.

    ``problem`` says why the declaration cannot be used, "" where it can. ``settings`` are as written: a secret shows
    as the ``env:NAME`` that it comes from.
    """

    name: str
    kind: str
    dataset: str
    branch: str
    under: str
    description: str
    parameters: tuple[str, ...]
    settings: dict[str, Any]
    declared_in: str
    origin: str
    problem: str = ""
    last: Pull | None = None
    schedules: tuple[Waiting, ...] = ()


class Reached(msgspec.Struct, frozen=True, kw_only=True):
    """What a test of a source found: its settings can be used, and this answered."""

    source: str
    origin: str
    found: str

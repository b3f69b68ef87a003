"""What tracing hands out: graphs, and what came of replaying predictions."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from headwater.objects.findings import Finding

Direction = Literal["up", "down"]


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """One thing of the lineage. ``depth`` is its distance from where the walk began; ``facts`` are for people.

    ``missing``: an edge names it, and no fact of that name is in this project.
    """

    ref: str
    kind: str
    title: str
    depth: int
    facts: dict[str, Any] = {}
    missing: bool = False


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """``child`` came from ``parent``, in the role given."""

    child: str
    role: str
    parent: str


class Graph(msgspec.Struct, frozen=True, kw_only=True):
    """What a walk found, nodes by distance. ``truncated``: there is more beyond ``depth`` or the most nodes shown."""

    root: str
    direction: Direction
    nodes: tuple[Node, ...]
    edges: tuple[Link, ...]
    truncated: bool = False


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """One output that came out differently. Values as recorded and as computed again; bits are hexadecimal.

    ``why`` is empty where the execution was the same, else it says what differs (engine version, CPU).
    """

    prediction: str
    output: str
    recorded: Any
    replayed: Any
    recorded_bits: str
    replayed_bits: str
    why: str = ""


class NotKept(msgspec.Struct, frozen=True, kw_only=True):
    """A prediction that cannot be replayed, and why."""

    prediction: str
    why: str


class ReplayReport(msgspec.Struct, frozen=True, kw_only=True):
    """What came of replaying predictions.

    ``equal`` counts those whose output bytes are the same. ``within`` are those that ran on another CPU or engine
    and agree within ``tolerance``; ``different`` do not agree. ``versions`` counts the replayed by model version.
    ``findings`` name files that are not what their digest says (bundles only).
    """

    asked: int
    equal: int
    different: tuple[Difference, ...] = ()
    within: tuple[Difference, ...] = ()
    not_kept: tuple[NotKept, ...] = ()
    versions: dict[str, int] = {}
    batches: int = 0
    tolerance: float = 0.0
    findings: tuple[Finding, ...] = ()

    @property
    def all_equal(self) -> bool:
        """Whether every prediction asked for came out byte for byte the same, from files that are what they say."""
        return self.equal == self.asked and not self.findings


class Bundle(msgspec.Struct, frozen=True, kw_only=True):
    """An exported folder. ``digest`` is of its manifest, which names the digest of every other file."""

    folder: str
    digest: str
    predictions: int
    batches: int
    versions: tuple[str, ...]
    bytes: int

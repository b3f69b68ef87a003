"""What a collection tells: what is freed, and why the rest is kept."""

from __future__ import annotations

import msgspec


class Freed(msgspec.Struct, frozen=True, kw_only=True):
    """What goes: a version, a result, a run's artefacts, or bytes that nothing names."""

    what: str
    why: str
    objects: int
    bytes: int


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """How much is kept for one reason; what is needed for several counts for the first."""

    why: str
    objects: int
    bytes: int


class Collection(msgspec.Struct, frozen=True, kw_only=True):
    """What a collection freed, or would free (``freed_already`` False). Bytes are those in the packs.

    ``disk_before`` and ``disk_after`` are the bytes of all packs in their place. ``problems`` is empty unless reading
    back what was kept found something wrong. ``recompute_s`` is what computing again took of the results that were
    given up to make room; ``notes`` say what stays for other reasons than those of ``kept``.
    """

    freed_already: bool
    objects: int
    bytes: int
    freed: tuple[Freed, ...]
    kept: tuple[Kept, ...]
    packs_dropped: int
    packs_rewritten: int
    disk_before: int
    disk_after: int | None = None
    problems: tuple[str, ...] = ()
    recompute_s: float = 0.0
    notes: tuple[str, ...] = ()

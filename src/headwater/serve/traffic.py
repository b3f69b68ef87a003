"""Who answers on a channel: the route that the ledger tells, and how a server follows it. Pure but for ``read_routes``.

A route has a revision, which only grows. A server answers by one route at a time: it loads what the newest route
names, and then changes over at once. It never goes back to an older route, and it never answers by a version that the
route it follows does not name.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from hashlib import blake2b
from typing import TYPE_CHECKING, Literal

import msgspec

from headwater.errors import InvalidInputError

if TYPE_CHECKING:
    from headwater.ledger import Row, Tx

WHOLE = 10_000
"""Shares are of so many requests, so that they are whole numbers: 5 % is 500."""

KEY_HEADER = b"x-headwater-key"
"""By this header of a request a caller says whom or what it is about: a user, an order. It is not kept."""

LONGEST_KEY = 200
"""A key has at most so many bytes."""

Key = tuple[str, str]


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """What a channel's requests are answered by.

    ``stable`` is the version (id) the channel points to. While a rollout is open, ``candidate`` answers ``share`` of
    ``WHOLE`` requests (a canary), or computes beside and its answers are given to nobody (a shadow).
    """

    revision: int
    stable: str
    candidate: str = ""
    kind: Literal["", "canary", "shadow"] = ""
    share: int = 0
    rollout: str = ""

    @property
    def answers(self) -> tuple[str, ...]:
        """The versions whose answers are given to callers."""
        return (self.stable, self.candidate) if self.kind == "canary" and self.share else (self.stable,)

    def alone(self) -> Route:
        """Return the route without its candidate."""
        return Route(revision=self.revision, stable=self.stable)


class Following(msgspec.Struct, frozen=True, kw_only=True):
    """What one server knows of one channel: the newest route it was told of, and the one it answers by."""

    wanted: Route | None = None
    answering: Route | None = None


def told(following: Following, route: Route | None) -> Following:
    """Return what a server knows after it read the channel's route; None means that the channel is gone."""
    if route is None:
        return Following()
    newest = following.wanted
    if newest is not None and route.revision <= newest.revision:
        return following
    return Following(wanted=route, answering=following.answering)


def missing(following: Following, loaded: Collection[str]) -> tuple[str, ...]:
    """Return the versions to load, the one that most requests wait for first."""
    if following.wanted is None:
        return ()
    named = (following.wanted.stable, following.wanted.candidate)
    return tuple(each for each in named if each and each not in loaded)


def changed_over(following: Following, loaded: Collection[str]) -> Following:
    """Return what a server answers by, given what it has loaded and warmed.

    It changes over when the route's stable version is loaded; a candidate joins when it is. Until then it goes on with
    what it had, but a candidate that the newest route no longer names answers nothing from now on.
    """
    wanted, answering = following.wanted, following.answering
    if wanted is None:
        return following
    if wanted.stable in loaded:
        route = wanted if not wanted.candidate or wanted.candidate in loaded else wanted.alone()
        return Following(wanted=wanted, answering=route)
    if answering is not None and answering.rollout != wanted.rollout:
        return Following(wanted=wanted, answering=answering.alone())
    return following


def picked(route: Route, key: str) -> str:
    """Return the version that answers the request of a key.

    The same key is answered by the same version on every server, and a key that the candidate answers keeps it while
    the share grows.
    """
    if route.kind != "canary" or not route.share:
        return route.stable
    return route.candidate if place_of(route.rollout, key) < route.share else route.stable


def key_of(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """Return the key that the head of a request names, '' where it names none.

    Raises:
        InvalidInputError: it is longer than ``LONGEST_KEY`` bytes.
    """
    for name, value in headers:
        if name == KEY_HEADER:
            if len(value) > LONGEST_KEY:
                raise InvalidInputError(
                    f"the header {KEY_HEADER.decode()} has {len(value):,} bytes, and a key at most {LONGEST_KEY}: send "
                    "a digest of it."
                )
            return value.decode("utf-8", "surrogateescape")
    return ""


def place_of(rollout: str, key: str) -> int:
    """Return a key's place among ``WHOLE``, even over keys and of its own for each rollout."""
    digest = blake2b(f"{rollout}/{key}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") % WHOLE


def read_routes(tx: Tx, model: str = "") -> dict[Key, Route]:
    """Return the route of each channel that points to a version, of all models or one."""
    prefix = f"{model}/" if model else ""
    # One number that grows with the pointer's moves and with each step of the channel's rollouts.
    heads = tx.all(
        "SELECT p.name, p.head, p.moves + COALESCE((SELECT SUM(r.step) FROM rollouts r WHERE r.place = p.name), 0) "
        "AS revision FROM pointers p WHERE p.kind = 'channel' ORDER BY p.name"
    )
    beside = {
        row.place: row
        for row in tx.all("SELECT place, id, kind, version, stable, share FROM rollouts WHERE status = 'open'")
    }
    found = {}
    for row in heads:
        if not row.name.startswith(prefix):
            continue
        name, _, channel = row.name.rpartition("/")
        found[(name, channel)] = _route(int(row.revision), row.head, beside.get(row.name))
    return found


def _route(revision: int, head: str, rollout: Row | None) -> Route:
    # A rollout speaks of the version it stands beside: where the pointer was moved around it, it says nothing.
    if rollout is None or rollout.stable != head:
        return Route(revision=revision, stable=head)
    return Route(
        revision=revision,
        stable=head,
        candidate=rollout.version,
        kind=rollout.kind,
        share=rollout.share,
        rollout=rollout.id,
    )

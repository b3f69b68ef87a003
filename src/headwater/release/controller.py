"""The state machine of a channel: what points where, what is on its way, and which step may follow. Pure.

``direct``: the channel moves at once. ``canary``: the version answers a share of requests that grows by stages; behind
the last one the channel moves; withdrawn, everything is as before. ``shadow``: the version computes beside and answers
nobody. Whoever changes a channel reads it in a write transaction, asks one function here, and records what came back
(``controller_rows.record``): nothing else moves a channel. The tests explore these very functions.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import msgspec

from headwater.errors import ConflictError, NotFoundError, RefusedError

ReleaseKind = Literal["direct", "canary"]
RolloutKind = Literal["canary", "shadow"]
Settled = Literal["waiting", "released", "gate", "moved"]


class Rollout(msgspec.Struct, frozen=True, kw_only=True):
    """A version on its way. ``shares``: of 10,000 requests, by stage; a shadow has none. ``id`` is never used again."""

    id: str
    kind: RolloutKind
    version: str
    shares: tuple[int, ...] = ()
    stage: int = 0

    @property
    def share(self) -> int:
        """How many of 10,000 requests the version answers now."""
        return self.shares[self.stage] if self.shares else 0


class Channel(msgspec.Struct, frozen=True, kw_only=True):
    """A channel as it stands. ``behind``: versions below the present one, the next to go back to last."""

    revision: int = 0
    stable: str | None = None
    behind: tuple[str, ...] = ()
    been: frozenset[str] = frozenset()
    """Every version that was ever released here: where going back may lead."""
    rollout: Rollout | None = None


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A request as the machine sees it. ``replaces``: what the channel pointed to when it was judged."""

    id: str
    version: str
    replaces: str | None
    kind: ReleaseKind = "direct"
    status: Literal["waiting", "released", "rejected", "closed"] = "waiting"
    needs: int = 0
    yes: frozenset[str] = frozenset()


def require_waiting(asked: Asked) -> None:
    """Raise ConflictError unless a request still waits: what has ended never begins again."""
    if asked.status != "waiting":
        raise ConflictError(
            f"request {asked.id} is {asked.status} already. Make a new request where something has changed.",
            request=asked.id,
            status=asked.status,
        )


def settle(channel: Channel, asked: Asked, *, gates_open: bool) -> Settled:
    """Return what becomes of a waiting request: it was judged against what the channel points to, or it is over."""
    require_waiting(asked)
    if asked.replaces != channel.stable:
        return "moved"
    if len(asked.yes) < asked.needs:
        return "waiting"
    return "released" if gates_open else "gate"


def release(channel: Channel, asked: Asked, shares: tuple[int, ...] = ()) -> Channel:
    """Return the channel after a request that may go: moved, or with a canary begun. A shadow under way ends.

    A canary beside nothing would leave most requests without an answer, so the first version of a channel moves it.

    Raises:
        ConflictError: the request waits for more, the channel moved since, or a canary is under way.
    """
    if settle(channel, asked, gates_open=True) != "released":
        raise ConflictError(f"request {asked.id} may not be released: it waits for approvals, or the channel moved.")
    _require_no_canary(channel)
    if asked.kind == "direct" or channel.stable is None or not shares:
        return _moved(channel, asked.version)
    begun = Rollout(id=asked.id, kind="canary", version=asked.version, shares=shares)
    return msgspec.structs.replace(channel, revision=channel.revision + 1, rollout=begun)


def shadow(channel: Channel, rollout: str, version: str) -> Channel:
    """Return the channel with a version that computes beside it and answers nobody.

    Raises:
        NotFoundError: the channel points to nothing.
        ConflictError: something is under way already, or the version is the one that answers.
    """
    if channel.stable is None:
        raise NotFoundError("nothing was released to this channel, so there is nothing to stand beside.")
    if channel.rollout is not None:
        raise ConflictError(
            f"a {channel.rollout.kind} is under way in this channel already: see 'hw release rollouts', and end it "
            "with 'hw release stop'.",
            rollout=channel.rollout.id,
        )
    if channel.stable == version:
        raise ConflictError("the channel points to this version already: it would shadow itself.")
    begun = Rollout(id=rollout, kind="shadow", version=version)
    return msgspec.structs.replace(channel, revision=channel.revision + 1, rollout=begun)


def grow(channel: Channel, rollout: str, stage: int) -> Channel:
    """Return the channel one stage further; behind the last stage it points to the canary's version.

    ``rollout`` and ``stage`` are what the caller measured: whoever measured something else is too late.

    Raises:
        ConflictError: that rollout ended, or is at another stage.
    """
    found = _open(channel, rollout, stage)
    if found.kind != "canary":
        raise ConflictError(f"rollout {rollout} is a shadow, which does not grow.", rollout=rollout)
    if stage + 1 == len(found.shares):
        return _moved(channel, found.version)
    further = msgspec.structs.replace(found, stage=stage + 1)
    return msgspec.structs.replace(channel, revision=channel.revision + 1, rollout=further)


def withdraw(channel: Channel, rollout: str, stage: int | None = None) -> Channel:
    """Return the channel without its rollout; what it points to answers everything again.

    Raises:
        ConflictError: that rollout ended, or is not at the stage that was given.
    """
    _open(channel, rollout, stage)
    return msgspec.structs.replace(channel, revision=channel.revision + 1, rollout=None)


def go_back(channel: Channel, to: str | None = None, *, forward: bool) -> Channel:
    """Return the channel as it was before: without its canary, or pointing to what the present version replaced.

    ``to`` names any version that was released here; without ``forward`` only one behind the present one, since what is
    not behind it is a release by another name. Whatever is under way ends.

    Raises:
        NotFoundError: nothing was released here, or nothing before.
        RefusedError: ``to`` was never released here, or lies ahead: it takes a request.
        ConflictError: the channel points to ``to`` already and nothing is under way.
    """
    if channel.stable is None:
        raise NotFoundError("nothing was released to this channel, so there is no way back.")
    canary = channel.rollout is not None and channel.rollout.kind == "canary"
    target = to if to is not None else channel.stable if canary else _before(channel)
    if target not in channel.been:
        raise RefusedError("it was never in this channel, so this would be a release without gates or approval.")
    if target == channel.stable and not canary:
        raise ConflictError("the channel points to this version already.")
    if not forward and target != channel.stable and target not in channel.behind:
        raise RefusedError("it is not behind the present version: going forward to it takes a request.")
    return msgspec.structs.replace(
        channel,
        revision=channel.revision + 1,
        stable=target,
        behind=_below(channel, target),
        rollout=None,
    )


def history(releases: Iterable[tuple[str, str]]) -> tuple[tuple[str, ...], frozenset[str]]:
    """Return what lies behind the present version, and all that ever was, from ``(version, kind)`` in order.

    Releases are stacked; going back takes from the stack.
    """
    stack: list[str] = []
    been: set[str] = set()
    for version, kind in releases:
        been.add(version)
        if kind == "rollback" and version in stack:
            while stack[-1] != version:
                stack.pop()
        else:
            stack.append(version)
    return tuple(stack[:-1]), frozenset(been)


def _moved(channel: Channel, version: str) -> Channel:
    return Channel(
        revision=channel.revision + 1,
        stable=version,
        behind=(*channel.behind, channel.stable) if channel.stable is not None else (),
        been=channel.been | {version},
    )


def _before(channel: Channel) -> str:
    if not channel.behind:
        raise NotFoundError("the present version is the first of this channel: there is nothing before it.")
    return channel.behind[-1]


def _below(channel: Channel, target: str) -> tuple[str, ...]:
    """Return what lies behind a target of going back: what it stood on, or everything where it is brought anew."""
    assert channel.stable is not None  # go_back asked
    stack = (*channel.behind, channel.stable)
    if target not in stack:
        return stack
    last = len(stack) - 1 - stack[::-1].index(target)
    return stack[:last]


def _open(channel: Channel, rollout: str, stage: int | None) -> Rollout:
    found = channel.rollout
    if found is None or found.id != rollout:
        raise ConflictError(f"rollout {rollout} has ended. 'hw release rollouts' shows what is under way.")
    if stage is not None and found.stage != stage:
        raise ConflictError(
            f"rollout {rollout} is at stage {found.stage + 1} by now, not {stage + 1}: measure it again.",
            rollout=rollout,
            stage=found.stage,
        )
    return found


def _require_no_canary(channel: Channel) -> None:
    if channel.rollout is not None and channel.rollout.kind == "canary":
        raise ConflictError(
            "a canary is under way in this channel: let it end, or end it with 'hw release stop', and then approve.",
            rollout=channel.rollout.id,
        )

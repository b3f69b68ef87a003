"""All interleavings over one channel: never an unapproved version, never two truths, always at rest in the end."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection
from typing import Any

import msgspec
import pytest

from headwater.release import controller
from headwater.release.controller import Asked, Channel
from headwater.serve import traffic
from headwater.serve.traffic import Following, Route
from tests.release.exploring import FIRST, TWO_CANARIES, Explored, Machine, explore

DEPTH = 10
"""Steps of any of the five actors in an everyday run. Each state is visited once, whatever led there."""

FULL_DEPTH = 14


def show(capsys: pytest.CaptureFixture[str], found: Explored) -> None:
    with capsys.disabled():
        sys.stdout.write(f"\n    {told_of(found)}\n")


def told_of(found: Explored) -> str:
    return f"{found.states:,} states, {found.transitions:,} steps, depth {found.depth}: {found.wrong} {found.path}"


def test_every_interleaving_is_safe_and_comes_to_rest(capsys: pytest.CaptureFixture[str]) -> None:
    found = explore(DEPTH)

    show(capsys, found)
    assert not found.wrong, told_of(found)
    assert found.states > 11_000  # so that a step that can never be taken is noticed


def test_a_server_whose_threads_read_at_different_times_is_safe_too() -> None:
    found = explore(6, Machine(wishes=TWO_CANARIES), slow_reader=True)

    assert not found.wrong, told_of(found)


@pytest.mark.long
@pytest.mark.parametrize(("depth", "slow_reader", "least"), [(FULL_DEPTH, False, 60_000), (11, True, 100_000)])
def test_every_interleaving_is_safe_to_the_full_depth(
    capsys: pytest.CaptureFixture[str], depth: int, slow_reader: bool, least: int
) -> None:
    found = explore(depth, slow_reader=slow_reader)

    show(capsys, found)
    assert not found.wrong, told_of(found)
    assert found.states > least


# ---- what is seeded is found


def release_without_asking(channel: Channel, asked: Asked, shares: tuple[int, ...] = ()) -> Channel:
    return controller._moved(channel, asked.version)


def grow_whatever_was_measured(channel: Channel, rollout: str, stage: int) -> Channel:
    found = channel.rollout
    if found is None:
        return controller.grow(channel, rollout, stage)
    return controller.grow(channel, found.id, found.stage)


def grow_from_memory(channel: Channel, rollout: str, stage: int) -> Channel:
    """As a controller that trusts what it measured: the rollout ended meanwhile."""
    begun = controller.Rollout(id=rollout, kind="canary", version="v2", shares=(500, 5000), stage=stage)
    return controller.grow(msgspec.structs.replace(channel, rollout=begun), rollout, stage)


def grow_in_a_circle(channel: Channel, rollout: str, stage: int) -> Channel:
    if channel.rollout is not None and stage + 1 == len(channel.rollout.shares):
        again = msgspec.structs.replace(channel.rollout, stage=0)
        return msgspec.structs.replace(channel, revision=channel.revision + 1, rollout=again)
    return controller.grow(channel, rollout, stage)


def withdraw_unseen(channel: Channel, rollout: str, stage: int | None = None) -> Channel:
    after = controller.withdraw(channel, rollout, stage)
    return msgspec.structs.replace(after, revision=channel.revision)


def go_back_anywhere(channel: Channel, to: str | None = None, *, forward: bool) -> Channel:
    anywhere = channel.been | ({to} if to else frozenset())
    return controller.go_back(msgspec.structs.replace(channel, been=anywhere), to, forward=True)


def go_back_and_forward(channel: Channel, to: str | None = None, *, forward: bool) -> Channel:
    """As where a channel demands nothing: what was taken back comes again without anybody's approval."""
    return controller.go_back(channel, to, forward=True)


def go_back_and_leave_the_canary(channel: Channel, to: str | None = None, *, forward: bool) -> Channel:
    return msgspec.structs.replace(controller.go_back(channel, to, forward=forward), rollout=channel.rollout)


def settle_whatever_it_replaces(channel: Channel, asked: Asked, *, gates_open: bool) -> str:
    return controller.settle(channel, msgspec.structs.replace(asked, replaces=channel.stable), gates_open=gates_open)


def release_whatever_it_replaces(channel: Channel, asked: Asked, shares: tuple[int, ...] = ()) -> Channel:
    return controller.release(channel, msgspec.structs.replace(asked, replaces=channel.stable), shares)


def told_whatever_came_last(following: Following, route: Route | None) -> Following:
    return Following() if route is None else Following(wanted=route, answering=following.answering)


def change_over_before_loading(following: Following, loaded: Collection[str]) -> Following:
    return Following(wanted=following.wanted, answering=following.wanted)


def change_over_when_all_is_loaded(following: Following, loaded: Collection[str]) -> Following:
    """A canary that was taken back goes on answering while what replaced it is loaded."""
    wanted = following.wanted
    return traffic.changed_over(following, loaded) if wanted is not None and wanted.stable in loaded else following


def never_load_a_second(following: Following, loaded: Collection[str]) -> tuple[str, ...]:
    return () if loaded else traffic.missing(following, loaded)


SEEDED: list[tuple[Callable[..., Any], dict[str, Any], bool, str]] = [
    (release_without_asking, {"release": release_without_asking}, False, "nobody approved|neither approval"),
    (
        grow_whatever_was_measured,
        {"grow": grow_whatever_was_measured, "wishes": TWO_CANARIES},
        False,
        "not the one it measured",
    ),
    (
        grow_from_memory,
        {"grow": grow_from_memory},
        False,
        "rollout that ended|neither approval|not the one it measured",
    ),
    (grow_in_a_circle, {"grow": grow_in_a_circle}, False, "never comes to rest"),
    (withdraw_unseen, {"withdraw": withdraw_unseen}, False, "without the next revision|never comes to answer"),
    (go_back_anywhere, {"go_back": go_back_anywhere}, False, "nobody approved|neither approval"),
    (go_back_and_forward, {"go_back": go_back_and_forward}, False, "neither approval"),
    (go_back_and_leave_the_canary, {"go_back": go_back_and_leave_the_canary}, False, "left something on its way"),
    (
        settle_whatever_it_replaces,
        {"settle": settle_whatever_it_replaces, "release": release_whatever_it_replaces},
        False,
        "neither approval",
    ),
    (told_whatever_came_last, {"told": told_whatever_came_last}, True, "older route|two truths|never told"),
    (change_over_before_loading, {"changed_over": change_over_before_loading}, False, "has not loaded"),
    (change_over_when_all_is_loaded, {"changed_over": change_over_when_all_is_loaded}, False, "was told is over"),
    (never_load_a_second, {"missing": never_load_a_second}, False, "never comes to answer"),
]


@pytest.mark.parametrize(
    ("bug", "parts", "slow_reader", "said"),
    [pytest.param(*each, id=each[0].__name__) for each in SEEDED],
)
def test_a_seeded_bug_is_found(bug: object, parts: dict[str, Any], slow_reader: bool, said: str) -> None:
    found = explore(10, Machine(**parts), slow_reader=slow_reader)

    assert found.wrong, f"nothing wrong in {told_of(found)}"
    assert any(part in found.wrong for part in said.split("|")), told_of(found)
    assert found.path, FIRST

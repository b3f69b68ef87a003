"""Every interleaving of two operators, one controller and two servers over one channel, with a crash at each step.

The steps call the functions that production calls (``release.controller``, ``serve.traffic``, and the controller's
judgement); here is only who may do what next, and what must hold. An operator's act and a controller's step are one
transaction of the ledger each (killed processes show elsewhere that it is whole or nothing), so an operator who
crashes has acted or has not, and may try again; a controller forgets what it measured; a server forgets everything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import NamedTuple

import msgspec

from headwater.errors import HeadwaterError
from headwater.release import controller
from headwater.release.controller import Asked, Channel
from headwater.release.controller_rules import CanaryRules, Live, Side, judge
from headwater.serve import traffic
from headwater.serve.traffic import Following, Route

FIRST, SECOND, THIRD = "v1", "v2", "v3"
SHARES = (500, 5000)
AUTHOR, APPROVER = "ann", "bob"
WISHES = ((SECOND, "canary"), (THIRD, "direct"))
TWO_CANARIES = ((SECOND, "canary"), (THIRD, "canary"))
"""What the author may ask for, each once: requests ``r0`` and ``r1``."""

RULES = CanaryRules(stages=(5, 50), hold_s=1, least=10, wait_s=2)
GOOD = Live(canary=Side(answers=100), stable=Side(answers=1000))
BAD = Live(canary=Side(answers=100, failures=50), stable=Side(answers=1000))
VERDICTS = tuple(dict.fromkeys(judge(RULES, live, 1.5).act for live in (GOOD, BAD)))


class Server(NamedTuple):
    """What one server holds; a crash empties it."""

    following: Following = Following()
    loaded: frozenset[str] = frozenset()
    read: Route | None = None
    """What another of its threads read a while ago and has not told yet."""


class World(NamedTuple):
    """The ledger (channel, requests, rollouts that ended) and what each actor remembers."""

    channel: Channel
    asked: tuple[Asked, ...] = ()
    ended: frozenset[str] = frozenset()
    measured: tuple[str, int, str] | None = None
    servers: tuple[Server, Server] = (Server(), Server())


Step = tuple[str, World]
BEGINNING = World(Channel(revision=1, stable=FIRST, been=frozenset((FIRST,))))


class Machine(NamedTuple):
    """The functions that are explored, and what is asked for; a seeded bug replaces a function."""

    settle: Callable[..., str] = controller.settle
    release: Callable[..., Channel] = controller.release
    shadow: Callable[..., Channel] = controller.shadow
    grow: Callable[..., Channel] = controller.grow
    withdraw: Callable[..., Channel] = controller.withdraw
    go_back: Callable[..., Channel] = controller.go_back
    told: Callable[..., Following] = traffic.told
    missing: Callable[..., tuple[str, ...]] = traffic.missing
    changed_over: Callable[..., Following] = traffic.changed_over
    wishes: tuple[tuple[str, str], ...] = WISHES


@cache
def route_of(channel: Channel) -> Route | None:
    """Return the route that the ledger tells of a channel (``read_routes`` is tested to agree)."""
    if channel.stable is None:
        return None
    on_its_way = channel.rollout
    if on_its_way is None:
        return Route(revision=channel.revision, stable=channel.stable)
    return Route(
        revision=channel.revision,
        stable=channel.stable,
        candidate=on_its_way.version,
        kind=on_its_way.kind,
        share=on_its_way.share,
        rollout=on_its_way.id,
    )


def steps(world: World, machine: Machine, slow_reader: bool = False) -> Iterator[Step]:
    """Yield what may happen next, by whom, and the world after it.

    ``slow_reader``: a thread of a server may read the ledger, and take in what it read any time later.
    """
    for name, act in _acts(world, machine):
        try:
            yield name, act()
        except HeadwaterError:
            continue  # refused: nothing is recorded
    yield from _controlling(world, machine)
    for number in (0, 1):
        yield from _serving(world, number, machine, slow_reader)


def _acts(world: World, machine: Machine) -> Iterator[tuple[str, Callable[[], World]]]:
    """Yield the operators' acts. Each is tried in every state: what an operator saw may be long past."""
    if len(world.asked) < len(machine.wishes):
        yield "author asks", lambda: _ask(world, machine)
    for place in range(len(world.asked)):
        yield f"approver says yes to r{place}", lambda place=place: _approve(world, place, machine)  # type: ignore[misc]  # a default argument
        yield f"author releases r{place} without asking", lambda place=place: _push(world, place, machine)  # type: ignore[misc]  # a default argument
        yield f"author says no to r{place}", lambda place=place: _reject(world, place)  # type: ignore[misc]  # a default argument
    for who in (AUTHOR, APPROVER):
        yield f"{who} goes back", lambda: _moved(world, machine.go_back(world.channel, forward=False))
    for version in (FIRST, SECOND, THIRD):
        yield (
            f"approver goes back to {version}",
            lambda version=version: _moved(  # type: ignore[misc]  # a default argument
                world, machine.go_back(world.channel, version, forward=False)
            ),
        )
    for rollout in ("r0", "r1", "s0"):
        yield (
            f"author stops {rollout}",
            lambda rollout=rollout: _moved(  # type: ignore[misc]  # a default argument
                world, machine.withdraw(world.channel, rollout)
            ),
        )
    if "s0" not in world.ended:
        yield "author begins a shadow", lambda: _moved(world, machine.shadow(world.channel, "s0", THIRD))


def _ask(world: World, machine: Machine) -> World:
    version, kind = machine.wishes[len(world.asked)]
    asked = Asked(
        id=f"r{len(world.asked)}",
        version=version,
        replaces=world.channel.stable,
        kind=kind,  # type: ignore[arg-type]  # one of the two
        needs=1,
    )
    return world._replace(asked=(*world.asked, asked))


def _approve(world: World, place: int, machine: Machine) -> World:
    """As ``approve`` does it in one transaction; ``test_controller`` holds it against the real one."""
    asked = world.asked[place]
    outcome = machine.settle(world.channel, asked, gates_open=True)
    if outcome == "moved":
        return _with(world, place, msgspec.structs.replace(asked, status="closed"))
    asked = msgspec.structs.replace(asked, yes=asked.yes | {APPROVER})
    if machine.settle(world.channel, asked, gates_open=True) == "waiting":
        return _with(world, place, asked)
    after = _moved(world, machine.release(world.channel, asked, SHARES))
    return _with(after, place, msgspec.structs.replace(asked, status="released"))


def _push(world: World, place: int, machine: Machine) -> World:
    asked = world.asked[place]
    after = _moved(world, machine.release(world.channel, asked, SHARES))
    return _with(after, place, msgspec.structs.replace(asked, status="released"))


def _reject(world: World, place: int) -> World:
    controller.require_waiting(world.asked[place])
    return _with(world, place, msgspec.structs.replace(world.asked[place], status="rejected"))


def _controlling(world: World, machine: Machine) -> Iterator[Step]:
    rollout = world.channel.rollout
    if world.measured is None:
        if rollout is not None and rollout.kind == "canary":
            for found in VERDICTS:
                yield f"controller measures: {found}", world._replace(measured=(rollout.id, rollout.stage, found))
        return
    identifier, stage, verdict = world.measured
    forgotten = world._replace(measured=None)
    act = machine.grow if verdict == "grow" else machine.withdraw
    try:
        yield f"controller lets it {verdict}", _moved(forgotten, act(world.channel, identifier, stage))
    except HeadwaterError:
        yield "controller is too late", forgotten
    yield "controller crashes", forgotten


def _serving(world: World, number: int, machine: Machine, slow_reader: bool = False) -> Iterator[Step]:
    may_read = slow_reader and world.servers[1 - number].read is None
    for what, server in _server_steps(machine, world.servers[number], route_of(world.channel), may_read):
        yield f"server {number} {what}", _serves(world, number, server)


@cache
def _server_steps(machine: Machine, server: Server, now: Route | None, may_read: bool) -> list[tuple[str, Server]]:
    found = []
    told = machine.told(server.following, now)
    looked = server._replace(following=machine.changed_over(told, server.loaded))
    if looked != server:
        found.append(("looks", looked))
    for version in machine.missing(server.following, server.loaded)[:1]:
        loaded = server.loaded | {version}
        warm = server._replace(following=machine.changed_over(server.following, loaded), loaded=loaded)
        found.append((f"has loaded {version}", warm))
    named = _named(server.following)
    if server.loaded - named:
        found.append(("lets go", server._replace(loaded=server.loaded & named)))
    if server.read is not None:
        late = machine.changed_over(machine.told(server.following, server.read), server.loaded)
        found.append(("takes in what it read", server._replace(following=late, read=None)))
    elif may_read and looked != server:
        found.append(("reads", server._replace(read=now)))
    if server != Server():
        found.append(("crashes", Server()))
    return found


def _named(following: Following) -> frozenset[str]:
    routes = [each for each in (following.wanted, following.answering) if each is not None]
    return frozenset(version for each in routes for version in (each.stable, each.candidate) if version)


def _moved(world: World, after: Channel) -> World:
    before = world.channel.rollout
    ended = world.ended
    if before is not None and (after.rollout is None or after.rollout.id != before.id):
        ended = ended | {before.id}
    return world._replace(channel=after, ended=ended)


def _with(world: World, place: int, asked: Asked) -> World:
    return world._replace(asked=(*world.asked[:place], asked, *world.asked[place + 1 :]))


def _serves(world: World, number: int, server: Server) -> World:
    servers = (server, world.servers[1]) if number == 0 else (world.servers[0], server)
    return world._replace(servers=servers)


# ---- what must hold


@cache
def approved(asked: tuple[Asked, ...]) -> frozenset[str]:
    """Return the versions that somebody other than the author said yes to, by the requests alone."""
    return frozenset((FIRST, *(each.version for each in asked if each.status == "released" and each.yes - {AUTHOR})))


def wrong_in(world: World) -> str:
    """Return what must never be, of one state; empty where all holds."""
    allowed = approved(world.asked)
    now = route_of(world.channel)
    for number, (following, loaded, _) in enumerate(world.servers):
        answering, wanted = following.answering, following.wanted
        if answering is not None:
            if not allowed.issuperset(answering.answers):
                return f"server {number} answers by a version that nobody approved"
            if not loaded.issuperset(answering.answers):
                return f"server {number} answers by a version that it has not loaded"
            if wanted is None or answering.revision > wanted.revision:
                return f"server {number} answers by what it was never told"
            if not {answering.stable, *wanted.answers}.issuperset(answering.answers):
                return f"server {number} goes on with a canary that it was told is over"
        if wanted is not None and now is not None and wanted.revision >= now.revision and wanted != now:
            return f"two truths: server {number} was told another route of revision {wanted.revision}"
    first, second = (each.following.wanted for each in world.servers)
    if first is not None and second is not None and first.revision == second.revision and first != second:
        return "two truths: the servers were told different routes of one revision"
    if world.channel.stable is not None and world.channel.stable not in allowed:
        return "the channel points to a version that nobody approved"
    on_its_way = world.channel.rollout
    if on_its_way is not None and on_its_way.id in world.ended:
        return "a rollout that ended goes on"
    return ""


def wrong_between(name: str, before: World, after: World) -> str:
    """Return what must never happen, of one step; empty where all holds."""
    if before.channel != after.channel and after.channel.revision != before.channel.revision + 1:
        return f"'{name}' changed the channel without the next revision"
    if "goes back" in name and after.channel.rollout is not None:
        return f"'{name}' left something on its way"
    if "controller" in name and before.channel != after.channel and not _was_measured(before):
        return f"'{name}' changed a stage that was not the one it measured"
    for number in (0, 1):
        old, new = before.servers[number].following, after.servers[number].following
        if "crashes" not in name and old.answering is not None:
            if new.answering is None:
                return f"'{name}' left server {number} without an answer"
            if new.answering.revision < old.answering.revision:
                return f"'{name}' took server {number} back to an older route"
    if after.channel.stable != before.channel.stable and not _may_move(name, before, after):
        return f"'{name}' moved the channel with neither approval, nor a full canary, nor a way back"
    return ""


def _was_measured(before: World) -> bool:
    rollout = before.channel.rollout
    return rollout is not None and before.measured is not None and before.measured[:2] == (rollout.id, rollout.stage)


def _may_move(name: str, before: World, after: World) -> bool:
    if "goes back" in name:
        return after.channel.stable in before.channel.behind
    rollout = before.channel.rollout
    if "controller" in name:
        return rollout is not None and rollout.stage + 1 == len(SHARES) and after.channel.stable == rollout.version
    ended = [new for old, new in zip(before.asked, after.asked, strict=True) if old.status != new.status]
    released = [each for each in ended if each.status == "released"]
    judged = [(before.channel.stable, after.channel.stable)]
    return [(each.replaces, each.version) for each in released] == judged


# ---- exploring


class Explored(NamedTuple):
    """How far it went, and the first thing found wrong with the steps that led there."""

    states: int
    transitions: int
    depth: int
    wrong: str = ""
    path: tuple[str, ...] = ()


def explore(depth: int, machine: Machine | None = None, *, slow_reader: bool = False) -> Explored:
    """Visit every state that is reached in ``depth`` steps, breadth first; end at the first thing that is wrong."""
    used = machine or Machine()
    seen: dict[World, tuple[World, str] | None] = {canonical(BEGINNING): None}
    settled: set[World] = set()
    frontier, transitions = [canonical(BEGINNING)], 0
    for level in range(depth):
        following: list[World] = []
        for world in frontier:
            for name, reached in steps(world, used, slow_reader):
                transitions += 1
                wrong = wrong_between(name, world, reached) or wrong_in(reached)
                after = canonical(reached)
                if after in seen:
                    if not wrong:
                        continue
                else:
                    seen[after] = (world, name)
                if not wrong:
                    wrong = not_converging(after, used, settled)
                if wrong:
                    return Explored(len(seen), transitions, level + 1, wrong, (*_path(seen, world), name))
                following.append(after)
        frontier = following
    return Explored(len(seen), transitions, depth)


def canonical(world: World) -> World:
    """Return the world with its servers in one order and revisions counted from the channel's: both mean the same."""
    shift = world.channel.revision - 1000
    channel = msgspec.structs.replace(world.channel, revision=1000)
    one, other = (_shifted(each, shift) for each in world.servers)
    if _order(one) > _order(other):
        one, other = other, one
    return world._replace(channel=channel, servers=(one, other))


@cache
def _shifted(server: Server, shift: int) -> Server:
    if not shift:
        return server
    wanted, answering = (_earlier(each, shift) for each in (server.following.wanted, server.following.answering))
    return server._replace(following=Following(wanted=wanted, answering=answering), read=_earlier(server.read, shift))


def _earlier(route: Route | None, shift: int) -> Route | None:
    return None if route is None else msgspec.structs.replace(route, revision=route.revision - shift)


def _order(server: Server) -> int:
    return hash(server)


def _path(seen: dict[World, tuple[World, str] | None], world: World) -> tuple[str, ...]:
    names: list[str] = []
    step = seen[world]
    while step is not None:
        world, name = step
        names.append(name)
        step = seen[world]
    return tuple(reversed(names))


def not_converging(world: World, machine: Machine, settled: set[World], most: int = 40) -> str:
    """Return why a world does not come to rest when operators are still and nobody crashes; empty where it does.

    At rest no canary is under way, and both servers answer by what the ledger says. Whatever the controller finds.
    """
    for verdict in VERDICTS:
        path: list[World] = []
        now = world
        while now not in settled:
            further = _fair_round(now, machine, verdict)
            if further == now:
                wrong = _at_rest(now)
                if wrong:
                    return wrong
                break
            path.append(now)
            if len(path) > most:
                return "it never comes to rest"
            now = further
        if verdict == VERDICTS[-1]:
            settled.update(path)
    return ""


def _fair_round(world: World, machine: Machine, verdict: str) -> World:
    for name, after in _controlling(world, machine):
        if name != "controller crashes" and (world.measured is not None or name.endswith(verdict)):
            world = after
            break
    for number in (0, 1):
        for name, after in _serving(world, number, machine):
            if not name.endswith(("crashes", "lets go", "reads")):
                world = after
                break
    return canonical(world)


def _at_rest(world: World) -> str:
    now = route_of(world.channel)
    if world.channel.rollout is not None and world.channel.rollout.kind == "canary":
        return "a canary stays for ever"
    for server in world.servers:
        if server.following.answering != now:
            return "a server never comes to answer by what the ledger says"
    return ""

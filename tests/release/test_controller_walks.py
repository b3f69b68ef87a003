"""The ledger does what the machine of the exploration says: random acts, each done to both and compared."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from headwater.errors import ConflictError, HeadwaterError, InvalidInputError, NotFoundError
from headwater.project import LocalProject
from headwater.release import approve, list_rollouts, reject, request_release, rollback, start_shadow, stop_rollout
from headwater.release.controller import Asked, Channel
from headwater.release.controller_rows import read_channel
from headwater.serve.traffic import Route, read_routes
from tests.release import exploring
from tests.release.champions import add_version
from tests.release.exploring import route_of


class Walk:
    """Random acts on a real channel, each also done to the machine of the exploration."""

    def __init__(self, project: LocalProject) -> None:
        self.project = project
        self.names = {f"v{number}": add_version(project).id for number in (1, 2, 3)}
        self.world = exploring.World(Channel())
        self.requests: list[str] = []
        self.revisions: list[int] = []

    def label(self, version: str | None) -> str | None:
        return next((name for name, each in self.names.items() if each == version), None)

    def act(self, pick: random.Random) -> bool:
        """Do one act in both; returns whether it was allowed, in which they must agree."""
        what, target = (
            pick.choice(("ask", "yes", "yes", "no", "back", "to", "stop", "shadow", "grow", "off")),
            pick.random(),
        )
        mine = self._try(lambda: self._real(what, target))
        theirs = self._try(lambda: self._machine(what, target))
        assert mine == theirs, f"{what}: {mine} in the ledger, {theirs} in the machine"
        return mine

    def _try(self, act: Callable[[], None]) -> bool:
        try:
            act()
        except HeadwaterError:
            return False
        return True

    def _version(self, target: float) -> str:
        return f"v{1 + int(target * 3)}"

    def _place(self, target: float) -> int:
        if not self.world.asked:
            raise InvalidInputError("nobody asked")
        return len(self.world.asked) - 1 - int(target * min(2, len(self.world.asked)))  # mostly of the latest

    def _real(self, what: str, target: float) -> None:
        project, version = self.project, self._version(target)
        rollout = next((each for each in list_rollouts(project, status="open")), None)
        if what == "ask":
            kind: Any = "canary" if target * 9 % 1 < 0.5 else "direct"
            self.requests.append(request_release(project, self.names[version], "production", "x", kind=kind).id)
        elif what == "yes":
            approve(project.as_actor("bob"), self.requests[self._place(target)], "yes")
        elif what == "no":
            reject(project, self.requests[self._place(target)], "no")
        elif what in ("back", "to"):
            rollback(project, "delay", "production", to=self.names[version] if what == "to" else None, reason="x")
        elif what == "shadow":
            start_shadow(project, self.names[version], "production", "x")
        elif rollout is None:
            raise NotFoundError("nothing is under way")
        elif what == "stop":
            stop_rollout(project, rollout.id, "x")
        else:
            from headwater.release.controller_acts import _step
            from headwater.release.controller_rules import Verdict

            _step(project, rollout, Verdict(act="grow" if what == "grow" else "back", why="x"))

    def _machine(self, what: str, target: float) -> None:
        world, version = self.world, self._version(target)
        channel, machine = world.channel, exploring.Machine()
        rollout = channel.rollout
        if what == "ask":
            waiting = {each.version for each in world.asked if each.status == "waiting"}
            if version in waiting or version == channel.stable:
                raise ConflictError("asked for already")
            kind: Any = "canary" if target * 9 % 1 < 0.5 else "direct"
            asked = Asked(id=f"r{len(world.asked)}", version=version, replaces=channel.stable, kind=kind, needs=1)
            self.world = world._replace(asked=(*world.asked, asked))
        elif what == "yes":
            place = self._place(target)
            self.world = exploring._approve(world, place, machine)
            if self.world.asked[place].status == "closed":
                raise ConflictError("the real one records it, and raises")
        elif what == "no":
            self.world = exploring._reject(world, self._place(target))
        elif what in ("back", "to"):
            back = machine.go_back(channel, version if what == "to" else None, forward=False)
            self.world = exploring._moved(world, back)
        elif what == "shadow":
            shadow = machine.shadow(channel, f"s{channel.revision}", version)
            self.world = exploring._moved(world, shadow)
        elif rollout is None:
            raise NotFoundError("nothing is under way")
        elif what == "grow":
            self.world = exploring._moved(world, machine.grow(channel, rollout.id, rollout.stage))
        else:
            self.world = exploring._moved(world, machine.withdraw(channel, rollout.id))

    def compare(self) -> None:
        """Hold the ledger's channel, and the route that serving reads, against the machine's."""
        with self.project.ledger.read() as tx:
            found = read_channel(tx, "delay", "production")
            route = read_routes(tx).get(("delay", "production"))
        wanted = self.world.channel
        rollout, theirs = found.rollout, wanted.rollout
        assert self.label(found.stable) == wanted.stable
        assert tuple(map(self.label, found.behind)) == wanted.behind
        assert {self.label(each) for each in found.been} == wanted.been
        assert (rollout is None) == (theirs is None)
        if rollout is not None and theirs is not None:
            assert (rollout.kind, self.label(rollout.version), rollout.stage, rollout.share) == (
                theirs.kind, theirs.version, theirs.stage, theirs.share,
            )  # fmt: skip
        expected = route_of(wanted)
        assert (route is None) == (expected is None)
        if route is not None and expected is not None:
            assert self._plain(route) == self._plain(expected)
            self.revisions.append(route.revision)

    def _plain(self, route: Route) -> tuple[Any, ...]:
        names = (self.label(each) or each for each in (route.stable, route.candidate))
        return (*names, route.kind, route.share)


def test_the_ledger_does_what_the_machine_says_on_random_walks(local_project: LocalProject) -> None:
    local_project.settings.tables["channels"] = {"production": {"approvals": 1, "canary": {"stages": [5, 50]}}}
    pick = random.Random(7)
    walk = Walk(local_project)
    done = 0

    for _ in range(100):
        before = len(walk.revisions), walk.world.channel.revision
        done += walk.act(pick)
        walk.compare()
        if before[0] and walk.world.channel.revision > before[1]:
            assert walk.revisions[-1] > walk.revisions[-2]  # whoever follows sees that something changed

    assert done > 15


def test_a_machine_that_does_something_else_would_be_seen(sqlite_project: LocalProject) -> None:
    walk = Walk(sqlite_project)
    walk.world = walk.world._replace(channel=msgspec.structs.replace(walk.world.channel, stable="v1"))

    with pytest.raises(AssertionError):
        walk.compare()

"""Approvals by role: a seat for each person of each role that a channel demands, and nobody sits on two."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Mapping

import pytest

from headwater.access import actor_of_token, add_person, create_token
from headwater.errors import DeniedError, InvalidInputError
from headwater.model import channels
from headwater.project import Actor, LocalProject
from headwater.project.permissions import require
from headwater.release import (
    Approval,
    ChannelRules,
    ReleaseRequest,
    approve,
    channel_rules,
    list_channels,
    request_release,
)
from headwater.release.seats import seated
from headwater.release.telling import say_request
from tests.release.champions import add_version

BOTH = {"reviewer": 1, "owner": 1}


@pytest.fixture
def rules(sqlite_project: LocalProject) -> Callable[..., None]:
    def change(**wanted: object) -> None:
        sqlite_project.settings.tables["channels"] = {"production": wanted}

    return change


def asked(project: LocalProject) -> ReleaseRequest:
    return request_release(project, add_version(project).id, "production", "go")


def yes(project: LocalProject, request: ReleaseRequest, name: str, *roles: str) -> ReleaseRequest:
    actor = Actor(name=name, claimed=False, roles=("approver", *roles))
    return approve(project.as_actor(actor), request.id, "fine")


def test_two_people_of_one_role_do_not_stand_for_one_of_each(
    sqlite_project: LocalProject, rules: Callable[..., None]
) -> None:
    rules(approvals=BOTH)
    request = asked(sqlite_project)
    assert (request.needs, request.waits_for) == (2, "2 approvals (1 reviewer, 1 owner)")

    yes(sqlite_project, request, "bob", "reviewer")
    second = yes(sqlite_project, request, "cleo", "reviewer")
    assert (second.status, second.waits_for) == ("waiting", "1 approval (1 owner)")
    with pytest.raises(DeniedError, match="role reviewer or owner"):
        yes(sqlite_project, request, "dan", "developer")
    third = yes(sqlite_project, request, "eve", "owner")

    assert (third.status, third.waits_for) == ("released", "")
    assert channels(sqlite_project, "delay")["production"].label == "delay@v1"


def test_somebody_of_both_roles_counts_once_and_moves_to_the_seat_that_is_left(
    sqlite_project: LocalProject, rules: Callable[..., None]
) -> None:
    rules(approvals=BOTH)
    request = asked(sqlite_project)

    first = yes(sqlite_project, request, "bob", "reviewer", "owner")
    assert (first.status, first.waits_for) == ("waiting", "1 approval (1 reviewer or owner)")

    # bob sat as reviewer; with another reviewer he is the owner
    assert yes(sqlite_project, request, "cleo", "reviewer").status == "released"


def test_a_role_that_a_channel_demands_is_given_to_people_with_accounts(
    sqlite_project: LocalProject, rules: Callable[..., None]
) -> None:
    rules(approvals=BOTH)
    request = asked(sqlite_project)
    with pytest.raises(InvalidInputError, match=r"unknown role \['reviwer'\]; there are: .*admin, owner, reviewer\."):
        add_person(sqlite_project, "bob", ["approver", "reviwer"])
    for name, role in (("bob", "reviewer"), ("eve", "owner")):
        add_person(sqlite_project, name, ["approver", role])
        actor = actor_of_token(sqlite_project, create_token(sqlite_project, name).text)
        last = approve(sqlite_project.as_actor(actor), request.id, "fine")

    assert last.status == "released"
    with pytest.raises(DeniedError):
        require(Actor(name="eve", claimed=False, roles=("owner",)), "release:approve", "approve")


def test_a_number_alone_would_have_taken_two_people_of_one_role(
    sqlite_project: LocalProject, rules: Callable[..., None]
) -> None:
    rules(approvals=2, roles=["reviewer", "owner"])
    request = asked(sqlite_project)
    assert request.waits_for == "2 approvals (2 reviewer or owner)"

    yes(sqlite_project, request, "bob", "reviewer")

    assert yes(sqlite_project, request, "cleo", "reviewer").status == "released"


def test_the_author_takes_no_seat(sqlite_project: LocalProject, rules: Callable[..., None]) -> None:
    rules(approvals=BOTH)
    request = asked(sqlite_project)

    with pytest.raises(DeniedError, match="made the version"):
        yes(sqlite_project, request, "ann", "owner")


def test_rules_by_role_that_come_later_hold_for_what_waits(
    sqlite_project: LocalProject, rules: Callable[..., None]
) -> None:
    rules(approvals=2)
    request = asked(sqlite_project)
    yes(sqlite_project, request, "bob", "reviewer")
    rules(approvals=BOTH)

    waiting = yes(sqlite_project, request, "cleo", "reviewer")

    assert (waiting.status, waiting.lacks) == ("waiting", ("owner",))


def test_the_message_and_the_channel_say_which_roles_are_missing(
    sqlite_project: LocalProject, rules: Callable[..., None]
) -> None:
    rules(approvals=BOTH)
    request = yes(sqlite_project, asked(sqlite_project), "bob", "owner")

    with sqlite_project.ledger.read() as tx:
        said = say_request(tx, {"ref": request.ref})
    [state] = [each for each in list_channels(sqlite_project) if each.channel == "production"]

    assert "waits for 1 approval (1 reviewer); ann asks: go" in said
    assert (state.demands, state.approvals, state.places) == ("1 reviewer, 1 owner, not the author", 2, BOTH)


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ({"approvals": BOTH, "roles": ["reviewer"]}, "names roles already"),
        ({"approvals": {"reviewer": 0}}, "at least 1"),
        ({"approvals": {"reviewer": "one"}}, "Expected `int`"),
    ],
)
def test_approvals_that_cannot_be_meant_are_refused(
    sqlite_project: LocalProject, rules: Callable[..., None], wanted: dict[str, object], said: str
) -> None:
    rules(**wanted)

    with pytest.raises(InvalidInputError, match=said):
        channel_rules(sqlite_project.settings, "delay", "production")


def approvals(people: Mapping[str, frozenset[str]]) -> list[Approval]:
    return [
        Approval(
            id=name,
            request="r",
            by=name,
            claimed=False,
            decision="approve",
            reason="x",
            at=1,
            roles=tuple(sorted(held)),
        )
        for name, held in people.items()
    ]


def most_seated(people: Mapping[str, frozenset[str]], seats: list[str]) -> int:
    """Return how many seats can be filled at once, by trying every order of people."""
    names = [*people, *[""] * len(seats)]
    ways = set(itertools.permutations(names, len(seats)))
    return max(sum(bool(who) and seat in people[who] for who, seat in zip(way, seats, strict=True)) for way in ways)


def test_as_many_sit_as_any_seating_lets_sit_and_one_more_of_a_named_role_fills_an_empty_seat() -> None:
    chance = random.Random(4)
    roles = ("owner", "reviewer", "safety")
    for _ in range(150):
        places = {role: chance.randint(1, 2) for role in roles[: chance.randint(1, 3)]}
        people = {
            name: frozenset(role for role in roles if chance.random() < 0.5) for name in "abcd"[: chance.randint(0, 4)]
        }
        seats = [role for role, count in places.items() for _ in range(count)]
        rules = ChannelRules(approvals=places)

        found = seated(approvals(people), rules, rules.people)

        assert len(found.yes) == most_seated(people, seats) == len(seats) - len(found.lacks), (places, people)
        for role in roles:
            more = seated(approvals({**people, "z": frozenset({role})}), rules, rules.people)
            helps = any(role in each.split(" or ") for each in found.lacks)
            assert (len(more.yes) > len(found.yes)) == helps, (places, people, role, found)

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

from headwater.errors import ConflictError, DeniedError, HeadwaterError, InvalidInputError, NotFoundError, RefusedError
from headwater.model import channels
from headwater.project import Actor, LocalProject, Project
from headwater.release import (
    Release,
    ReleaseRequest,
    approve,
    get_release,
    get_release_request,
    list_release_requests,
    reject,
    release_log,
    request_release,
    rollback,
)
from tests.release.champions import add_version, compared, evaluated, passed_parity

PRODUCTION = '[channels.production]\napprovals = 1\ngates = ["parity"]\n'


@pytest.fixture(autouse=True)
def settings_file(project_folder: object) -> None:
    """Let production of every project here demand one approval and parity; staging nothing."""
    (project_folder / "headwater.toml").write_text(f'[project]\nname = "test"\n{PRODUCTION}')  # type: ignore[operator]  # it is a Path


@pytest.fixture
def rules(local_project: LocalProject) -> Callable[..., None]:
    """Set the rules of production."""

    def change(**wanted: object) -> None:
        local_project.settings.tables["channels"] = {"production": wanted}

    return change


def asked(project: Project) -> ReleaseRequest:
    version = add_version(project)
    passed_parity(project, version)
    return request_release(project, version.id, "production", "it is better")


def head(project: Project, channel: str = "production") -> str | None:
    found = channels(project, "delay").get(channel)
    return found.label if found else None


def release(project: Project, label: str, channel: str = "staging") -> ReleaseRequest:
    return request_release(project, label, channel, "because")


def test_a_channel_that_demands_nothing_moves_at_once(project: Project) -> None:
    add_version(project)

    request = release(project, "delay@v1")

    assert (request.status, head(project, "staging")) == ("released", "delay@v1")
    assert get_release(project, request.release or "").version == request.version


def test_an_approval_by_another_person_moves_the_channel(local_project: LocalProject) -> None:
    request = asked(local_project)

    assert (request.status, head(local_project)) == ("waiting", None)
    done = approve(local_project.as_actor("bob"), request.id, "looked at the card")

    assert (done.status, head(local_project)) == ("released", "delay@v1")
    assert [(each.by, each.claimed, each.decision) for each in done.approvals] == [("bob", True, "approve")]
    assert done.gates[0].open
    assert done.gates[0].looked_at


def test_requests_are_made_listed_and_rejected_from_anywhere(project: Project) -> None:
    request = asked(project)

    ended = reject(project, request.id, "not before the holidays")

    assert (ended.status, head(project)) == ("rejected", None)
    assert "not before the holidays" in ended.why
    assert get_release_request(project, request.ref).status == "rejected"
    assert [each.id for each in list_release_requests(project, "delay", status="rejected")] == [request.id]
    assert list_release_requests(project, status="waiting") == []


@pytest.mark.parametrize("name", ["ann", " Ann ", "ANN"])
def test_the_author_cannot_approve_their_own_version(local_project: LocalProject, name: str) -> None:
    request = asked(local_project)

    with pytest.raises(DeniedError, match="made the version"):
        approve(local_project.as_actor(name), request.id, "trust me")
    assert head(local_project) is None


def test_who_asks_for_a_release_cannot_approve_it(local_project: LocalProject) -> None:
    version = add_version(local_project)
    passed_parity(local_project, version)
    request = request_release(local_project.as_actor("bob"), version.id, "production", "please")

    with pytest.raises(DeniedError, match="asked for its release"):
        approve(local_project.as_actor("bob"), request.id, "fine")


def test_a_channel_that_demands_a_role_or_a_login_takes_no_other(
    local_project: LocalProject, rules: Callable[..., None]
) -> None:
    rules(approvals=1, roles=["reviewer"], authenticated=True)
    request = request_release(local_project, add_version(local_project).id, "production", "go")

    for actor in (
        Actor(name="bob", claimed=True, roles=("admin",)),
        Actor(name="bob", claimed=False, roles=("approver",)),
    ):
        with pytest.raises(DeniedError):
            approve(local_project.as_actor(actor), request.id, "fine")
    reviewer = Actor(name="bob", claimed=False, roles=("approver", "reviewer"))
    assert approve(local_project.as_actor(reviewer), request.id, "fine").status == "released"


def test_two_approvals_take_two_people(local_project: LocalProject, rules: Callable[..., None]) -> None:
    rules(approvals=2)
    request = request_release(local_project, add_version(local_project).id, "production", "go")

    assert approve(local_project.as_actor("bob"), request.id, "one").status == "waiting"
    with pytest.raises(ConflictError, match="another person"):
        approve(local_project.as_actor("Bob"), request.id, "one more")
    assert approve(local_project.as_actor("cleo"), request.id, "two").status == "released"


def test_rules_made_stricter_meanwhile_hold(local_project: LocalProject, rules: Callable[..., None]) -> None:
    request = asked(local_project)
    rules(approvals=2)

    assert approve(local_project.as_actor("bob"), request.id, "one").status == "waiting"


def test_an_approval_given_under_weaker_rules_counts_no_more(
    local_project: LocalProject, rules: Callable[..., None]
) -> None:
    def signed_in(name: str) -> Project:
        return local_project.as_actor(Actor(name=name, claimed=False, roles=("approver", "reviewer")))

    rules(approvals=2)
    request = request_release(local_project, add_version(local_project).id, "production", "go")
    approve(local_project.as_actor("bob"), request.id, "yes")
    rules(approvals=2, authenticated=True, roles=["reviewer"])

    assert approve(signed_in("cleo"), request.id, "yes").status == "waiting"
    assert head(local_project) is None
    done = approve(signed_in("bob"), request.id, "it is really me")  # the same name, this time signed in

    assert (done.status, head(local_project)) == ("released", "delay@v1")
    counted = {f"approval:{each.id}" for each in done.approvals if not each.claimed}
    with local_project.ledger.read() as tx:
        edges = {edge.parent for edge in tx.edges_of(f"release:{done.release}") if edge.role == "approval"}
    assert (len(done.approvals), edges) == (3, counted)


def test_an_approver_may_change_their_mind_to_a_no(local_project: LocalProject, rules: Callable[..., None]) -> None:
    rules(approvals=2)
    request = request_release(local_project, add_version(local_project).id, "production", "go")
    approve(local_project.as_actor("bob"), request.id, "one")

    assert reject(local_project.as_actor("bob"), request.id, "found a leak").status == "rejected"


def test_a_closed_gate_closes_the_request_and_says_why(local_project: LocalProject) -> None:
    version = add_version(local_project)

    request = request_release(local_project, version.id, "production", "go")

    assert (request.status, head(local_project)) == ("closed", None)
    assert "gate parity is closed: no parity is recorded" in request.why
    assert "hw model parity delay@v1" in request.why
    with pytest.raises(ConflictError, match="closed already"):
        approve(local_project.as_actor("bob"), request.id, "anyway")


def test_a_refused_challenger_is_a_fact_that_names_its_evidence(
    local_project: LocalProject, rules: Callable[..., None]
) -> None:
    rules(gates=["better_than_champion", "bar:auc>0.6"])
    champion, challenger = add_version(local_project), add_version(local_project)
    evaluated(local_project, champion, 0.7)
    request_release(local_project, "delay@v1", "production", "first")
    weak = [evaluated(local_project, challenger, 0.627), compared(local_project, champion, challenger, -0.03)]

    refused = request_release(local_project, "delay@v2", "production", "retrained on two months")

    assert (refused.status, head(local_project)) == ("closed", "delay@v1")
    assert "delay@v2 against delay@v1 on October" in refused.why
    assert {each.looked_at[0] for each in refused.gates} == {each.ref for each in weak}


def test_a_gate_that_closes_before_the_approval_stops_the_release(local_project: LocalProject) -> None:
    version = add_version(local_project)
    passed_parity(local_project, version)
    request = request_release(local_project, version.id, "production", "go")
    passed_parity(local_project, version, False)

    ended = approve(local_project.as_actor("bob"), request.id, "fine")

    assert (ended.status, head(local_project)) == ("closed", None)
    assert "gate parity is closed" in ended.why
    assert len(ended.approvals) == 1


def test_a_rejected_request_cannot_be_approved_and_a_released_one_not_rejected(local_project: LocalProject) -> None:
    first, second = asked(local_project), asked(local_project)
    reject(local_project, first.id, "no")
    approve(local_project.as_actor("bob"), second.id, "yes")

    with pytest.raises(ConflictError, match="rejected already"):
        approve(local_project.as_actor("bob"), first.id, "yes")
    with pytest.raises(ConflictError, match="released already"):
        reject(local_project.as_actor("cleo"), second.id, "no")
    assert head(local_project) == "delay@v2"


def test_a_request_judged_against_a_channel_that_moved_is_stale(local_project: LocalProject) -> None:
    first, second = asked(local_project), asked(local_project)
    approve(local_project.as_actor("bob"), second.id, "yes")

    with pytest.raises(ConflictError, match="points to delay@v2 now"):
        approve(local_project.as_actor("bob"), first.id, "yes")
    assert get_release_request(local_project, first.id).status == "closed"
    assert head(local_project) == "delay@v2"


def test_of_many_who_approve_at_once_exactly_one_releases(local_project: LocalProject) -> None:
    request = asked(local_project)

    def say_yes(name: str) -> str:
        try:
            return approve(local_project.as_actor(name), request.id, "yes").status
        except ConflictError:
            return "conflict"

    with ThreadPoolExecutor(6) as pool:
        said = sorted(pool.map(say_yes, ["b", "c", "d", "e", "f", "g"]))

    assert said == ["conflict"] * 5 + ["released"]
    assert len(release_log(local_project, "delay")) == 1
    assert len(get_release_request(local_project, request.id).approvals) == 1


def test_of_two_requests_approved_at_once_one_wins_and_the_other_is_stale(local_project: LocalProject) -> None:
    requests = [asked(local_project), asked(local_project)]

    def say_yes(request: ReleaseRequest) -> str:
        try:
            return approve(local_project.as_actor("bob"), request.id, "yes").status
        except ConflictError:
            return "conflict"

    with ThreadPoolExecutor(2) as pool:
        said = sorted(pool.map(say_yes, requests))

    assert said == ["conflict", "released"]
    [only] = release_log(local_project, "delay")
    assert head(local_project) == f"delay@v{only.number}"


def test_the_same_is_not_asked_for_twice(local_project: LocalProject) -> None:
    request = asked(local_project)

    with pytest.raises(ConflictError, match="asks for delay@v1 in production already"):
        request_release(local_project, "delay@v1", "production", "again")
    approve(local_project.as_actor("bob"), request.id, "yes")
    with pytest.raises(ConflictError, match="points to delay@v1 already"):
        request_release(local_project, "delay@v1", "production", "again")


def test_requests_and_decisions_need_reasons(sqlite_project: LocalProject) -> None:
    request = asked(sqlite_project)

    for act in (
        lambda: request_release(sqlite_project, "delay@v1", "staging", " "),
        lambda: approve(sqlite_project.as_actor("bob"), request.id, ""),
        lambda: reject(sqlite_project, request.id, ""),
        lambda: rollback(sqlite_project, "delay", "production", reason=""),
    ):
        with pytest.raises(InvalidInputError, match="reason"):
            act()


def test_a_release_is_governed_linked_and_announced(local_project: LocalProject) -> None:
    request = asked(local_project)
    done = approve(local_project.as_actor("bob"), request.id, "yes")
    ref = f"release:{done.release}"

    with local_project.ledger.read() as tx:
        links = [row.kind for row in tx.all("SELECT kind FROM chain ORDER BY seq")]
        edges = {tuple(edge) for edge in tx.edges_of(ref)}
        announced = [row.ref for row in tx.announcements_since(0, ["release"])]
        moved = tx.pointer_history("channel", "delay/production")

    assert [kind for kind in links if kind in ("approval", "release")] == ["approval", "release"]
    assert edges == {
        ("version", f"modelversion:{done.version}"),
        ("approval", f"approval:{done.approvals[0].id}"),
        ("evidence", done.gates[0].looked_at[0]),
    }
    assert announced == [ref]
    assert [(move.old, move.new, move.by) for move in moved] == [(None, done.version, "bob")]


def test_going_back_takes_one_command_no_gate_and_no_approval(project: Project) -> None:
    for _ in range(3):
        release(project, add_version(project).id)

    start = time.monotonic()
    back = rollback(project, "delay", "staging", reason="complaints")
    seconds = time.monotonic() - start

    assert (back.kind, back.number, back.previous_number, head(project, "staging")) == ("rollback", 2, 3, "delay@v2")
    assert seconds < 1
    assert rollback(project, "delay", "staging", reason="more complaints").number == 1
    assert rollback(project, "delay", "staging", to="v3", reason="it was the network").number == 3
    assert rollback(project, "delay", "staging", reason="it was not").number == 1


def test_a_channel_of_people_who_are_signed_in_is_not_moved_by_a_claimed_name(
    local_project: LocalProject, rules: Callable[..., None]
) -> None:
    rules()
    for _ in range(3):
        add_version(local_project)
    for label in ("delay@v1", "delay@v2"):
        release(local_project, label, "production")
    rules(authenticated=True)

    for act in (
        lambda: release(local_project, "delay@v3", "production"),
        lambda: rollback(local_project, "delay", "production", reason="complaints"),
        lambda: rollback(local_project, "delay", "production", to="v1", reason="complaints"),
    ):
        with pytest.raises(DeniedError, match="'ann' is a claimed name"):
            act()
    assert head(local_project) == "delay@v2"
    assert list_release_requests(local_project, status="waiting") == []
    maria = local_project.as_actor(Actor(name="maria", claimed=False, roles=("developer",)))
    assert release(maria, "delay@v3", "production").status == "released"
    assert rollback(maria, "delay", "production", reason="complaints").number == 2


@pytest.mark.parametrize("demanded", [{"approvals": 1}, {"gates": ["parity"]}])
def test_going_forward_takes_a_request_where_the_channel_demands_anything(
    sqlite_project: LocalProject, demanded: dict[str, object]
) -> None:
    channels_ = sqlite_project.settings.tables["channels"] = {"production": {}}
    for _ in range(3):
        release(sqlite_project, add_version(sqlite_project).id, "production")
    channels_["production"] = demanded

    assert rollback(sqlite_project, "delay", "production", to="v1", reason="both are bad").number == 1
    with pytest.raises(RefusedError, match="going forward to it takes a request") as caught:
        rollback(sqlite_project, "delay", "production", to="v3", reason="it was the network")

    assert "hw release request delay@v3 production" in caught.value.message
    assert head(sqlite_project) == "delay@v1"
    channels_["production"] = {}
    assert rollback(sqlite_project, "delay", "production", to="v3", reason="it was the network").number == 3


def test_there_is_no_way_back_to_what_was_never_there(local_project: LocalProject) -> None:
    add_version(local_project)
    add_version(local_project)

    with pytest.raises(NotFoundError, match="no way back"):
        rollback(local_project, "delay", "staging", reason="x")
    release(local_project, "delay@v1")
    with pytest.raises(NotFoundError, match="nothing before it"):
        rollback(local_project, "delay", "staging", reason="x")
    with pytest.raises(RefusedError, match="never in staging"):
        rollback(local_project, "delay", "staging", to="v2", reason="x")
    with pytest.raises(ConflictError, match="already"):
        rollback(local_project, "delay", "staging", to="delay@v1", reason="x")


def test_going_back_makes_a_waiting_request_stale(local_project: LocalProject) -> None:
    for _ in range(2):
        approve(local_project.as_actor("bob"), asked(local_project).id, "yes")
    waiting = asked(local_project)
    rollback(local_project, "delay", "production", reason="complaints")

    with pytest.raises(ConflictError, match="points to delay@v1 now"):
        approve(local_project.as_actor("bob"), waiting.id, "yes")
    assert head(local_project) == "delay@v1"


def test_the_log_says_what_was_in_production_on_a_date_and_who_approved_it(
    local_project: LocalProject,
) -> None:
    made: list[Release] = []
    for name in ("bob", "cleo"):
        done = approve(local_project.as_actor(name), asked(local_project).id, "yes")
        made.append(get_release(local_project, done.release or ""))
    release(local_project, "delay@v1", "staging")
    rollback(local_project, "delay", "production", reason="complaints")

    [then] = release_log(local_project, "delay", "production", at=made[1].released_at)
    text = datetime.fromtimestamp(made[0].released_at / 1e6, UTC).isoformat()
    [first] = release_log(local_project, at=text)
    now = release_log(local_project, "delay", at=local_project.clock() + 1)

    assert (then.number, then.approvals[0].by, then.approvals[0].claimed) == (2, "cleo", True)
    assert then.gates[0].looked_at[0].startswith("evidence:")
    assert (first.number, first.approvals[0].by) == (1, "bob")
    assert [(each.channel, each.number, each.kind) for each in now] == [
        ("production", 1, "rollback"),
        ("staging", 1, "release"),
    ]
    assert release_log(local_project, "delay", at="2013-01-01") == []
    with pytest.raises(InvalidInputError, match="is no time"):
        release_log(local_project, at="yesterday")


def test_the_log_is_read_by_page(project: Project) -> None:
    for _ in range(4):
        release(project, add_version(project).id)

    page = release_log(project, limit=2)

    assert [each.number for each in page] == [4, 3]
    assert [each.number for each in release_log(project, before=page[-1].id)] == [2, 1]


def test_a_version_whose_bytes_are_gone_is_not_released(
    sqlite_project: LocalProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = add_version(sqlite_project)
    monkeypatch.setattr(type(sqlite_project.objects), "missing", lambda _, digests: list(digests))

    with pytest.raises(RefusedError, match="bytes of model are gone"):
        release(sqlite_project, version.id)


KILLED = """
import sys
from headwater import durable
from headwater.project import open_project
from headwater.release import approve

count = 0
def maybe_die(name):
    global count
    if name.startswith("ledger."):
        count += 1
        if count == int(sys.argv[3]):
            import os
            os._exit(9)

project = open_project(sys.argv[1], actor="bob")
project.ledger
durable.on_crash_point(maybe_die)
approve(project, sys.argv[2], "yes")
"""


def test_a_process_killed_at_any_point_of_an_approval_leaves_all_of_it_or_nothing(
    sqlite_project: LocalProject,
) -> None:
    request = asked(sqlite_project)
    killed = 0
    for point in range(1, 40):
        done = subprocess.run(
            [sys.executable, "-c", KILLED, str(sqlite_project.root), request.id, str(point)],
            env={**os.environ, "PYTHONPATH": "src"},
            capture_output=True,
            text=True,
            check=False,
        )
        found = get_release_request(sqlite_project, request.id)
        log = release_log(sqlite_project, "delay")
        assert found.status == ("released" if log else "waiting"), done.stderr
        assert len(found.approvals) == len(log) == (1 if head(sqlite_project) else 0)
        if log:
            break
        assert done.returncode == 9, done.stderr
        killed += 1

    assert killed >= 1
    assert head(sqlite_project) == "delay@v1"
    with pytest.raises(HeadwaterError, match="released already"):
        approve(sqlite_project.as_actor("bob"), request.id, "yes")

"""Canaries, shadows and going back on a real ledger, held against the state machine that the exploration visits."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest

from headwater.errors import ConflictError, DeniedError, InvalidInputError, NotFoundError, RefusedError
from headwater.model import channels
from headwater.project import Actor, LocalProject, Project, Settings
from headwater.release import (
    approve,
    get_release_request,
    get_rollout,
    list_rollouts,
    release_log,
    request_release,
    rollback,
    run_controller,
    start_shadow,
    stop_rollout,
)
from headwater.serve.failures import FAILURES
from headwater.serve.recording import PREDICTIONS
from tests.release.champions import add_version

QUICK = {"stages": [5, 50], "hold_s": 0, "least": 10, "wait_s": 60}


@pytest.fixture
def rules(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Set the rules of production."""

    def change(**wanted: object) -> None:
        monkeypatch.setattr(Settings, "table", lambda _, name: {"production": wanted} if name == "channels" else {})

    return change


def begun(project: Project, count: int = 2) -> str:
    """Release v1, and begin a canary of v2; returns the rollout's id."""
    for _ in range(count):
        add_version(project)
    request_release(project, "delay@v1", "production", "first")
    return request_release(project, "delay@v2", "production", "better", kind="canary").id


def answered(project: LocalProject, number: int, count: int, latency_us: int = 1000) -> None:
    """Let a version have answered some requests."""
    version = read_version_id(project, number)
    now = project.clock()
    rows: list[dict[str, Any]] = [
        {
            "prediction": f"P{number}-{now}-{place}",
            "batch": f"P{number}-{now}-{place}",
            "position": 0,
            "batch_size": 1,
            "model": "delay",
            "version": version,
            "channel": "production",
            "occurred_at": now,
            "inputs": b"",
            "outputs": b"",
            "execution": "",
            "latency_us": latency_us,
        }
        for place in range(count)
    ]
    project.events.append(PREDICTIONS.name, rows)


def failed(project: LocalProject, number: int, count: int) -> None:
    """Let a version have failed some requests."""
    row = {
        "model": "delay",
        "version": read_version_id(project, number),
        "channel": "production",
        "occurred_at": project.clock(),
        "kind": "ValueError",
        "message": "no",
        "answered_by": "",
    }
    project.events.append(FAILURES.name, [row] * count)


def read_version_id(project: LocalProject, number: int) -> str:
    with project.ledger.read() as tx:
        return str(tx.value("SELECT id FROM model_versions WHERE model = 'delay' AND number = ?", (number,)))


def head(project: Project) -> str | None:
    found = channels(project, "delay").get("production")
    return found.label if found else None


def shares(project: Project) -> list[tuple[str, float]]:
    return [(each.status, each.share) for each in list_rollouts(project)]


def test_a_canary_grows_by_stages_while_its_figures_hold_and_then_moves_the_channel(
    local_project: LocalProject, rules: Callable[..., None]
) -> None:
    rules(canary=QUICK)
    rollout = begun(local_project)
    assert (head(local_project), shares(local_project)) == ("delay@v1", [("open", 5.0)])
    assert "a canary begins with 5 % of the requests" in get_release_request(local_project, rollout).why

    [few] = run_controller(local_project)
    assert (few.verdict.act, shares(local_project)) == ("wait", [("open", 5.0)])
    answered(local_project, 2, 10)
    answered(local_project, 1, 100)
    [grown] = run_controller(local_project)
    assert (grown.verdict.act, grown.live.canary.answers, shares(local_project)) == ("grow", 10, [("open", 50.0)])
    [again] = run_controller(local_project)
    assert (again.verdict.act, again.live.canary.answers) == ("wait", 0)  # each stage counts anew
    answered(local_project, 2, 10)
    run_controller(local_project)

    assert (head(local_project), shares(local_project)) == ("delay@v2", [("released", 50.0)])
    [last, _] = release_log(local_project)
    assert (last.kind, last.request, last.number) == ("release", rollout, 2)
    assert get_release_request(local_project, rollout).release == last.id
    assert run_controller(local_project) == []


def test_a_server_judges_open_canaries_by_itself(
    sqlite_project: LocalProject, rules: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    from headwater.web import background

    monkeypatch.setattr(background, "CONTROL_S", 0.05)
    rules(canary=QUICK)
    begun(sqlite_project)
    answered(sqlite_project, 2, 10)
    server = background.Background(sqlite_project, workers=0)

    server.start()
    try:
        end = time.monotonic() + 20
        while shares(sqlite_project) != [("open", 50.0)]:
            assert time.monotonic() < end
            time.sleep(0.02)
    finally:
        server.stop()


def test_a_canary_that_fails_goes_back_by_itself_and_says_why(
    sqlite_project: LocalProject, rules: Callable[..., None]
) -> None:
    rules(canary={**QUICK, "hold_s": 50})
    rollout = begun(sqlite_project)
    answered(sqlite_project, 2, 60)
    answered(sqlite_project, 1, 1000)
    [sound] = run_controller(sqlite_project)
    failed(sqlite_project, 2, 40)

    [found] = run_controller(sqlite_project)

    assert (sound.verdict.act, found.verdict.act) == ("wait", "back")
    assert (head(sqlite_project), shares(sqlite_project)) == ("delay@v1", [("withdrawn", 5.0)])
    assert "failed 40 of 100 requests" in get_rollout(sqlite_project, rollout).rollout.why
    with sqlite_project.ledger.read() as tx:
        links = [row.kind for row in tx.all("SELECT kind FROM chain ORDER BY seq")]
        told = [row.ref for row in tx.announcements_since(0, ["rollout"])]
    assert links.count("rollout") == 2
    assert told == [f"rollout:{rollout}"] * 2


def test_a_canary_that_is_slow_or_alarming_goes_back(sqlite_project: LocalProject, rules: Callable[..., None]) -> None:
    rules(canary=QUICK)
    begun(sqlite_project, 3)
    answered(sqlite_project, 2, 20, latency_us=9000)
    answered(sqlite_project, 1, 20, latency_us=1000)
    [slow] = run_controller(sqlite_project)
    request_release(sqlite_project, "delay@v3", "production", "another", kind="canary")
    answered(sqlite_project, 3, 20)
    with sqlite_project.ledger.write() as tx:
        version, now = read_version_id(sqlite_project, 3), tx.now
        tx.insert(
            "alarms", id=tx.new_id(), monitor="m", kind="drift", model="delay", version=version, number=3,
            window_id="w", start_at=now, end_at=now, title="drift", body="{}", created_at=now,
        )  # fmt: skip
    [alarmed] = run_controller(sqlite_project)

    assert "9.0 ms" in slow.verdict.why
    assert "alarm" in alarmed.verdict.why
    assert (head(sqlite_project), {each.status for each in list_rollouts(sqlite_project)}) == (
        "delay@v1",
        {"withdrawn"},
    )


def test_a_canary_needs_the_approvals_that_the_channel_demands(
    sqlite_project: LocalProject, rules: Callable[..., None]
) -> None:
    rollout = begun(sqlite_project)
    stop_rollout(sqlite_project, rollout, "not yet")
    rules(approvals=1, canary=QUICK)

    waiting = request_release(sqlite_project, "delay@v2", "production", "again", kind="canary")
    assert (waiting.status, list_rollouts(sqlite_project, status="open")) == ("waiting", [])
    approve(sqlite_project.as_actor("bob"), waiting.id, "fine")

    [open_] = list_rollouts(sqlite_project, status="open")
    assert (open_.id, open_.share, head(sqlite_project)) == (waiting.id, 5.0, "delay@v1")


def test_nothing_else_is_released_while_a_canary_is_under_way(sqlite_project: LocalProject) -> None:
    begun(sqlite_project, 3)

    with pytest.raises(ConflictError, match="canary is under way"):
        request_release(sqlite_project, "delay@v3", "production", "in between")
    with pytest.raises(ConflictError, match="canary is under way"):
        start_shadow(sqlite_project, "delay@v3", "production", "in between")
    assert shares(sqlite_project) == [("open", 5.0)]


def test_going_back_takes_back_a_canary_and_then_what_was_before(project: Project) -> None:
    begun(project)

    start = time.monotonic()
    back = rollback(project, "delay", "production", reason="complaints")

    assert time.monotonic() - start < 1
    assert (back.kind, back.number, back.previous_number) == ("rollback", 1, 2)
    assert (head(project), shares(project)) == ("delay@v1", [("withdrawn", 5.0)])
    with pytest.raises(NotFoundError, match="nothing before it"):
        rollback(project, "delay", "production", reason="complaints")
    with pytest.raises(RefusedError, match="never in production"):
        rollback(project, "delay", "production", to="v2", reason="it was the network")


def test_going_back_to_a_named_version_ends_a_canary_too(sqlite_project: LocalProject) -> None:
    for _ in range(3):
        add_version(sqlite_project)
    for label in ("delay@v1", "delay@v2"):
        request_release(sqlite_project, label, "production", "first")
    request_release(sqlite_project, "delay@v3", "production", "third", kind="canary")

    rollback(sqlite_project, "delay", "production", to="v1", reason="both are bad")

    assert (head(sqlite_project), shares(sqlite_project)) == ("delay@v1", [("withdrawn", 5.0)])


def test_a_controller_that_measured_before_a_person_acted_is_too_late(
    sqlite_project: LocalProject, rules: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    rules(canary=QUICK)
    begun(sqlite_project)
    answered(sqlite_project, 2, 20)
    from headwater.release import controller_acts

    real = controller_acts._live

    def and_somebody_goes_back(project: Project, rollout: Any) -> Any:
        found = real(project, rollout)
        rollback(sqlite_project.as_actor("bob"), "delay", "production", reason="complaints")
        return found

    monkeypatch.setattr(controller_acts, "_live", and_somebody_goes_back)

    assert run_controller(sqlite_project) == []
    assert (head(sqlite_project), shares(sqlite_project)) == ("delay@v1", [("withdrawn", 5.0)])


@pytest.mark.parametrize(
    ("now", "said"),
    [
        ({"approvals": 1, "authenticated": True}, "0 of 1 approvals count by the rules of production now"),
        ({"approvals": 2}, "1 of 2 approvals count by the rules of production now"),
        ({"approvals": 1, "gates": ["bar:auc>0.6"]}, "gate bar:auc>0.6 is closed: no evaluation is recorded"),
    ],
)
def test_the_last_stage_of_a_canary_moves_nothing_that_the_rules_no_longer_let_through(
    sqlite_project: LocalProject, rules: Callable[..., None], now: dict[str, object], said: str
) -> None:
    rules(approvals=1, canary=QUICK)
    for _ in range(2):
        asked = request_release(sqlite_project, add_version(sqlite_project).id, "production", "go", kind="canary")
        approve(sqlite_project.as_actor("bob"), asked.id, "yes")
    rules(canary=QUICK, **now)

    answered(sqlite_project, 2, 10)
    [grown] = run_controller(sqlite_project)
    answered(sqlite_project, 2, 10)
    [last] = run_controller(sqlite_project)

    assert (grown.verdict.act, last.verdict.act) == ("grow", "back")
    assert (head(sqlite_project), shares(sqlite_project)) == ("delay@v1", [("withdrawn", 50.0)])
    assert said in last.rollout.why


def test_a_canary_in_a_channel_of_people_who_are_signed_in_is_not_stopped_by_a_claimed_name(
    sqlite_project: LocalProject, rules: Callable[..., None]
) -> None:
    rollout = begun(sqlite_project)
    rules(authenticated=True)

    with pytest.raises(DeniedError, match="claimed name"):
        stop_rollout(sqlite_project, rollout, "complaints")
    assert shares(sqlite_project) == [("open", 5.0)]
    maria = sqlite_project.as_actor(Actor(name="maria", claimed=False))
    assert stop_rollout(maria, rollout, "complaints").status == "withdrawn"


def test_a_shadow_answers_nobody_and_takes_no_approval(project: Project) -> None:
    for _ in range(2):
        add_version(project)
    with pytest.raises(NotFoundError, match="nothing to stand beside"):
        start_shadow(project, "delay@v2", "production", "look")
    request_release(project, "delay@v1", "production", "first")

    made = start_shadow(project, "delay@v2", "production", "how would it do?")

    assert (made.kind, made.share, made.status, head(project)) == ("shadow", 0.0, "open", "delay@v1")
    assert run_controller(project) == []
    with pytest.raises(ConflictError, match="under way"):
        start_shadow(project, "delay@v2", "production", "again")
    request_release(project, "delay@v2", "production", "it did well", kind="canary")
    assert [(each.kind, each.status) for each in list_rollouts(project)] == [
        ("canary", "open"),
        ("shadow", "withdrawn"),
    ]


def test_the_first_version_of_a_channel_has_nothing_to_be_a_canary_beside(sqlite_project: LocalProject) -> None:
    add_version(sqlite_project)

    request_release(sqlite_project, "delay@v1", "production", "first", kind="canary")

    assert (head(sqlite_project), list_rollouts(sqlite_project)) == ("delay@v1", [])


@pytest.mark.parametrize(
    "wanted",
    [
        {"stages": []},
        {"stages": [50, 5]},
        {"stages": [101]},
        {"stages": [0.0]},
        {"hold_s": 10, "wait_s": 5},
        {"leest": 3},
    ],
)
def test_rules_of_a_canary_that_cannot_be_are_refused(
    sqlite_project: LocalProject, rules: Callable[..., None], wanted: dict[str, object]
) -> None:
    add_version(sqlite_project)
    rules(canary=wanted)

    with pytest.raises(InvalidInputError, match=r"channels\.production"):
        request_release(sqlite_project, "delay@v1", "production", "go", kind="canary")


def test_the_ledger_does_not_hold_two_truths_about_a_channel(local_project: LocalProject) -> None:
    rollout = begun(local_project)

    with local_project.ledger.read() as read:
        row = read.one("SELECT * FROM rollouts WHERE id = ?", (rollout,))
    assert row is not None
    second = {**row.as_dict(), "id": "another"}

    with pytest.raises(ConflictError), local_project.ledger.write() as tx:
        tx.insert("rollouts", **second)


KILLED = """
import os, sys
from headwater import durable
from headwater.project import open_project
from headwater.release import list_rollouts
from headwater.release.controller_acts import _step
from headwater.release.controller_rules import Verdict

count = 0
def maybe_die(name):
    global count
    if name.startswith("ledger."):
        count += 1
        if count == int(sys.argv[2]):
            os._exit(9)

project = open_project(sys.argv[1], actor="bob")
[rollout] = list_rollouts(project, status="open")
durable.on_crash_point(maybe_die)
_step(project, rollout, Verdict(act="grow", why="it holds"))
"""


def test_a_controller_killed_at_any_point_leaves_all_of_a_step_or_nothing(sqlite_project: LocalProject) -> None:
    sqlite_project.settings.tables["channels"] = {"production": {"canary": {"stages": [100]}}}
    begun(sqlite_project)
    killed = 0
    for point in range(1, 20):
        done = subprocess.run(
            [sys.executable, "-c", KILLED, str(sqlite_project.root), str(point)],
            env={**os.environ, "PYTHONPATH": "src"},
            capture_output=True,
            text=True,
            check=False,
        )
        released = head(sqlite_project) == "delay@v2"
        assert shares(sqlite_project) == [("released" if released else "open", 100.0)], done.stderr
        assert len(release_log(sqlite_project)) == (2 if released else 1)
        killed += done.returncode == 9
        if released:
            break
    assert killed >= 2

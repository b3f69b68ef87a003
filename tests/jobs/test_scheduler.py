"""The scheduler: each fact becomes one job for each trigger, also across crashes and beside other schedulers."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from headwater import durable
from headwater.errors import InvalidInputError, NotFoundError
from headwater.jobs import Scheduler, Worker, fire_trigger, list_jobs, list_triggers, pause_trigger
from headwater.jobs.schedules import Schedule
from headwater.project import Actor, LocalProject
from tests.jobs.places import BEHAVIOUR, MakeProject, announce

ON_ALARM = """
[[triggers]]
name = "look"
on = "alarm"
operation = "test.behave"
arguments = { ref = "{ref}" }
"""
ON_BRANCH = """
[[triggers]]
name = "retrain"
on = "branch"
match = { dataset = "fli*", name = "main" }
flow = "flows:train"
arguments = { data = "{dataset}@{version}", number = "{seq}" }
priority = 3
"""
MINUTELY = """
[[triggers]]
name = "pull"
on = "schedule"
cron = "* * * * *"
operation = "test.behave"
"""
MANUAL = """
[[triggers]]
name = "sum"
on = "manual"
operation = "test.sum"
arguments = { numbers = [1, 2], extra = "{more}" }
roles = ["admin"]
"""
MINUTE_US = 60_000_000
START_US = 1_767_225_600_000_000  # 2026-01-01


class Hands:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = START_US

    def __call__(self) -> int:
        return self.now


def _causes(project: LocalProject) -> list[str]:
    return sorted(job.cause for job in list_jobs(project, limit=1000))


def test_a_fact_becomes_one_job_that_names_its_cause(make: MakeProject) -> None:
    project = make(ON_ALARM)
    announce(project, "alarm", "alarm:A")
    announce(project, "release", "release:R")
    scheduler = Scheduler(project)

    (job,) = scheduler.tick()
    assert scheduler.tick() == []

    assert (job.operation, job.arguments, job.trigger, job.cause) == (
        "test.behave",
        {"ref": "alarm:A"},
        "look",
        "alarm:A",
    )
    assert (job.actor, job.status) == ("trigger:look", "queued")
    with project.ledger.read() as tx:
        assert [tuple(edge) for edge in tx.edges_of(job.ref)] == [("cause", "alarm:A")]
    Worker(project).run_once()
    assert BEHAVIOUR.calls == ["alarm:A"]


def test_what_a_fact_is_decides_which_trigger_it_meets_and_fills_in_the_arguments(make: MakeProject) -> None:
    project = make(ON_BRANCH)
    with project.ledger.write() as tx:
        for name in ("flights/main", "flights/draft", "trains/main"):
            tx.move_pointer("branch", name, expected=None, new=f"V-{name}")
            tx.announce("branch", f"branch:{name}")

    (job,) = Scheduler(project).tick()

    assert job.operation == "flow.run"
    assert job.arguments == {"flow": "flows:train", "arguments": {"data": "flights@V-flights/main", "number": 1}}
    assert job.priority == 3


def test_the_columns_of_a_facts_row_can_be_matched(make: MakeProject) -> None:
    project = make(
        ON_ALARM.replace('operation = "test', 'match = { status = "failed" }\noperation = "test').replace(
            '"alarm"', '"job"'
        )
    )
    from headwater.jobs.queue import add_job

    with project.ledger.write() as tx:
        add_job(tx, operation="a", arguments={}, actor=Actor(name="x"), cause="person:x", error="it broke")
        good = add_job(tx, operation="b", arguments={}, actor=Actor(name="x"), cause="person:x")
        tx.announce("job", f"job:{good}")

    (job,) = Scheduler(project).tick()
    with project.ledger.read() as tx:
        assert tx.value("SELECT error FROM jobs WHERE id = ?", (job.cause.removeprefix("job:"),)) == "it broke"


def test_two_schedulers_at_once_make_each_job_once(make: MakeProject) -> None:
    project = make(ON_ALARM)
    other = make.again()
    stop = threading.Event()
    failures: list[Exception] = []

    def tick(seen: LocalProject) -> None:
        scheduler = Scheduler(seen, lease_s=0.02)
        while not stop.is_set():
            try:
                scheduler.tick()
            except Exception as error:  # noqa: BLE001  # whatever it is, the assertion below shows it
                failures.append(error)

    threads = [threading.Thread(target=tick, args=(seen,)) for seen in (project, other)]
    for thread in threads:
        thread.start()
    for number in range(60):
        announce(project, "alarm", f"alarm:{number:03}")
        threading.Event().wait(0.01)
    threading.Event().wait(0.3)
    stop.set()
    for thread in threads:
        thread.join()
    Scheduler(project).tick()

    assert failures == []
    assert _causes(project) == [f"alarm:{number:03}" for number in range(60)]


def test_only_one_scheduler_leads_and_the_next_takes_over_when_it_falls_silent(make: MakeProject) -> None:
    project = make(ON_ALARM)
    first, second = Scheduler(project, name="first"), Scheduler(make.again(), name="second")
    announce(project, "alarm", "alarm:1")
    assert len(first.tick()) == 1
    announce(project, "alarm", "alarm:2")
    assert second.tick() == []
    with project.ledger.write() as tx:
        tx.execute("UPDATE leases SET expires_at = 1 WHERE name = 'scheduler'")

    assert [job.cause for job in second.tick()] == ["alarm:2"]
    announce(project, "alarm", "alarm:3")
    assert first.tick() == []  # it was paused past its lease
    assert [job.cause for job in second.tick()] == ["alarm:3"]


def test_a_scheduler_that_resigns_lets_the_next_lead_at_once(make: MakeProject) -> None:
    project = make(ON_ALARM)
    first, second = Scheduler(project), Scheduler(make.again())
    announce(project, "alarm", "alarm:1")
    first.tick()
    first.resign()
    announce(project, "alarm", "alarm:2")

    assert [job.cause for job in second.tick()] == ["alarm:2"]


def test_a_scheduler_killed_at_any_point_of_a_tick_repeats_and_skips_nothing(make: MakeProject) -> None:
    project = make(ON_ALARM)
    expected: list[str] = []
    survived = False
    for number in range(30):
        announce(project, "alarm", f"alarm:{number:03}")
        expected.append(f"alarm:{number:03}")
        child = os.fork()
        if child == 0:
            _kill_at(number)
            Scheduler(make.again(), lease_s=0.001).tick()
            os._exit(0)
        _, status = os.waitpid(child, 0)
        survived = not os.WIFSIGNALED(status)
        Scheduler(project, lease_s=0.001).tick()
        threading.Event().wait(0.005)
        Scheduler(project, lease_s=0.001).tick()
        assert _causes(project) == expected
        if survived:
            break
    assert survived
    assert len(expected) > 2  # there were points to be killed at


def _kill_at(number: int) -> None:
    reached = 0

    def count(name: str) -> None:
        nonlocal reached
        if reached == number:
            os.kill(os.getpid(), signal.SIGKILL)
        reached += 1

    durable.on_crash_point(count)


def test_an_idle_scheduler_writes_nothing(make: MakeProject) -> None:
    project = make(ON_ALARM)
    announce(project, "alarm", "alarm:1")
    scheduler = Scheduler(project)
    scheduler.tick()
    written: list[object] = []
    project.ledger.before_commit.append(written.append)

    for _ in range(5):
        scheduler.tick()

    assert written == []


def test_a_trigger_that_asks_for_what_the_fact_lacks_makes_a_failed_job_and_others_go_on(make: MakeProject) -> None:
    broken = ON_ALARM.replace('"look"', '"broken"').replace("{ref}", "{colour}")
    project = make(broken + ON_ALARM)
    announce(project, "alarm", "alarm:1")

    made = {job.trigger: job for job in Scheduler(project).tick()}

    assert made["look"].status == "queued"
    assert made["broken"].status == "failed"
    assert "asks for '{colour}'" in made["broken"].error


def test_a_schedule_counts_from_when_it_is_first_seen_and_runs_once_for_each_time(make: MakeProject) -> None:
    clock = Hands()
    project = make(MINUTELY, clock)
    scheduler = Scheduler(project)
    assert scheduler.tick() == []
    clock.now += MINUTE_US - 1
    assert scheduler.tick() == []
    clock.now += 1
    (job,) = scheduler.tick()
    assert job.cause == f"schedule:{START_US + MINUTE_US}"
    assert scheduler.tick() == []
    clock.now += MINUTE_US
    assert len(scheduler.tick()) == 1


def test_times_missed_while_no_scheduler_ran_are_made_up_for_once(make: MakeProject) -> None:
    clock = Hands()
    project = make(MINUTELY, clock)
    Scheduler(project).tick()
    clock.now += 1000 * MINUTE_US + 5

    assert [job.cause for job in Scheduler(project, lease_s=1).tick()] == []  # the first one still leads
    with project.ledger.write() as tx:
        tx.execute("UPDATE leases SET expires_at = 1")
    assert [job.cause for job in Scheduler(project).tick()] == [f"schedule:{START_US + 1000 * MINUTE_US}"]


def test_a_paused_trigger_makes_no_job_then_or_later(make: MakeProject) -> None:
    clock = Hands()
    project = make(ON_ALARM + MINUTELY, clock)
    scheduler = Scheduler(project)
    scheduler.tick()
    assert pause_trigger(project, "look").paused_by == "ann"
    pause_trigger(project, "pull")
    announce(project, "alarm", "alarm:1")
    clock.now += MINUTE_US
    assert scheduler.tick() == []
    assert [trigger.paused for trigger in list_triggers(project)] == [True, True]

    pause_trigger(project, "look", paused=False)
    pause_trigger(project, "pull", paused=False)
    assert scheduler.tick() == []
    announce(project, "alarm", "alarm:2")
    clock.now += MINUTE_US
    assert sorted(job.trigger for job in scheduler.tick()) == ["look", "pull"]
    assert "alarm:1" not in _causes(project)


def test_a_person_fires_a_trigger_as_themselves_with_parameters(make: MakeProject) -> None:
    project = make(MANUAL)
    developer = project.as_actor(Actor(name="dan", roles=("developer",)))

    job = fire_trigger(developer, "sum", {"more": 10, "numbers": [5]})
    ended = Worker(project).run_once()

    assert (job.actor, job.trigger, job.arguments) == ("dan", "sum", {"numbers": [5], "extra": 10})
    assert ended is not None
    assert ended.result == {"total": 15, "by": "dan"}
    with pytest.raises(InvalidInputError, match=r"asks for .\{more\}."):
        fire_trigger(developer, "sum")
    with pytest.raises(NotFoundError, match="declares: sum"):
        fire_trigger(developer, "other")


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ('[[triggers]]\nname = "t"\non = "alarm"\n', "either 'operation' or 'flow'"),
        ('[[triggers]]\nname = "t"\non = "schedule"\noperation = "x"\n', "needs 'cron'"),
        (MINUTELY.replace("* * * * *", "* * *"), "five fields"),
        (MINUTELY.replace("* * * * *", "61 * * * *"), "cannot be read: Bad minute"),
        (MINUTELY + 'timezone = "Mars/Olympus"\n', "no time zone 'Mars/Olympus'"),
        (MINUTELY.replace("* * * * *", "0 0 30 2 *"), "Bad day-of-month"),
        (ON_ALARM + 'colour = "red"\n', "unknown field `colour`"),
        (ON_ALARM + ON_ALARM, "two triggers called 'look'"),
        (ON_ALARM + 'cron = "* * * * *"\n', "'cron' belongs to"),
        (MANUAL + 'match = { a = "b" }\n', "nothing to hold against"),
    ],
)
def test_a_trigger_that_is_written_wrong_is_named(
    tmp_path_factory: pytest.TempPathFactory, settings: str, says: str
) -> None:
    maker = MakeProject(tmp_path_factory.mktemp("wrong") / "project", None)
    project = maker(settings)

    with pytest.raises(InvalidInputError, match=says):
        list_triggers(project)
    maker.close()


def _at(text: str) -> int:
    from datetime import datetime

    return round(datetime.fromisoformat(text).timestamp()) * 1_000_000


@pytest.mark.parametrize(
    ("cron", "zone", "after", "until", "expected"),
    [
        ("30 6 * * *", "UTC", "2026-03-01T06:30:00Z", "2026-03-02T06:29:59Z", None),
        ("30 6 * * *", "UTC", "2026-03-01T06:29:59Z", "2026-03-01T06:30:00Z", "2026-03-01T06:30:00Z"),
        ("30 6 * * 1-5", "Europe/Berlin", "2026-03-20T12:00:00Z", "2026-03-23T12:00:00Z", "2026-03-23T05:30:00Z"),
        # the clocks go forward on 2026-03-29 at 02:00: a fixed time that is skipped runs right after, once
        ("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", "2026-03-29T12:00:00Z", "2026-03-29T01:00:00Z"),
        # and back on 2026-10-25 at 03:00: a fixed time that comes twice runs the first time
        ("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", "2026-10-25T00:30:00Z", "2026-10-25T00:30:00Z"),
        ("30 2 * * *", "Europe/Berlin", "2026-10-25T00:30:00Z", "2026-10-25T12:00:00Z", None),
        ("0 12 1 * *", "America/New_York", "2026-01-15T00:00:00Z", "2026-12-31T00:00:00Z", "2026-12-01T17:00:00Z"),
    ],
)
def test_schedules_are_read_in_their_own_zone(
    cron: str, zone: str, after: str, until: str, expected: str | None
) -> None:
    found = Schedule(cron, "", zone).last_due(after=_at(after), until=_at(until), most=1)

    assert found == ([] if expected is None else [_at(expected)])


def test_the_end_of_a_flow_starts_another(make: MakeProject) -> None:
    project = make(ON_ALARM.replace('"alarm"', '"flow"') + 'match = { flow = "train" }\n')
    (trigger,) = list_triggers(project)

    assert trigger.on == "run"
    assert trigger.match == {"kind": "flow", "status": "done", "flow": "train"}

"""Schedules: which of the missed times count, what clocks that are put forward and back do, every so often."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

import pytest

from headwater.errors import InvalidInputError
from headwater.jobs import Scheduler, list_jobs, list_triggers
from headwater.jobs.schedules import Schedule
from tests.jobs.places import MakeProject
from tests.jobs.test_scheduler import MINUTE_US, START_US, Hands

HOURLY = """
[[triggers]]
name = "load"
on = "schedule"
cron = "0 * * * *"
timezone = "Europe/Berlin"
operation = "test.behave"
arguments = { ref = "{date}" }
"""
HOUR_US = 60 * MINUTE_US


def us(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp()) * 1_000_000


def text(at: int) -> str:
    return datetime.fromtimestamp(at / 1e6, UTC).strftime("%d %H:%M")


@pytest.mark.parametrize(
    ("policy", "counted"),
    [
        ('"last"', [5]),
        ('"all"', [1, 2, 3, 4, 5]),
        ('"all"\ncatch_up_most = 2', [4, 5]),
        ('"none"', []),
    ],
)
def test_the_times_that_passed_without_a_scheduler_count_as_the_trigger_says(
    make: MakeProject, policy: str, counted: list[int]
) -> None:
    clock = Hands()
    project = make(f"{HOURLY}catch_up = {policy}\n", clock)
    scheduler = Scheduler(project)
    scheduler.tick()
    clock.now += 5 * HOUR_US + 10 * MINUTE_US

    made = scheduler.tick()

    assert [job.cause for job in made] == [f"schedule:{START_US + hours * HOUR_US}" for hours in counted]
    assert scheduler.tick() == []
    clock.now += 50 * MINUTE_US + 1  # the next time is on time, whatever the policy
    assert [job.cause for job in scheduler.tick()] == [f"schedule:{START_US + 6 * HOUR_US}"]
    assert {job.arguments["ref"] for job in list_jobs(project)} == {"2026-01-01"}


def test_hourly_times_are_each_there_once_over_a_day_of_25_hours_and_one_of_23() -> None:
    hourly = Schedule("0 * * * *", "", "Europe/Berlin")

    autumn = hourly.last_due(after=us("2026-10-24T22:00:00Z"), until=us("2026-10-25T23:00:00Z"), most=100)
    spring = hourly.last_due(after=us("2026-03-28T23:00:00Z"), until=us("2026-03-29T22:00:00Z"), most=100)

    assert [b - a for a, b in itertools.pairwise(autumn)] == [HOUR_US] * 24
    assert [b - a for a, b in itertools.pairwise(spring)] == [HOUR_US] * 22


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "UTC"])
@pytest.mark.parametrize("cron", ["30 2 * * *", "0 * * * *", "*/30 1-3 * * *", "15 2 * * 0"])
def test_what_was_missed_is_what_would_have_been_due_one_after_the_other(zone: str, cron: str) -> None:
    # Forward steps are what a running scheduler sees; backward steps are what one that was away makes up for.
    schedule = Schedule(cron, "", zone)
    for begin in ("2026-03-06T00:00:00Z", "2026-03-27T00:00:00Z", "2026-04-03T00:00:00Z", "2026-10-02T00:00:00Z",
                  "2026-10-23T00:00:00Z", "2026-10-30T00:00:00Z"):  # fmt: skip
        after = us(begin)
        until = after + round(timedelta(days=4).total_seconds()) * 1_000_000
        forward: list[int] = []
        at = after
        while (at := schedule.next_due(after=at)) <= until:
            forward.append(at)

        back = schedule.last_due(after=after, until=until, most=10_000)

        assert [text(each) for each in back] == [text(each) for each in forward]


def test_the_date_is_that_of_the_schedules_own_zone() -> None:
    assert Schedule("0 0 * * *", "", "Asia/Tokyo").date_of(us("2026-03-01T15:00:00Z")) == "2026-03-02"


def test_what_is_due_every_so_often_waits_for_the_job_before(make: MakeProject) -> None:
    clock = Hands()
    project = make('[[triggers]]\nname = "poll"\non = "schedule"\nevery = "10s"\noperation = "test.behave"\n', clock)
    scheduler = Scheduler(project)
    scheduler.tick()
    clock.now += 35_000_000
    (first,) = scheduler.tick()
    clock.now += 35_000_000
    assert scheduler.tick() == []

    with project.ledger.write() as tx:
        tx.execute("UPDATE jobs SET status = 'done'")
    clock.now += 10_000_000
    (second,) = scheduler.tick()

    assert first.cause == f"schedule:{START_US + 30_000_000}"
    assert second.cause == f"schedule:{START_US + 80_000_000}"
    assert list_triggers(project)[0].next_at == START_US + 90_000_000


@pytest.mark.parametrize("every", ["0s", "10", "1w", "-5s"])
def test_a_length_of_time_that_is_none_is_told(make: MakeProject, every: str) -> None:
    project = make(f'[[triggers]]\nname = "poll"\non = "schedule"\nevery = "{every}"\noperation = "x"\n')

    with pytest.raises(InvalidInputError, match="no length of time: write 10s"):
        list_triggers(project)

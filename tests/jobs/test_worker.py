"""Workers: who runs what, as whom, how often, and what a worker that lost its job may still record."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from headwater.errors import ConflictError, DeniedError, InvalidInputError, NotFoundError
from headwater.jobs import Worker, cancel_job, current_job, fire_trigger, get_job, list_jobs, submit
from headwater.jobs.leasing import take_job
from headwater.project import Actor, Project
from tests.jobs.places import BEHAVIOUR, MakeProject, fail, refused, unavailable, wait_for


def test_a_job_runs_as_whoever_submitted_it_and_keeps_its_result(make: MakeProject) -> None:
    project = make()
    job = submit(project.as_actor("eve"), "test.sum", {"numbers": [1, 2], "extra": 4})
    assert (job.status, job.actor, job.cause) == ("queued", "eve", "person:eve")

    done = Worker(project, name="w").run_once()

    assert done is not None
    assert (done.id, done.status, done.result) == (job.id, "done", {"total": 7, "by": "eve"})
    assert (done.attempts, done.worker) == (1, "w")
    assert done.ended_at is not None
    assert done == get_job(project, job.ref)
    assert Worker(project).run_once() is None


def test_the_highest_priority_goes_first_and_then_the_oldest(make: MakeProject) -> None:
    project = make()
    for name, priority in (("a", 0), ("b", 5), ("c", 0), ("d", 5)):
        submit(project, "test.behave", {"ref": name}, priority=priority)

    worker = Worker(project)
    while worker.run_once():
        pass

    assert BEHAVIOUR.calls == ["b", "d", "a", "c"]


def test_many_workers_run_each_job_once(make: MakeProject) -> None:
    project = make()
    for number in range(30):
        submit(project, "test.behave", {"ref": str(number)})

    def drain() -> None:
        worker = Worker(project)
        while worker.run_once():
            pass

    threads = [threading.Thread(target=drain) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(BEHAVIOUR.calls, key=int) == [str(number) for number in range(30)]


def test_a_job_with_a_label_waits_for_a_worker_that_has_it(make: MakeProject) -> None:
    project = make()
    job = submit(project, "test.behave", label="gpu")

    assert Worker(project).run_once() is None
    assert Worker(project, labels=["cpu"]).run_once() is None
    done = Worker(project, labels=["gpu", "cpu"]).run_once()
    assert done is not None
    assert done.id == job.id


def test_a_delayed_job_is_not_run_before_its_time(make: MakeProject) -> None:
    project = make()
    submit(project, "test.behave", delay_s=3600)

    assert Worker(project).run_once() is None


@pytest.mark.parametrize(
    ("operation", "arguments", "error"),
    [
        ("test.nobody", {}, NotFoundError),
        ("test.sum", {}, InvalidInputError),
        ("test.sum", {"numbers": ["one"]}, InvalidInputError),
        ("test.sum", {"numbers": [1], "other": 2}, InvalidInputError),
    ],
)
def test_a_job_that_cannot_run_is_refused_when_it_is_submitted(
    make: MakeProject, operation: str, arguments: dict[str, object], error: type[Exception]
) -> None:
    with pytest.raises(error):
        submit(make(), operation, arguments)


def test_a_job_gives_nobody_a_right_that_they_do_not_have(make: MakeProject) -> None:
    developer = make().as_actor(Actor(name="dan", roles=("developer",)))

    with pytest.raises(DeniedError):
        submit(developer, "test.admin")


def test_what_cannot_be_reached_is_tried_again_later_and_then_counts_as_failed(make: MakeProject) -> None:
    project = make()
    job = submit(project, "test.behave", attempts=3)
    BEHAVIOUR.act = fail(unavailable())

    first = Worker(project, backoff_s=3600).run_once()
    assert first is not None
    assert (first.status, first.attempts, first.error) == ("queued", 1, "the source does not answer.")
    assert Worker(project).run_once() is None  # not before its time
    with project.ledger.write() as tx:
        tx.execute("UPDATE jobs SET run_after = 0")
    patient = Worker(project, backoff_s=0)
    assert [found.status for found in (patient.run_once(), patient.run_once()) if found] == ["queued", "failed"]

    ended = get_job(project, job.id)
    assert (ended.status, ended.attempts, ended.error) == ("failed", 3, "the source does not answer.")
    assert len(BEHAVIOUR.calls) == 3


def test_an_answer_that_cannot_change_is_not_asked_for_again(make: MakeProject) -> None:
    project = make()
    submit(project, "test.behave", attempts=3)
    BEHAVIOUR.act = fail(refused())

    ended = Worker(project).run_once()

    assert ended is not None
    assert (ended.status, ended.attempts, ended.error) == ("failed", 1, "the gate is closed.")


def test_an_error_of_the_operation_itself_is_kept_with_its_traceback(make: MakeProject) -> None:
    project = make()
    submit(project, "test.behave", attempts=1)
    BEHAVIOUR.act = fail(ZeroDivisionError("division by zero"))

    ended = Worker(project).run_once()

    assert ended is not None
    assert "ZeroDivisionError: division by zero" in ended.error
    assert "places.py" in ended.error


def test_an_operation_sees_the_job_it_runs_in(make: MakeProject) -> None:
    project = make()
    job = submit(project, "test.behave")
    BEHAVIOUR.act = lambda _: current_job()

    ended = Worker(project).run_once()

    assert ended is not None
    assert ended.result == job.ref
    assert current_job() is None


def apart(act: Callable[[], object]) -> None:
    """Do something in a thread of its own, as another process would."""
    thread = threading.Thread(target=act)
    thread.start()
    thread.join()


def _expire(project: Project) -> None:
    with project.ledger.write() as tx:
        tx.execute("UPDATE leases SET expires_at = 1 WHERE name LIKE 'job:%'")


def test_a_worker_paused_past_its_lease_can_record_nothing(make: MakeProject) -> None:
    project = make()
    other = make.again()
    job = submit(project, "test.behave")

    def lose_the_lease_then_record(seen: Project) -> str:
        _expire(other)  # as if this worker had been paused
        BEHAVIOUR.act = lambda _: "the second worker's"
        apart(Worker(other, name="second").run_once)
        with seen.ledger.write() as tx:
            tx.announce("test", "test:late")
        return "the first worker's"

    BEHAVIOUR.act = lose_the_lease_then_record
    ended = Worker(project, name="first").run_once()

    assert ended is not None
    assert (ended.id, ended.worker, ended.result) == (job.id, "second", "the second worker's")
    with project.ledger.read() as tx:
        assert tx.announcements_since(0, kinds=["test"]) == []


def test_a_paused_worker_that_records_only_its_result_cannot_do_that_either(make: MakeProject) -> None:
    project = make()
    other = make.again()
    submit(project, "test.behave")

    def lose_the_lease(seen: Project) -> str:
        _expire(other)
        BEHAVIOUR.act = fail(unavailable())
        apart(Worker(other, name="second", backoff_s=3600).run_once)
        return "the first worker's"

    BEHAVIOUR.act = lose_the_lease
    ended = Worker(project, name="first").run_once()

    assert ended is not None
    assert (ended.status, ended.result, ended.attempts) == ("queued", None, 2)


def test_the_job_of_a_dead_worker_is_given_to_another(make: MakeProject) -> None:
    project = make()
    job = submit(project, "test.behave")
    with project.ledger.write() as tx:
        assert take_job(tx, "dead", (), ttl_s=60) is not None
    BEHAVIOUR.act = lambda _: "done after all"
    assert Worker(project).run_once() is None  # its lease runs
    _expire(project)

    ended = Worker(project, name="next").run_once()

    assert ended is not None
    assert (ended.id, ended.status, ended.attempts, ended.worker) == (job.id, "done", 2, "next")


def test_a_job_that_kills_its_workers_ends_after_its_attempts(make: MakeProject) -> None:
    project = make()
    job = submit(project, "test.behave", attempts=2)
    for _ in range(2):
        with project.ledger.write() as tx:
            assert take_job(tx, "dead", (), ttl_s=60) is not None
        _expire(project)

    assert Worker(project).run_once() is None

    ended = get_job(project, job.id)
    assert (ended.status, ended.attempts) == ("failed", 2)
    assert "fell silent" in ended.error
    assert BEHAVIOUR.calls == []


def test_a_worker_that_is_stopped_gives_its_job_back_at_once(make: MakeProject) -> None:
    project = make()
    job = submit(project, "test.behave")

    def stop(_: Project) -> None:
        raise KeyboardInterrupt

    BEHAVIOUR.act = stop
    with pytest.raises(KeyboardInterrupt):
        Worker(project).run_once()

    assert get_job(project, job.id).status == "queued"
    BEHAVIOUR.act = lambda _: 1
    ended = Worker(project).run_once()
    assert ended is not None
    assert ended.status == "done"


def test_a_long_job_keeps_its_lease_by_heartbeats(make: MakeProject) -> None:
    project = make()
    other = make.again()
    job = submit(project, "test.behave")
    release = threading.Event()
    BEHAVIOUR.act = lambda _: release.wait(20)
    thread = threading.Thread(target=Worker(project, lease_s=0.6).run_once)
    thread.start()
    wait_for(lambda: get_job(other, job.id).status == "running")
    begun = get_job(other, job.id).heartbeat_at
    assert begun is not None
    for _ in range(15):
        assert Worker(other).run_once() is None
        threading.Event().wait(0.1)
    beaten = get_job(other, job.id).heartbeat_at
    release.set()
    thread.join()

    assert beaten is not None
    assert beaten > begun
    assert get_job(other, job.id).status == "done"
    assert get_job(other, job.id).attempts == 1


def test_a_cancelled_job_is_not_run_and_one_cancelled_while_it_runs_records_nothing(make: MakeProject) -> None:
    project = make()
    other = make.again()
    waiting = submit(project, "test.behave", {"ref": "waiting"})
    assert cancel_job(project, waiting.id).status == "cancelled"
    assert Worker(project).run_once() is None
    with pytest.raises(ConflictError, match="has ended already: cancelled"):
        cancel_job(project, waiting.id)
    running = submit(project, "test.behave", {"ref": "running"})

    def be_cancelled(seen: Project) -> str:
        apart(lambda: cancel_job(other, running.id))
        with seen.ledger.write() as tx:
            tx.announce("test", "test:late")
        return "too late"

    BEHAVIOUR.act = be_cancelled
    ended = Worker(project).run_once()

    assert ended is not None
    assert (ended.status, ended.result, ended.error) == ("cancelled", None, "cancelled by ben")
    with project.ledger.read() as tx:
        assert tx.announcements_since(0, kinds=["test"]) == []


def test_a_large_result_is_left_out_and_says_so(make: MakeProject) -> None:
    project = make()
    submit(project, "test.behave")
    BEHAVIOUR.act = lambda _: "x" * (1 << 20)

    ended = Worker(project).run_once()

    assert ended is not None
    assert "bytes" in ended.result["left_out"]


def test_jobs_are_listed_newest_first_a_page_at_a_time(make: MakeProject) -> None:
    project = make()
    made = [submit(project, "test.behave", {"ref": str(number)}).id for number in range(5)]
    Worker(project).run_once()

    newest = sorted(made, reverse=True)
    first = list_jobs(project, limit=2)
    assert [job.id for job in first] == newest[:2]
    assert [job.id for job in list_jobs(project, limit=10, before=first[-1].id)] == newest[2:]
    assert len(list_jobs(project, "done")) == 1
    with pytest.raises(NotFoundError, match="hw job list"):
        get_job(project, "nobody")


FLOWS = """
import headwater as hw


@hw.step
def double(x: int) -> int:
    if x < 0:
        raise ValueError("below zero")
    return 2 * x


@hw.flow
def doubling(x: int = 1):
    return double(x)
"""


def test_a_flow_runs_as_a_job_and_a_failed_run_is_a_failed_job(tmp_path: Path) -> None:
    import headwater.flow  # noqa: F401  # declares flow.run, as every worker process does

    maker = MakeProject(tmp_path / "project", None)
    project = maker(
        '[[triggers]]\nname = "double"\non = "manual"\nflow = "flows:doubling"\narguments = { x = 4 }\nattempts = 1\n'
    )
    (tmp_path / "project" / "flows.py").write_text(FLOWS, encoding="utf-8")

    fire_trigger(project, "double")
    good = Worker(project).run_once()
    fire_trigger(project, "double", {"x": -1})
    bad = Worker(project).run_once()

    assert good is not None
    assert (good.status, good.result["status"]) == ("done", "done")
    assert bad is not None
    assert bad.status == "failed"
    assert "below zero" in bad.error
    maker.close()

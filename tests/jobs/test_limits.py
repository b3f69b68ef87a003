"""How many jobs run at once, what is paused, and trying again: decided where jobs are given away."""

from __future__ import annotations

import threading

import pytest

from headwater.errors import ConflictError, DeniedError, InvalidInputError, NotFoundError
from headwater.jobs import (
    Worker,
    cancel_job,
    fire_trigger,
    get_job,
    get_pauses,
    pause_jobs,
    resume_jobs,
    retry_job,
    submit,
)
from headwater.jobs.leasing import park, take_job, wake
from headwater.jobs.limits import Limits, declared_limits
from headwater.jobs.queue import add_job
from headwater.project import Actor, LocalProject, Project
from tests.jobs.places import BEHAVIOUR, MakeProject, fail, refused
from tests.jobs.test_worker import apart

LIMITS = '[jobs.limits]\n"train" = 1\n"test.behave" = 2\n'
LIMITED = (
    '[[triggers]]\nname = "one"\non = "manual"\noperation = "test.sum"\narguments = { numbers = [1] }\nlimit = 1\n'
)


def flow_job(project: LocalProject, flow: str) -> str:
    with project.ledger.write() as tx:
        made = add_job(tx, operation="flow.run", arguments={"flow": flow}, actor=Actor(name="ann"), cause="person:ann")
    assert made is not None
    return made


def leased(project: LocalProject, limits: Limits | None = None) -> str | None:
    with project.ledger.write() as tx:
        taken = take_job(tx, "w", (), ttl_s=60, limits=declared_limits(project.settings) if limits is None else limits)
    return None if taken is None else taken[0].id


def test_no_more_of_a_flow_run_at_once_than_its_limit_and_others_go_past(make: MakeProject) -> None:
    project = make(LIMITS)
    first, second, other = (flow_job(project, flow) for flow in ("flows:train", "flows:train", "flows:report"))

    assert [leased(project), leased(project), leased(project)] == [first, other, None]
    cancel_job(project, first)
    assert leased(project) == second


def test_without_its_limit_the_same_flow_runs_twice(make: MakeProject) -> None:
    # The planted failure: the count is left out, and the test above would see it.
    project = make(LIMITS)
    first, second = flow_job(project, "flows:train"), flow_job(project, "flows:train")

    assert [leased(project, Limits({}, {})) for _ in range(2)] == [first, second]


def test_workers_at_once_do_not_exceed_a_limit_together(make: MakeProject) -> None:
    project = make(LIMITS)
    for number in range(12):
        submit(project, "test.behave", {"ref": str(number)})
    lock, running, most = threading.Lock(), 0, 0

    def work(_: Project) -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        threading.Event().wait(0.03)
        with lock:
            running -= 1

    BEHAVIOUR.act = work

    def drain() -> None:
        worker = Worker(project)
        for _ in range(200):
            if len(BEHAVIOUR.calls) >= 12:
                return
            worker.run_once()

    threads = [threading.Thread(target=drain) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(BEHAVIOUR.calls, key=int) == [str(number) for number in range(12)]
    assert most == 2


def test_no_more_of_a_triggers_jobs_run_at_once_than_its_limit(make: MakeProject) -> None:
    project = make(LIMITED)
    first, second = fire_trigger(project, "one").id, fire_trigger(project, "one").id
    plain = submit(project, "test.sum", {"numbers": [2]}).id

    assert [leased(project), leased(project), leased(project)] == [first, plain, None]
    assert get_job(project, second).status == "queued"


@pytest.mark.parametrize("limit", ["0", "-1", "true", '"two"'])
def test_a_limit_that_is_none_is_told(make: MakeProject, limit: str) -> None:
    project = make(f"[jobs.limits]\ntrain = {limit}\n")

    with pytest.raises(InvalidInputError, match=r"'train' is .* a limit is 1 or more"):
        Worker(project)


def test_what_is_paused_is_not_begun_and_waits(make: MakeProject) -> None:
    project = make()
    train, report = flow_job(project, "flows:train"), flow_job(project, "flows:report")
    plain = submit(project, "test.sum", {"numbers": [1]}).id
    pause_jobs(project, flow="train", reason="the data is wrong")
    pause_jobs(project, operation="test.sum")

    assert [leased(project), leased(project)] == [report, None]
    assert [(p.kind, p.name, p.paused_by, p.reason) for p in get_pauses(project)] == [
        ("flow", "train", "ann", "the data is wrong"),
        ("operation", "test.sum", "ann", ""),
    ]
    resume_jobs(project, operation="test.sum")
    resume_jobs(project, flow="train")
    pause_jobs(project)
    assert leased(project) is None
    resume_jobs(project)
    assert [leased(project), leased(project)] == [train, plain]
    with pytest.raises(NotFoundError, match=r"flow train is not paused\. Paused: nothing"):
        resume_jobs(project, flow="train")


def test_a_job_that_ended_badly_is_tried_again_with_all_its_attempts(make: MakeProject) -> None:
    project = make()
    job = submit(project, "test.behave", attempts=1)
    BEHAVIOUR.act = fail(refused())
    Worker(project).run_once()
    assert get_job(project, job.id).status == "failed"
    with pytest.raises(DeniedError):
        retry_job(project.as_actor(Actor(name="vic", roles=("viewer",))), job.id)

    again = retry_job(project, job.id)
    BEHAVIOUR.act = lambda _: "better"
    done = Worker(project).run_once()

    assert (again.status, again.attempts, again.error) == ("queued", 0, "")
    assert done is not None
    assert (done.status, done.result, done.attempts) == ("done", "better", 1)
    with pytest.raises(ConflictError, match="it is done, and doing it twice is a new job"):
        retry_job(project, job.id)


def test_a_worker_that_slept_through_a_cancel_and_a_retry_records_nothing(make: MakeProject) -> None:
    project = make()
    other = make.again()
    job = submit(project, "test.behave")

    def meanwhile() -> None:
        cancel_job(other, job.id)
        retry_job(other, job.id)
        with other.ledger.write() as tx:
            assert take_job(tx, "second", (), ttl_s=60) is not None

    def slept(seen: Project) -> str:
        apart(meanwhile)
        with seen.ledger.write() as tx:
            tx.announce("test", "test:late")
        return "late"

    BEHAVIOUR.act = slept
    ended = Worker(project, name="first").run_once()

    assert ended is not None
    assert (ended.status, ended.worker) == ("running", "second")


def test_a_job_that_waits_holds_no_worker_until_it_is_woken(make: MakeProject) -> None:
    from headwater.jobs import let_wait

    project = make()
    job = submit(project, "test.behave", attempts=1)
    BEHAVIOUR.act = lambda _: let_wait()
    waiting = Worker(project).run_once()

    assert waiting is not None
    assert (waiting.status, waiting.worker, waiting.attempts) == ("waiting", "", 0)
    assert Worker(project).run_once() is None
    with project.ledger.write() as tx:
        wake(tx, job.ref)
    BEHAVIOUR.act = lambda _: "gone on"
    done = Worker(project).run_once()
    assert done is not None
    assert (done.status, done.result) == ("done", "gone on")


def test_what_wakes_a_job_before_it_waits_is_not_lost(make: MakeProject) -> None:
    project = make()
    job = submit(project, "test.behave")
    with project.ledger.write() as tx:
        taken = take_job(tx, "w", (), ttl_s=60)
    assert taken is not None
    with project.ledger.write() as tx:
        wake(tx, job.ref)
    with project.ledger.write() as tx:
        park(tx, taken[1], until=2**62, result=b"\xc0")

    assert get_job(project, job.id).status == "queued"


def test_a_job_waits_no_longer_than_it_said(make: MakeProject) -> None:
    from headwater.jobs import let_wait

    project = make()
    submit(project, "test.behave")
    BEHAVIOUR.act = lambda _: let_wait(1)  # the database's time, long ago
    Worker(project).run_once()

    BEHAVIOUR.act = lambda _: "looked again"
    done = Worker(project).run_once()
    assert done is not None
    assert done.result == "looked again"

"""Approval by a person inside a flow: it waits without a worker, and goes on with the answer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from headwater.errors import DeniedError, InvalidInputError, NotFoundError
from headwater.flow import approve_run, execute_flow, list_questions, reject_run
from headwater.flow.approving import approving
from headwater.flow.steps import step
from headwater.jobs import Worker, cancel_job, get_job, list_jobs, submit
from headwater.project import Actor, LocalProject, create_project
from headwater.track import get_run

FLOW = """
import headwater as hw
from headwater.errors import RefusedError


@hw.step
def double(x: int) -> int:
    return 2 * x


@hw.flow
def doubling(x: int = 1):
    y = double(x)
    said = hw.approval("Looks right?", details={"y": y}, timeout="2d")
    return [double(y).result(), said.by, said.reason]


@hw.flow
def twice():
    hw.approval("First?")
    hw.approval("Second?", not_author=False)
    return "both"


@hw.flow
def hasty():
    hw.approval("Now?", timeout="soon")


@hw.flow
def bold():
    try:
        hw.approval("May I?")
    except RefusedError as error:
        return str(error)
"""
BEN = Actor(name="ben", roles=("approver",))


@pytest.fixture
def project(tmp_path: Path) -> Iterator[LocalProject]:
    with create_project(tmp_path, name="test", actor="ann") as made:
        (tmp_path / "flows.py").write_text(FLOW, encoding="utf-8")
        yield made


def test_a_run_waits_without_a_worker_and_goes_on_when_somebody_says_yes(project: LocalProject) -> None:
    job = submit(project, "flow.run", {"flow": "flows:doubling", "arguments": {"x": 5}}, attempts=1)
    worker = Worker(project)
    waiting = worker.run_once()
    assert waiting is not None
    assert (waiting.status, waiting.worker) == ("waiting", "")
    (question,) = list_questions(project, status="waiting")
    assert (question.title, question.details, question.job) == ("Looks right?", {"y": 10}, job.ref)
    assert get_run(project, question.run).status == "waiting"
    assert worker.run_once() is None  # the worker is free, and the job is not its to take

    answered = approve_run(project.as_actor(BEN), question.run, "I looked")
    done = worker.run_once()

    assert (answered.status, answered.decided_by, answered.reason) == ("approve", "ben", "I looked")
    assert done is not None
    assert (done.status, done.id, done.attempts) == ("done", job.id, 1)
    run = get_run(project, question.run)
    assert (run.status, done.result["id"]) == ("done", run.id)
    with project.ledger.read() as tx:
        results = tx.all("SELECT outcome FROM tasks WHERE run = ? ORDER BY id", (run.id,))
        assert [row.outcome for row in results] == ["ran", "ran"]  # what it did before is not told again
        assert tx.value("SELECT count(*) FROM chain WHERE kind = 'approval'") == 1
        (subject,) = tx.all("SELECT child FROM edges WHERE role = 'subject' AND parent = ?", (question.ref,))
        assert subject.child.startswith("approval:")


def test_a_run_that_no_worker_began_is_gone_on_with_by_one(project: LocalProject) -> None:
    outcome = execute_flow(project, "flows:doubling", {"x": 3})
    assert outcome.status == "waiting"
    (job,) = list_jobs(project)
    assert (job.status, job.cause) == ("waiting", outcome.run.ref)

    approve_run(project.as_actor(BEN), outcome.run.id, "fine")
    done = Worker(project).run_once()

    assert done is not None
    assert done.result["id"] == outcome.run.id
    assert get_run(project, outcome.run.id).status == "done"


def test_a_no_ends_the_run_and_says_who_and_why(project: LocalProject) -> None:
    outcome = execute_flow(project, "flows:doubling")
    reject_run(project.as_actor(BEN), outcome.run.id, "too small")

    ended = Worker(project).run_once()

    assert ended is not None
    assert ended.status == "failed"
    run = get_run(project, outcome.run.id)
    assert (run.status, "'Looks right?': ben said no: too small" in run.error) == ("failed", True)


def test_a_flow_may_take_a_no(project: LocalProject) -> None:
    outcome = execute_flow(project, "flows:bold")
    reject_run(project.as_actor(BEN), outcome.run.id, "no")

    ended = Worker(project).run_once()

    assert ended is not None
    assert ended.status == "done"


def test_who_started_the_run_has_not_the_role_or_only_reads_may_not_answer(project: LocalProject) -> None:
    outcome = execute_flow(project, "flows:doubling")

    with pytest.raises(DeniedError, match="ann started the run"):
        approve_run(project, outcome.run.id, "me")
    with pytest.raises(DeniedError, match="ANN  started the run"):
        approve_run(project.as_actor(Actor(name=" ANN ", roles=("admin",))), outcome.run.id, "not me")
    with pytest.raises(DeniedError, match=r"may not run 'run\.approve'"):
        approve_run(project.as_actor(Actor(name="dan", roles=("developer",))), outcome.run.id, "I")
    with pytest.raises(InvalidInputError, match="needs a reason"):
        approve_run(project.as_actor(BEN), outcome.run.id, " ")
    assert Worker(project).run_once() is None
    approve_run(project.as_actor(BEN), outcome.run.id, "yes")  # what the refusals are held against
    with pytest.raises(NotFoundError, match="waits for no answer"):
        approve_run(project.as_actor(BEN), outcome.run.id, "again")


def test_a_flow_asks_more_than_once(project: LocalProject) -> None:
    outcome = execute_flow(project, "flows:twice")
    worker = Worker(project)
    approve_run(project.as_actor(BEN), outcome.run.id, "one")
    between = worker.run_once()
    assert between is not None
    assert between.status == "waiting"
    assert [(q.title, q.status) for q in list_questions(project, outcome.run.id)] == [
        ("Second?", "waiting"),
        ("First?", "approve"),
    ]

    approve_run(project, outcome.run.id, "two")
    done = worker.run_once()
    assert done is not None
    assert done.status == "done"


def test_an_answer_holds_only_for_what_was_shown(project: LocalProject) -> None:
    outcome = execute_flow(project, "flows:doubling")
    approve_run(project.as_actor(BEN), outcome.run.id, "2 is right")
    assert project.root is not None
    (project.root / "flows.py").write_text(FLOW.replace("return 2 * x", "return 20 * x"), encoding="utf-8")

    again = Worker(project).run_once()

    assert again is not None
    assert again.status == "waiting"
    assert [question.details for question in list_questions(project, outcome.run.id)] == [{"y": 20}, {"y": 2}]


def test_nobody_answers_in_time(project: LocalProject) -> None:
    outcome = execute_flow(project, "flows:doubling")
    with project.ledger.write() as tx:
        tx.execute("UPDATE questions SET expires_at = 1")
        tx.execute("UPDATE jobs SET run_after = 1")
    with pytest.raises(NotFoundError, match="its time is over"):
        approve_run(project.as_actor(BEN), outcome.run.id, "too late")

    ended = Worker(project).run_once()

    assert ended is not None
    assert ended.status == "failed"
    assert "nobody answered in time" in get_run(project, outcome.run.id).error


def test_a_worker_that_dies_after_asking_does_not_ask_twice(project: LocalProject) -> None:
    job = submit(project, "flow.run", {"flow": "flows:doubling"})
    first = Worker(project)
    first._park = lambda lease, result, until: None  # type: ignore[method-assign]  # as if it had been killed here
    first.run_once()
    assert get_job(project, job.id).status == "running"
    with project.ledger.write() as tx:
        tx.execute("UPDATE leases SET expires_at = 1 WHERE name LIKE 'job:%'")

    second = Worker(project).run_once()

    assert second is not None
    assert second.status == "waiting"
    assert len(list_questions(project)) == 1
    approve_run(project.as_actor(BEN), list_questions(project)[0].run, "yes")
    done = Worker(project).run_once()
    assert done is not None
    assert done.status == "done"


def test_a_timeout_that_is_none_is_told(project: LocalProject) -> None:
    outcome = execute_flow(project, "flows:hasty")

    assert (outcome.status, "is written 30m, 12h or 2d" in outcome.run.error) == ("failed", True)


def test_cancelling_the_job_ends_the_run_that_waits(project: LocalProject) -> None:
    outcome = execute_flow(project, "flows:doubling")
    (job,) = list_jobs(project)

    cancel_job(project, job.id)

    assert get_run(project, outcome.run.id).status == "killed"
    with pytest.raises(NotFoundError):
        approve_run(project.as_actor(BEN), outcome.run.id, "yes")


def test_the_notifier_hears_of_a_question(project: LocalProject) -> None:
    from headwater.jobs.facts import attributes_of

    execute_flow(project, "flows:doubling")
    with project.ledger.read() as tx:
        (fact,) = tx.announcements_since(0, kinds=["question"])
        found = attributes_of(tx, fact)

    assert (found["title"], found["role"], found["asked_by"], found["status"]) == (
        "Looks right?", "approver", "ann", "waiting",
    )  # fmt: skip


def test_it_is_called_in_a_flow_and_a_test_answers_by_itself(project: LocalProject) -> None:
    import headwater as hw

    @step
    def asks() -> str:
        said: str = hw.approval("In a step?").by
        return said

    with pytest.raises(InvalidInputError, match="not in a step"):
        asks()
    with approving(by="eve"):
        assert asks() == "eve"

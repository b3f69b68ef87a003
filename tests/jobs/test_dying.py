"""Workers and leaders that are stopped, killed, cancelled, or lose their database: what is recorded, and how often."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import headwater.flow  # noqa: F401  # declares flow.run, as every worker process does
from headwater.errors import UnavailableError
from headwater.jobs import Worker, cancel_job, get_job, list_jobs, submit
from headwater.jobs.queue import add_job
from headwater.project import LocalProject
from headwater.track import get_run, list_runs
from tests.jobs.places import MakeProject, announce, wait_for
from tests.jobs.test_scheduler import ON_ALARM
from tests.servers import postgres

ROOT = Path(__file__).parent.parent.parent
FLOW = """
import os
import time

import headwater as hw


@hw.step
def slowly(number: int) -> int:
    time.sleep(0.4)
    return number


@hw.flow
def several(count: int = 5):
    total = 0
    for number in range(count):
        total += slowly(number).result()
    return total
"""


@contextmanager
def working(folder: Path, name: str, *how: str) -> Iterator[subprocess.Popen[str]]:
    """A scheduler and a worker in a process group of their own, which are killed at the end of the block."""
    command = [sys.executable, "-m", "tests.jobs.worker_process", str(folder), name, *how]
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, start_new_session=True
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def tasks_of(project: LocalProject, run: str) -> int:
    with project.ledger.read() as tx:
        return int(tx.value("SELECT count(*) FROM tasks WHERE run = ?", (run,)))


def stop_and_wake(make: MakeProject, folder: Path, *how: str) -> tuple[int, int, str, str]:
    """Stop a worker's process past its lease in the middle of a flow, let another finish, and wake it.

    Returns the tasks of its run before and after, and the status of its run and of the job.
    """
    project = make()
    (folder / "project" / "flows.py").write_text(FLOW, encoding="utf-8")
    job = submit(project, "flow.run", {"flow": "flows:several"})
    with working(folder / "project", "sleeper", "no-scheduler", *how) as process:
        wait_for(lambda: any(tasks_of(project, run.id) for run in list_runs(project).runs), 60)
        os.kill(process.pid, signal.SIGSTOP)
        (run,) = list_runs(project).runs
        before = tasks_of(project, run.id)
        other = Worker(project, name="other", lease_s=30)
        wait_for(lambda: other.run_once() is not None, 60)
        os.kill(process.pid, signal.SIGCONT)
        # Awake, it has answers of its steps to record; it would within a second.
        time.sleep(2.5)
        after, status = tasks_of(project, run.id), get_run(project, run.id).status
    ended = get_job(project, job.id)
    return before, after, status, ended.error or ended.status


@pytest.fixture
def maker(tmp_path: Path) -> Iterator[MakeProject]:
    made = MakeProject(tmp_path / "project", None)
    yield made
    made.close()


def test_a_worker_stopped_past_its_lease_records_no_task_when_it_wakes(maker: MakeProject, tmp_path: Path) -> None:
    before, after, status, job = stop_and_wake(maker, tmp_path)

    assert 1 <= before < 5
    assert (after, status, job) == (before, "killed", "done")


@pytest.mark.long
def test_without_the_fence_it_would(maker: MakeProject, tmp_path: Path) -> None:
    # The planted failure: its threads belong to no job, and the same worker records what it had in hand.
    before, after, _, _ = stop_and_wake(maker, tmp_path, "unfenced")

    assert after > before


def test_cancelling_the_job_of_a_flow_ends_the_run_and_its_steps(maker: MakeProject, tmp_path: Path) -> None:
    project = maker()
    (tmp_path / "project" / "flows.py").write_text(FLOW, encoding="utf-8")
    job = submit(project, "flow.run", {"flow": "flows:several", "arguments": {"count": 100}})
    with working(tmp_path / "project", "worker", "no-scheduler"):
        wait_for(lambda: any(tasks_of(project, run.id) for run in list_runs(project).runs), 60)
        cancel_job(project, job.id)
        (run,) = list_runs(project).runs
        assert (run.status, run.error) == ("killed", "cancelled by ann")
        follow = submit(project, "test.sum", {"numbers": [1]})
        wait_for(lambda: get_job(project, follow.id).status == "done", 20)  # its worker is free again

    ended = get_job(project, job.id)
    assert (ended.status, ended.error) == ("cancelled", "cancelled by ann")
    assert tasks_of(project, run.id) < 20


@pytest.mark.parametrize("kills", [3, pytest.param(100, marks=pytest.mark.long)])
def test_each_fact_has_one_job_and_each_job_ends_however_leaders_and_workers_are_killed(
    maker: MakeProject, tmp_path: Path, kills: int
) -> None:
    project = maker(f"{ON_ALARM}attempts = 1000\n")
    chance = random.Random(20_260_301)
    sent = 0
    for kill in range(kills):
        with working(tmp_path / "project", f"first-{kill}"), working(tmp_path / "project", f"second-{kill}") as process:
            until = time.monotonic() + chance.uniform(0.1, 0.5)
            while time.monotonic() < until:
                announce(project, "alarm", f"alarm:{sent}")
                sent += 1
                time.sleep(0.03)
            process.kill()
    with working(tmp_path / "project", "last"):
        wait_for(lambda: len(_done(project)) == sent, 60)

    causes = Counter(_done(project))
    assert causes == Counter(f"alarm:{number}" for number in range(sent))


def _done(project: LocalProject) -> list[str]:
    with project.ledger.read() as tx:
        return [row.cause for row in tx.all("SELECT cause FROM jobs WHERE status = 'done'")]


def test_a_place_kept_apart_from_the_jobs_would_make_some_twice(
    maker: MakeProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The planted failure: the scheduler's place is not moved in the transaction that records the jobs, and the
    # next leader begins where the one that was killed had begun.
    from headwater.jobs import Scheduler, scheduler

    project = maker(ON_ALARM)
    announce(project, "alarm", "alarm:0")
    monkeypatch.setattr(scheduler, "move_cursor", lambda tx, name, seq: None)
    monkeypatch.setattr(scheduler, "add_job", lambda tx, once, **how: add_job(tx, once=None, **how))
    Scheduler(project, lease_s=0.001).tick()
    time.sleep(0.01)
    Scheduler(project, lease_s=0.001).tick()

    assert Counter(job.cause for job in list_jobs(project)) == {"alarm:0": 2}


@pytest.fixture
def own_postgres() -> Iterator[tuple[str, Callable[[], None]]]:
    """Yield the URL of a database on a server of this test's own, and what restarts that server."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)  # the server's user goes through it
        server, found = postgres.start(folder)
        control: list[str | Path] = [postgres._programs() / "pg_ctl", "-D", folder / "data", "-w"]

        def controlled(*words: str) -> None:
            user = postgres._user()
            log = folder / "data" / "restarted.log"
            subprocess.run(
                [*control, "-l", log, *words], user=user, group=user, cwd="/", check=True, capture_output=True
            )

        with postgres.new_database(found["url"]) as url:
            yield url, lambda: controlled("restart", "-m", "immediate")
            controlled("restart", "-m", "immediate")  # what still holds the database lets go of it
        controlled("stop", "-m", "immediate")
        server.wait()


@pytest.mark.long
def test_scheduler_and_worker_go_on_when_postgres_is_restarted(
    own_postgres: tuple[str, Callable[[], None]], tmp_path: Path
) -> None:
    url, restart = own_postgres
    maker = MakeProject(tmp_path / "project", url)
    project = maker(f"{ON_ALARM}attempts = 1000\n")
    sent = 0
    with working(tmp_path / "project", "steady") as process:
        for _ in range(3):
            for _ in range(20):
                announce(project, "alarm", f"alarm:{sent}")
                sent += 1
            restart()
            wait_for(lambda: _answers(project), 30)
        wait_for(lambda: len(_done(project)) == sent, 60)
        assert process.poll() is None  # the same process went on

    assert Counter(_done(project)) == Counter(f"alarm:{number}" for number in range(sent))
    maker.close()


def _answers(project: LocalProject) -> bool:
    try:
        _done(project)
    except UnavailableError:
        return False
    return True

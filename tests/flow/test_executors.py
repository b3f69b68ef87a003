"""Executors: the same flow gives the same keys and results on each of them."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator

import pytest

from headwater.errors import InvalidInputError
from headwater.flow import Outcome, execute_flow
from headwater.flow.dask_cluster import LocalProcesses
from headwater.flow.dask_executor import _is_secret
from headwater.flow.executors import check_name
from headwater.flow.processes import processes
from headwater.project import LocalProject

from .playing import run, write

HERE = ("processes", "warm", "threads")

FLOW = """
    import threading
    import numpy as np

    @step
    def numbers(n):
        print("making", n)
        return np.arange(n, dtype="float64")

    @step(seed=3)
    def noisy(values, *, scale=1.0):
        return {"sum": float((values * scale).sum()), "values": values * scale}

    @step
    def total(parts):
        return sum(part["sum"] for part in parts)

    @step
    def where():
        return PLACE

    @flow
    def main():
        return [total([noisy(numbers(n), scale=0.5) for n in (3, 40_000)]), where()]
"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """Yield the address of a Dask cluster of two workers."""
    made = LocalProcesses(2)
    try:
        yield f"dask://{made.address()}"
    finally:
        made.close()


def on(project: LocalProject, executor: str, flow: str = "main", **arguments: object) -> Outcome:
    return execute_flow(project, flow, arguments, on=executor, forget=True, workers=2)


def digests(project: LocalProject, outcome: Outcome) -> dict[tuple[str, int], tuple[str, str]]:
    """Return key and output digest of each task by step and position."""
    with project.ledger.read() as tx:
        rows = tx.all(
            "SELECT t.step AS step, t.position AS position, r.static_key AS key, r.output AS output FROM tasks t "
            "JOIN results r ON r.id = t.result WHERE t.run = ?",
            (outcome.run.id,),
        )
    return {(row.step, row.position): (row.key, row.output) for row in rows}


def differing(project: LocalProject, executors: list[str]) -> set[str]:
    """Return the steps whose key or output is not the same on all executors."""
    runs = []
    for each in executors:
        outcome = on(project, each)
        assert outcome.status == "done", (each, outcome.run.error, outcome.run.traceback)
        runs.append(digests(project, outcome))
    assert len(runs[0]) == 6
    return {step for step, position in runs[0] if len({run[step, position] for run in runs}) > 1}


def test_the_same_flow_gives_the_same_keys_and_outputs_on_every_executor(
    sqlite_project: LocalProject, cluster: str
) -> None:
    write(sqlite_project, FLOW.replace("PLACE", "1"))

    assert differing(sqlite_project, [*HERE, cluster]) == set()


def test_a_step_that_tells_where_it_runs_is_caught_by_the_same_comparison(sqlite_project: LocalProject) -> None:
    write(sqlite_project, FLOW.replace("PLACE", "threading.current_thread() is threading.main_thread()"))

    assert differing(sqlite_project, ["processes", "threads"]) == {"flows:where"}


def test_what_one_executor_made_another_remembers(sqlite_project: LocalProject, cluster: str) -> None:
    write(sqlite_project, FLOW.replace("PLACE", "1"))
    on(sqlite_project, cluster)
    again = run(sqlite_project)

    assert again.remembered == 6 and again.value == [0.5 * (3 + 40_000 * 39_999 / 2), 1]


SLOW = """
    import time

    @step(timeout_s=0.5)
    def slow():
        time.sleep(60)

    @step
    def fine(x):
        time.sleep(0.3)
        return x

    @flow
    def main():
        first = slow()
        return fine.map([1, 2]), first.failed
"""


@pytest.mark.parametrize("executor", HERE)
def test_a_step_that_takes_too_long_is_ended_and_others_go_on(sqlite_project: LocalProject, executor: str) -> None:
    write(sqlite_project, SLOW)
    started = time.monotonic()
    outcome = on(sqlite_project, executor)

    assert outcome.value == ([1, 2], True) and "longer than its timeout of 0.5 s" in outcome.tasks[0].error
    assert time.monotonic() - started < 30


def test_a_timeout_holds_on_dask_too(sqlite_project: LocalProject, cluster: str) -> None:
    write(sqlite_project, SLOW)
    outcome = on(sqlite_project, cluster)

    assert outcome.value == ([1, 2], True) and "longer than its timeout of 0.5 s" in outcome.tasks[0].error


def test_steps_in_threads_print_and_read_apart(sqlite_project: LocalProject) -> None:
    from headwater.track import read_log

    write(
        sqlite_project,
        """
        import time

        @step
        def say(x):
            print("before", x)
            time.sleep(0.1)
            text = open(f"data{x}.txt").read()
            print("after", text)
            return x

        @flow
        def main():
            return say.map([1, 2])
        """,
    )
    assert sqlite_project.root is not None
    for number in (1, 2):
        (sqlite_project.root / f"data{number}.txt").write_text(f"t{number}")
    outcome = on(sqlite_project, "threads")
    lines = [[line.text for line in read_log(sqlite_project, outcome.run.id, task=t.id)] for t in outcome.tasks]
    (sqlite_project.root / "data2.txt").write_text("other")
    again = run(sqlite_project)

    assert lines == [["before 1", "after t1"], ["before 2", "after t2"]]
    assert [task.outcome for task in again.tasks] == ["remembered", "ran"]


@pytest.mark.long
def test_the_task_of_a_dask_worker_that_is_killed_is_run_again(sqlite_project: LocalProject) -> None:
    write(
        sqlite_project,
        """
        import os
        import time

        @step
        def slow(x, folder):
            open(f"{folder}/started-{x}-{os.getpid()}", "w").close()
            time.sleep(3)
            return x

        @flow
        def main(folder):
            return slow.map(range(4), folder=folder)
        """,
    )
    made = LocalProcesses(2)
    assert sqlite_project.root is not None
    marks = sqlite_project.root.parent / "marks"
    marks.mkdir()
    try:
        until = time.monotonic() + 60
        address = made.address()
        found: list[Outcome] = []
        thread = threading.Thread(
            target=lambda: found.append(on(sqlite_project, f"dask://{address}", folder=str(marks)))
        )
        thread.start()
        while not list(marks.iterdir()) and time.monotonic() < until:
            time.sleep(0.05)
        step = int(next(marks.iterdir()).name.rpartition("-")[2])
        known = processes()
        worker = known[known[step].parent].parent  # the step's own process, its pool's, the Dask worker
        os.kill(worker, signal.SIGKILL)
        thread.join(60)
    finally:
        made.close()

    assert found and found[0].value == [0, 1, 2, 3]
    assert len(list(marks.iterdir())) > 4


def test_a_folder_that_the_workers_do_not_have_is_refused_with_what_to_do() -> None:
    from importlib.metadata import version

    from headwater.flow.dask_worker import look

    place = {"root": "/nowhere/at/all", "id": "x", "actor": "a", "settings": "", "version": version("headwater")}

    assert "stores are files" in look(place)
    assert "Headwater 0.0.0" not in look(place) and "installed" in look({**place, "version": "0.0.0"})


def test_secrets_written_out_are_not_sent_to_workers() -> None:
    assert _is_secret("stores.s3.aws_secret_access_key", "abc") and _is_secret("stores.ledger", "postgresql://u:p@h/d")
    assert not _is_secret("stores.s3.aws_secret_access_key", "env:SECRET")
    assert not _is_secret("stores.ledger", "postgresql://h/d") and not _is_secret("stores.objects", "s3://bucket/x")


def test_an_executor_that_there_is_not_is_refused_by_name() -> None:
    with pytest.raises(InvalidInputError, match=r"'moon'.*dask://HOST:PORT"):
        check_name("moon")
    assert check_name("dask://host:8786") == "dask://host:8786"


@pytest.mark.long
def test_a_dask_scheduler_that_does_not_answer_fails_the_run_with_what_to_do(sqlite_project: LocalProject) -> None:
    write(sqlite_project, FLOW.replace("PLACE", "1"))
    outcome = on(sqlite_project, "dask://127.0.0.1:1")

    assert outcome.status == "failed" and "dask scheduler" in outcome.run.error

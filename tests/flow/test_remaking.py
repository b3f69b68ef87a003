"""Results given up to make room: the cheapest first, made again the same; one that is not is reported."""

from __future__ import annotations

import pytest

from headwater.flow import execute_flow, get_tasks
from headwater.flow.remaking import Candidate, choose
from headwater.project import LocalProject, open_project
from headwater.trace.collecting import collect
from headwater.trace.verifying import verify

from .playing import outcomes, run, write


def candidate(name: str, size: int, seconds: float, spare: bool = True, digest: str = "") -> Candidate:
    return Candidate(name, "flows:step", {digest or name: size}, seconds, spare)


def test_what_takes_the_fewest_seconds_per_byte_goes_first() -> None:
    results = [candidate("slow", 100, 50.0), candidate("quick", 100, 1.0), candidate("large", 1000, 5.0)]

    # 0.5, 0.01 and 0.005 seconds per byte
    assert [each.id for each in choose(results, 1200).going] == []
    assert [each.id for each in choose(results, 1199).going] == ["large"]
    assert [each.id for each in choose(results, 150).going] == ["large", "quick"]
    assert choose(results, 150).left_bytes == 100


def test_what_is_needed_stays_and_shared_bytes_go_with_their_last_result() -> None:
    needed = [candidate("needed", 100, 0.0, spare=False), candidate("free", 100, 9.0)]
    shared = [candidate("a", 100, 1.0, digest="d"), candidate("b", 100, 2.0, digest="d")]

    assert choose(needed, 0).left_bytes == 100
    assert [each.id for each in choose(shared, 99).going] == ["a", "b"]


FLOW = """
    import os, time

    @step
    def big(n):
        return bytes([n]) * 3_000_000

    @step
    def slow(data):
        time.sleep(0.3)
        return len(data), os.urandom(0)

    @step(impure=True)
    def impure(data):
        return data[:1] * 2_500_000

    @flow
    def main():
        made = big(7)
        return slow(made), impure(made)
"""


def digests(project: LocalProject, run_id: str) -> dict[str, str]:
    return {task.step: task.output for task in get_tasks(project, run_id)}


def test_results_given_up_come_back_the_same(local_project: LocalProject) -> None:
    write(local_project, FLOW)
    first = run(local_project)
    told = collect(local_project, grace_hours=0, results_to_bytes=2_600_000)
    done = collect(local_project, free=True, grace_hours=0, results_to_bytes=2_600_000)
    again = run(local_project)

    (freed,) = [each for each in told.freed if each.what.startswith("result:")]
    assert "result of flows:big, given up to make room" in freed.why
    assert told.recompute_s == pytest.approx(first.tasks[0].seconds)
    assert (done.freed, done.problems) == (told.freed, ())
    assert outcomes(again) == ["ran", "remembered", "ran"]
    assert again.tasks[0].why == "ran again: the remembered result was collected to free its space"
    assert not again.tasks[0].warnings
    assert digests(local_project, again.run.id) == digests(local_project, first.run.id)
    assert verify(local_project) == []
    with local_project.ledger.read() as tx:
        assert [row.same for row in tx.all("SELECT same FROM remade")] == [1]


def test_a_step_whose_result_comes_back_otherwise_is_reported_and_kept_from_then_on(
    sqlite_project: LocalProject,
) -> None:
    write(  # planted: what it gives is in no key, and changes
        sqlite_project,
        """
        from pathlib import Path

        @step
        def luck():
            import secrets
            return secrets.token_bytes(1_000_000)

        @flow
        def main():
            return luck()
        """,
    )
    run(sqlite_project)
    collect(sqlite_project, free=True, grace_hours=0, results_to_bytes=0)
    again = run(sqlite_project)
    kept = collect(sqlite_project, grace_hours=0, results_to_bytes=0)

    assert any("made again after it was collected, its result is" in each for each in again.tasks[0].warnings)
    assert kept.notes[0] == "results of flows:luck stay: made again, one was not the same as before"
    assert not [each for each in kept.freed if each.what.startswith("result:")]


def test_results_that_a_hold_keeps_are_not_given_up(sqlite_project: LocalProject) -> None:
    from headwater.lake.collecting import hold

    write(sqlite_project, FLOW)
    outcome = run(sqlite_project)
    hold(sqlite_project, f"run:{outcome.run.id}", "audit")
    found = collect(sqlite_project, free=True, grace_hours=0, results_to_bytes=0)

    assert not [each for each in found.freed if each.what.startswith("result:")]
    assert any("because something needs them" in each for each in found.notes)
    assert outcomes(run(sqlite_project))[:2] == ["remembered", "remembered"]


def test_a_collection_in_another_process_is_seen_by_the_next_run(sqlite_project: LocalProject) -> None:
    write(sqlite_project, FLOW)
    run(sqlite_project)
    assert sqlite_project.root is not None
    with open_project(sqlite_project.root, actor="ben") as other:
        collect(other, free=True, grace_hours=0, results_to_bytes=0)

    assert execute_flow(sqlite_project, "main", {}).status == "done"

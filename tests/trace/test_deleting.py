"""Deleting runs: what only they need goes, what others need stays, and the space is given back."""

from __future__ import annotations

import os

import pytest

from headwater.errors import GoneError
from headwater.lake.collecting import hold
from headwater.project import LocalProject, Project
from headwater.trace import collect, delete_runs, verify
from headwater.track import end_run, get_run, list_runs, metric_series, read_log, start_run, track
from headwater.track.shelving import remove_events


def tracked(project: Project, auc: float, file: bytes) -> str:
    with track(project, "fit", {"auc": auc}) as run:
        run.log_series("loss", [auc + step for step in range(500)])
        run.log(auc=auc)
        run.say("a line")
        run.artefact(file, "weights.bin")
    return run.id


def test_deleted_runs_leave_their_row_and_nothing_else(project: Project) -> None:
    good, bad = tracked(project, 0.9, b"good"), tracked(project, 0.4, b"bad")

    assert delete_runs(project, filter="metrics.auc < 0.5", dry_run=True).runs == (bad,)
    assert get_run(project, bad).params == {"auc": 0.4}
    done = delete_runs(project, filter="metrics.auc < 0.5")
    assert (done.runs, done.kept, done.event_rows) == ((bad,), (), 502)
    assert [run.id for run in list_runs(project, filter="archived = true or archived = false").runs] == [good]
    with pytest.raises(GoneError, match=f"run {bad} was deleted on .* UTC by ann"):
        get_run(project, bad)
    assert metric_series(project, good, "loss").total == 500
    assert [line.text for line in read_log(project, good)] == ["a line"]
    assert read_log(project, bad) == []
    with pytest.raises(GoneError):
        delete_runs(project, [bad])


def test_the_space_of_deleted_runs_is_given_back(sqlite_project: LocalProject) -> None:
    kept = tracked(sqlite_project, 0.9, os.urandom(100_000))
    for _ in range(20):
        tracked(sqlite_project, 0.1, os.urandom(1_000_000))
    collect(sqlite_project, free=True, grace_hours=0)
    before = stored(sqlite_project)
    delete_runs(sqlite_project, filter="metrics.auc < 0.5")
    collect(sqlite_project, free=True, grace_hours=0)

    assert before > 20_000_000 and stored(sqlite_project) < 400_000
    assert metric_series(sqlite_project, kept, "loss").total == 500
    assert verify(sqlite_project) == []


def stored(project: LocalProject) -> int:
    assert project.root is not None
    return sum(file.stat().st_size for file in (project.root / ".headwater" / "objects").rglob("*") if file.is_file())


def test_a_run_that_is_needed_stays_and_says_why(local_project: LocalProject) -> None:
    held = tracked(local_project, 0.2, b"held")
    hold(local_project, f"run:{held}", "for the audit")
    running = start_run(local_project, "fit", {"auc": 0.1}).id
    model = tracked(local_project, 0.3, b"model")
    with local_project.ledger.write() as tx:
        tx.edge("version:V", "run", f"run:{model}")
        tx.edge("modelversion:M", "data", "version:V")
    done = delete_runs(local_project, [held, running, model])

    assert done.runs == ()
    assert {each.run: each.why for each in done.kept} == {
        held: "it is held: for the audit",
        running: "it is under way: end it first",
        model: "modelversion:M descends from it",
    }
    assert get_run(local_project, model).metrics["loss"].points == 500
    end_run(local_project, running)
    assert delete_runs(local_project, [running]).runs == (running,)


def test_what_a_crash_left_in_the_streams_goes_with_the_next_collection(
    sqlite_project: LocalProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tracked(sqlite_project, 0.2, b"x")
    with monkeypatch.context() as dies:
        dies.setattr("headwater.trace.deleting.remove_events", lambda project: 0)  # the process ended here
        delete_runs(sqlite_project, [run])

    assert len(read_log(sqlite_project, run)) == 1
    collect(sqlite_project, free=True)
    assert read_log(sqlite_project, run) == []
    assert remove_events(sqlite_project) == 0

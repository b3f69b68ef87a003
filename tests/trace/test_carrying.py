"""Runs made offline and merged later: whole, once, and with what they need."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from headwater.errors import ConflictError, InvalidInputError
from headwater.flow import execute_flow
from headwater.project import LocalProject, Project, create_project
from headwater.trace import verify
from headwater.trace.carrying import merge_runs
from headwater.track import get_run, list_runs, metric_series, read_log, start_run, track
from headwater.track.receiving import WrittenPoint, receive_points

FLOW = """
from headwater.flow import DataRef, active_run, flow, step

@step
def count(data):
    active_run().log(rows=3.0)
    return [1.5, 2.5, 3.5]

@flow
def main(x=1):
    return count(x).result()
"""


@pytest.fixture
def offline(tmp_path: Path) -> Iterator[LocalProject]:
    with create_project(tmp_path / "train", name="train", actor="bob") as made:
        yield made


def test_tracked_runs_arrive_whole_and_once(offline: LocalProject, project: Project) -> None:
    for depth in range(3):
        with track(offline, "fit", {"depth": depth, "odd": float("nan")}, tags={"where": "train"}) as run:
            run.log_series("loss", [depth + step for step in range(50)])
            run.say("a line")
            run.say("a line")
            run.artefact(f"weights {depth}".encode(), "weights.bin")
    under_way = start_run(offline, "fit").id
    first = merge_runs(offline, project)

    assert (len(first.runs), first.known, first.under_way) == (3, (), (under_way,))
    again = merge_runs(offline, project)
    assert (again.runs, len(again.known), again.objects) == ((), 3, 0)
    for there in list_runs(offline, filter="status = 'done'").runs:
        here = get_run(project, there.id)
        assert (here.author, here.started_at, here.tags, here.metrics) == (
            "bob",
            there.started_at,
            there.tags,
            there.metrics,
        )
        assert repr(here.params) == repr(there.params)
        assert metric_series(project, there.id, "loss") == metric_series(offline, there.id, "loss")
        assert [line.text for line in read_log(project, there.id)] == ["a line", "a line"]
        digest = here.artefacts[0].digest
        assert project.objects.get(digest) == offline.objects.get(digest)


def test_a_flow_brings_its_data_its_code_and_its_memory(offline: LocalProject, sqlite_project: LocalProject) -> None:
    assert offline.root is not None and sqlite_project.root is not None
    for place in (offline.root, sqlite_project.root):
        (place / "flows.py").write_text(FLOW)
    done = execute_flow(offline, "main")
    merge_runs(offline, sqlite_project)

    assert get_run(sqlite_project, done.run.id).metrics["rows"].last == 3.0
    assert [task.outcome for task in execute_flow(sqlite_project, "main").tasks] == ["remembered"]
    assert verify(sqlite_project) == []


def test_a_merge_that_is_cut_short_goes_on(
    offline: LocalProject, sqlite_project: LocalProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    with track(offline, "fit") as run:
        run.log_series("loss", [1.0] * 100)
        run.say("a line")

    class CutShort(Exception):
        pass

    def cut(name: str) -> None:
        raise CutShort

    with monkeypatch.context() as dies:
        dies.setattr("headwater.trace.carrying.crash_point", cut)
        with pytest.raises(CutShort):
            merge_runs(offline, sqlite_project)
    assert list_runs(sqlite_project).runs == ()
    merge_runs(offline, sqlite_project)

    assert metric_series(sqlite_project, run.id, "loss").total == 100
    assert get_run(sqlite_project, run.id).metrics["loss"].points == 100
    assert len(read_log(sqlite_project, run.id)) == 1


def test_no_point_is_taken_in_twice(sqlite_project: LocalProject) -> None:
    points = [WrittenPoint("loss", step, 1, 1.0, "W", step + 1) for step in range(3)]
    receive_points(sqlite_project, "R", points)

    with pytest.raises(ConflictError, match="somebody else merges"):
        receive_points(sqlite_project, "R", points)


def test_a_project_is_not_merged_with_itself(offline: LocalProject) -> None:
    with pytest.raises(InvalidInputError, match="the same project"):
        merge_runs(offline, offline)

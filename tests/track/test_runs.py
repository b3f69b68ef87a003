"""Runs as facts: params, metrics, tags, artefacts, lists, comparisons, ends."""

from __future__ import annotations

import math
import os
import signal
import struct
import subprocess
import sys
import time
from typing import Any

import pytest

from headwater.errors import ConflictError, InvalidInputError, NotFoundError
from headwater.project import LocalProject, Project
from headwater.track import (
    Point,
    add_artefact,
    compare_runs,
    end_run,
    fold_metrics,
    get_run,
    list_artefacts,
    list_runs,
    log_metrics,
    log_params,
    metric_keys,
    metric_series,
    read_log,
    rebuild_summaries,
    set_tags,
    start_run,
    track,
)


def test_a_tracked_block_is_a_run_that_is_done(project: Project) -> None:
    with track(project, "fit", {"depth": 8, "model": {"rate": 0.1, "names": ["a"]}}, tags={"team": "ops"}) as run:
        for step in range(5):
            run.log(step=step, loss=1 / (step + 1), auc=0.5)
        run.say("half way")
        run.artefact(b"hello", "note.txt")
        run.tag(stage="trial")
        run.param(width=3)
    found = get_run(project, run.id)

    assert (found.status, found.kind, found.name, found.author) == ("done", "track", "fit", "ann")
    assert found.params == {"depth": 8, "model.names": ["a"], "model.rate": 0.1, "width": 3}
    assert found.tags == {"team": "ops", "stage": "trial"}
    loss = found.metrics["loss"]
    assert (loss.points, loss.last, loss.last_step, loss.least, loss.greatest) == (5, 0.2, 4, 0.2, 1.0)
    assert [(a.name, a.size, a.media) for a in list_artefacts(project, run.id)] == [("note.txt", 5, "text/plain")]
    assert [line.text for line in read_log(project, run.id)] == ["half way"]
    assert found.environment["python"] and len(found.environment["packages"]) == 64
    assert metric_keys(project, run.id) == ["auc", "loss"]


def test_a_block_that_raises_is_a_failed_run_with_its_traceback(project: Project) -> None:
    with pytest.raises(ZeroDivisionError):
        _divide(project)
    (run,) = list_runs(project).runs
    found = get_run(project, run.id)

    assert found.status == "failed" and found.error == "ZeroDivisionError: division by zero"
    assert "1 / 0" in found.traceback and "tracking.py" not in found.traceback
    assert found.metrics["loss"].points == 1


def _divide(project: Project) -> None:
    with track(project, "bad") as run:
        run.log(loss=1.0)
        1 / 0  # noqa: B018  # raises, as intended


def test_an_interrupted_block_is_a_killed_run(project: Project) -> None:
    with pytest.raises(KeyboardInterrupt), track(project, "stopped") as run:
        raise KeyboardInterrupt

    assert get_run(project, run.id).status == "killed"


def test_every_float_comes_back_with_its_bits(project: Project) -> None:
    odd = struct.unpack("<d", struct.pack("<Q", 0x7FF8000000000123))[0]
    values = [math.nan, odd, math.inf, -math.inf, -0.0, 5e-324]
    run = start_run(project, "odd", {"value": odd})
    log_metrics(project, run.id, [Point(key="x", value=value, step=i) for i, value in enumerate(values)])
    ended = end_run(project, run.id)
    series = metric_series(project, run.id, "x")

    assert [struct.pack("<d", point.value) for point in series.points] == [struct.pack("<d", v) for v in values]
    assert (ended.metrics["x"].least, ended.metrics["x"].greatest) == (-math.inf, math.inf)
    assert struct.pack("<d", get_run(project, run.id).params["value"]) == struct.pack("<d", odd)


def test_a_parameter_does_not_change_during_a_run(project: Project) -> None:
    run = start_run(project, "r", {"depth": 8})
    log_params(project, run.id, {"depth": 8, "more": 1})

    with pytest.raises(ConflictError, match="depth"):
        log_params(project, run.id, {"depth": 9})


def test_a_run_ends_once(project: Project) -> None:
    run = start_run(project, "r")
    end_run(project, run.id, "failed", "why")

    with pytest.raises(ConflictError, match="failed"):
        end_run(project, run.id)
    assert get_run(project, run.id).error == "why"


def test_an_artefact_without_bytes_is_refused(project: Project) -> None:
    run = start_run(project, "r")

    with pytest.raises(InvalidInputError, match="not in the store"):
        add_artefact(project, run.id, "x", "0" * 64)


def test_a_run_is_found_by_the_beginning_of_its_id(project: Project) -> None:
    run = start_run(project, "r")

    assert get_run(project, run.id[:24].lower()).id == run.id
    with pytest.raises(NotFoundError, match="names no run"):
        get_run(project, "ZZZ")


def some_runs(project: Project) -> list[str]:
    ids = []
    for number in range(6):
        run = start_run(project, f"r{number}", {"depth": number % 3, "kind": "a" if number < 3 else "b"})
        if number != 5:
            log_metrics(project, run.id, [Point(key="val/auc", value=0.5 + number / 10)])
        set_tags(project, run.id, {"team": "ops" if number % 2 else "lab"})
        end_run(project, run.id, "failed" if number == 4 else "done")
        ids.append(run.id)
    return ids


@pytest.mark.parametrize(
    ("filter", "expected"),
    [
        ("", [5, 4, 3, 2, 1, 0]),
        ('metrics."val/auc" > 0.65', [4, 3, 2]),
        ("params.depth = 2", [5, 2]),
        ("params.kind = 'a' and status = 'done'", [2, 1, 0]),
        ("tags.team = 'ops' or status = 'failed'", [5, 4, 3, 1]),
        ("not (tags.team = 'ops') and params.depth != 0", [4, 2]),
        ("name in ('r1', 'r2') and params.depth >= 2", [2]),
        ("name contains 'R3'", [3]),
        ("started_at > '2020-01-01' and status != 'failed'", [5, 3, 2, 1, 0]),
        ("metrics.absent < 1", []),
    ],
)
def test_filters_select_runs(project: Project, filter: str, expected: list[int]) -> None:
    ids = some_runs(project)

    assert [ids.index(run.id) for run in list_runs(project, filter=filter).runs] == expected


@pytest.mark.parametrize(
    "filter",
    [
        "metrics.auc >",
        "status = done",
        "; DROP TABLE runs",
        "metrics.auc = 'x'",
        "a.b.c = 1",
        "(status = 'done'",
        "x = 1",
    ],
)
def test_a_filter_that_cannot_be_read_says_where(project: Project, filter: str) -> None:
    with pytest.raises(InvalidInputError, match="character"):
        list_runs(project, filter=filter)


@pytest.mark.parametrize("order", ['-metrics."val/auc"', 'metrics."val/auc"', "params.depth", "-started_at", "name"])
def test_pages_give_every_run_once_in_order(project: Project, order: str) -> None:
    some_runs(project)
    whole = [run.id for run in list_runs(project, order=order).runs]
    paged: list[str] = []
    after: str | None = None
    while True:
        page = list_runs(project, order=order, limit=2, after=after)
        paged += [run.id for run in page.runs]
        after = page.after
        if after is None:
            break

    assert paged == whole and len(set(whole)) == 6


def test_runs_side_by_side_mark_what_differs(project: Project) -> None:
    ids = some_runs(project)
    found = compare_runs(project, [ids[0], ids[3]])

    assert {row.key: row.differs for row in found.params} == {"depth": False, "kind": True}
    assert found.metrics[0].values == (0.5, 0.8)


def test_a_long_series_keeps_the_least_and_greatest_of_each_stretch(project: Project) -> None:
    run = start_run(project, "long")
    values = [math.sin(i / 50) for i in range(5000)]
    values[1234], values[4321], values[777] = 99.0, -99.0, math.nan
    log_metrics(project, run.id, [Point(key="x", value=value, step=i) for i, value in enumerate(values)])
    series = metric_series(project, run.id, "x", max_points=200)
    by_step = {point.step: point.value for point in series.points}

    assert series.total == 5000 and len(series.points) <= 200
    assert by_step[1234] == 99.0 and by_step[4321] == -99.0 and math.isnan(by_step[777])
    assert 0 in by_step and 4999 in by_step
    assert [p.step for p in series.points] == sorted(by_step)


def test_points_of_a_killed_process_are_counted_once(sqlite_project: LocalProject) -> None:
    code = """
import os, signal, sys
from headwater.project import open_project
from headwater.track import Point, log_metrics, start_run, fold_metrics
project = open_project(sys.argv[1])
run = start_run(project, "dies").id
log_metrics(project, run, [Point(key="x", value=float(i), step=i) for i in range(10)])
fold_metrics(project, [run])
log_metrics(project, run, [Point(key="x", value=float(i), step=i) for i in range(10, 15)])
print(run, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    path = os.pathsep.join(each for each in sys.path if each)
    done = subprocess.run(
        [sys.executable, "-c", code, str(sqlite_project.root)],
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        check=False,
    )
    identifier = done.stdout.decode().strip()
    assert done.returncode == -signal.SIGKILL
    found = get_run(sqlite_project, identifier)

    assert found.status == "killed" and "ended without a word" in found.error
    assert (found.metrics["x"].points, found.metrics["x"].last, found.metrics["x"].least) == (15, 14.0, 0.0)
    fold_metrics(sqlite_project, [identifier])
    assert get_run(sqlite_project, identifier).metrics["x"].points == 15


def test_summaries_can_be_derived_again(local_project: LocalProject) -> None:
    run = start_run(local_project, "r")
    log_metrics(local_project, run.id, [Point(key="x", value=float(i), step=i) for i in range(10)])
    fold_metrics(local_project, [run.id])
    with local_project.ledger.write() as tx:
        tx.execute("UPDATE metric_summary SET points = 99, last = 7.0 WHERE run = ?", (run.id,))
    log_metrics(local_project, run.id, [Point(key="x", value=50.0, step=10)])
    rebuild_summaries(local_project, [run.id])
    log_metrics(local_project, run.id, [Point(key="x", value=-1.0, step=11)])
    ended = end_run(local_project, run.id)

    assert (ended.metrics["x"].points, ended.metrics["x"].last, ended.metrics["x"].greatest) == (12, -1.0, 50.0)


def test_sealing_the_stream_changes_no_summary_and_no_series(local_project: LocalProject) -> None:
    run = start_run(local_project, "r")
    log_metrics(local_project, run.id, [Point(key="x", value=float(i), step=i) for i in range(10)])
    local_project.events.seal(all=True)
    log_metrics(local_project, run.id, [Point(key="x", value=3.0, step=10)])
    ended = end_run(local_project, run.id)

    assert ended.metrics["x"].points == 11
    assert len(metric_series(local_project, run.id, "x").points) == 11


@pytest.mark.parametrize("points", [100_000])
def test_a_hundred_thousand_points_take_about_a_second(sqlite_project: LocalProject, points: int) -> None:
    with track(sqlite_project, "fast") as run:
        started = time.process_time()
        run.log_series("x", [float(i) for i in range(points)])
        seconds = time.process_time() - started

    assert get_run(sqlite_project, run.id).metrics["x"].points == points
    assert seconds < 5


def test_lists_show_what_is_logged_so_far(project: Project) -> None:
    run = start_run(project, "open")
    log_metrics(project, run.id, [Point(key="x", value=1.0)])
    (found,) = list_runs(project).runs

    assert found.status == "running" and found.metrics["x"].points == 1


def test_metrics_of_many_threads_are_all_kept(sqlite_project: LocalProject) -> None:
    import threading

    run = start_run(sqlite_project, "threads")

    def work(number: int) -> None:
        for step in range(20):
            log_metrics(sqlite_project, run.id, [Point(key=f"k{number}", value=float(step), step=step)])

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    ended = end_run(sqlite_project, run.id)

    assert {key: summary.points for key, summary in ended.metrics.items()} == {f"k{i}": 20 for i in range(8)}


def test_an_unknown_run_is_not_found(project: Project) -> None:
    calls: list[Any] = [lambda: end_run(project, "X" * 26), lambda: set_tags(project, "X" * 26, {"a": "b"})]
    for call in calls:
        with pytest.raises(NotFoundError):
            call()

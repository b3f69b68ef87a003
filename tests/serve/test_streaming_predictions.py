"""Predictions as a stream: a flow over what a model answered, each prediction in the dataset once."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from headwater.ingest import read_proof
from headwater.lake import find_head, scan
from headwater.project import LocalProject
from headwater.serve import Engine, predict
from tests.cli.running import done
from tests.serve.models import add_version, point, row

SETTINGS = """
[project]
name = "test"

[[stream]]
name = "answers"
flow = "flows:told"
into = "answers@main"

[stream.source]
kind = "events"
stream = "predictions"
columns = ["prediction", "model", "occurred_at", "outputs"]
where = {model = "delay"}
"""
FLOW = """
import headwater as hw
from headwater import canonical


@hw.step
def named(rows):
    return [{"prediction": row["prediction"], "said": sorted(canonical.decode(row["outputs"]))} for row in rows]


@hw.flow
def told(batch: list[dict]):
    return named(batch)
"""


@pytest.fixture(autouse=True)
def streaming(sqlite_project: LocalProject, project_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model in production, and a stream over what it answers."""
    (project_folder / "headwater.toml").write_text(SETTINGS)
    (project_folder / "flows.py").write_text(FLOW)
    monkeypatch.chdir(project_folder)
    monkeypatch.delenv("HEADWATER_PROJECT", raising=False)
    point(sqlite_project, add_version(sqlite_project))


def test_each_prediction_goes_through_the_flow_once(sqlite_project: LocalProject) -> None:
    predictions = []
    for numbers in ([], [0, 1, 2], [3], []):
        if numbers:
            answer = predict(sqlite_project, "delay", [row(number) for number in numbers])
            predictions += [each["id"] for each in answer.predictions]
            sqlite_project.events.seal(all=True)  # as the server does, from time to time and when it ends
        done("stream", "run", "answers", "--once")

    found = scan(sqlite_project, "answers", sql="SELECT prediction FROM data ORDER BY prediction").fetchall()
    assert [prediction for (prediction,) in found] == sorted(predictions)
    status = done("--json", "stream", "status", "answers").answer
    assert (status["behind"], status["origin"]) == (0, "answers of events:predictions")
    with sqlite_project.ledger.read() as tx:
        pull = tx.value("SELECT id FROM pulls WHERE source = 'stream:answers' AND files > 0 ORDER BY id LIMIT 1")
    (batch,) = read_proof(sqlite_project, pull).files[0]["batch"]
    assert (batch["stream"], batch["events"], sum(each["rows"] for each in batch["seals"])) == ("predictions", 3, 3)


def test_what_a_server_answered_last_comes_while_it_has_nothing_to_do(sqlite_project: LocalProject) -> None:
    with Engine(sqlite_project) as engine:
        engine.predict("delay", [row(0)])
        done("stream", "run", "answers", "--once")  # the server holds the file, and is asked for it

        until = time.monotonic() + 10
        while found_in(sqlite_project) == 0 and time.monotonic() < until:
            time.sleep(0.1)
            done("stream", "run", "answers", "--once")
        assert found_in(sqlite_project) == 1


def found_in(project: LocalProject) -> int:
    if find_head(project, "answers", "main") is None:
        return 0
    return len(scan(project, "answers", sql="SELECT prediction FROM data").fetchall())

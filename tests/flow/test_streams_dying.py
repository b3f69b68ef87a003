"""Streams that are killed: each record exactly once in the lake, however often and wherever."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from headwater.lake import scan
from headwater.project import LocalProject, open_project
from tests.flow.test_streams import Place
from tests.ingest.test_kafka import Puller, Topic
from tests.jobs.places import wait_for

ROOT = Path(__file__).parent.parent.parent


@contextmanager
def worked_on(folder: Path, *planted: str) -> Iterator[Puller]:
    command = [sys.executable, "-m", "tests.flow.stream_puller", str(folder), *planted]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        yield Puller(process)


@pytest.fixture
def place(tmp_path: Path, kafka_servers: str) -> Place:
    made = Place(tmp_path, Topic(kafka_servers, 1))
    made.declare(every="1s").close()
    with (tmp_path / "headwater.toml").open("a") as file:
        file.write("\n[ingest]\nlease_s = 0.3\n")  # for so long a batch that was killed keeps the next one out
    return made


@contextmanager
def producing(place: Place) -> Iterator[list[int]]:
    """Send numbered records for as long as the block lasts; yields the numbers that were sent."""
    sent: list[int] = []
    over = threading.Event()

    def send() -> None:
        while not over.wait(0.02):
            place.send({"n": len(sent)})
            sent.append(len(sent))

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield sent
    finally:
        over.set()
        thread.join()


def taken(folder: Path) -> list[int]:
    with open_project(folder) as project:
        assert isinstance(project, LocalProject)
        return [n for (n,) in scan(project, "clicks", sql="SELECT n FROM data ORDER BY n").fetchall()]


def kills(full: bool, points: list[str]) -> list[dict[str, Any]]:
    """Return where to kill: around what makes a batch; in full at every crash point, and at 60 moments."""
    if not full:
        return [{"at": name} for name in ("stream.batch.made", "ingest.pull.taken_in", "ingest.pull.committed")]
    chance = random.Random(20_260_101)
    everywhere: list[dict[str, Any]] = [{"at": number} for number in range(1, len(points) + 1)]
    return everywhere + [{"delay_s": chance.uniform(0, 1.5)} for _ in range(60)]


@pytest.mark.parametrize("full", [False, pytest.param(True, marks=pytest.mark.long)])
def test_a_stream_killed_anywhere_has_each_record_once(place: Place, full: bool) -> None:
    with worked_on(place.folder) as process, producing(place) as sent:
        wait_for(lambda: bool(sent))
        points = process.pull()["points"]
        codes = [process.pull(**kill)["code"] for kill in kills(full, points)]
    with worked_on(place.folder) as process:
        assert process.pull()["code"] == 0

    assert "stream.batch.made" in points
    assert codes.count(-9) >= 3
    assert taken(place.folder) == list(range(len(sent)))


@pytest.mark.long
def test_offsets_kept_before_the_version_lose_records(place: Place) -> None:
    # The planted failure: the same kill, with the offsets written down before the output is recorded.
    with worked_on(place.folder, "offsets-first") as process:
        place.send({"n": 0})
        assert process.pull()["code"] == 0
        place.send({"n": 1})
        assert process.pull(at="stream.batch.made")["code"] == -9
        place.send({"n": 2})
        assert process.pull()["code"] == 0

    assert taken(place.folder) == [0, 2]


@pytest.mark.long
def test_the_same_kill_with_the_offsets_where_they_belong_loses_nothing(place: Place) -> None:
    with worked_on(place.folder) as process:
        place.send({"n": 0})
        assert process.pull()["code"] == 0
        place.send({"n": 1})
        assert process.pull(at="stream.batch.made")["code"] == -9
        place.send({"n": 2})
        assert process.pull()["code"] == 0

    assert taken(place.folder) == [0, 1, 2]

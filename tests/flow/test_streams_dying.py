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

from headwater.events import sealing
from headwater.lake import scan
from headwater.project import LocalProject, open_project
from tests.events.streams import points
from tests.flow.test_streams import FLOW, Place
from tests.ingest.test_kafka import Puller, Topic
from tests.jobs.places import wait_for

ROOT = Path(__file__).parent.parent.parent


@contextmanager
def worked_on(folder: Path, *planted: str) -> Iterator[Puller]:
    command = [sys.executable, "-m", "tests.flow.stream_puller", str(folder), *planted]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        yield Puller(process)


class EventsPlace(Place):
    """A project with one stream over its own events, which this process appends and the worker reads."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.project = None
        self._writer: LocalProject | None = None

    def source(self, columns: dict[str, str]) -> list[str]:
        return ['kind = "events"', 'stream = "test_points"']

    def send(self, *values: Any) -> None:
        if self._writer is None:
            opened = open_project(self.folder)
            assert isinstance(opened, LocalProject)
            self._writer = opened
        for value in values:
            self._writer.events.append("test_points", points([value["n"]]))
            if value["n"] % 25 == 24:
                self._writer.events.seal(all=True)

    def done(self) -> None:
        if self._writer is not None:
            self._writer.close()


def prepared(made: Place, flow: str = FLOW) -> Place:
    made.declare(flow, every="1s").close()
    with (made.folder / "headwater.toml").open("a") as file:
        file.write("\n[ingest]\nlease_s = 0.3\n")  # for so long a batch that was killed keeps the next one out
    return made


@pytest.fixture
def place(tmp_path: Path, kafka_servers: str) -> Place:
    return prepared(Place(tmp_path, Topic(kafka_servers, 1)))


@pytest.fixture
def events_place(tmp_path: Path) -> Iterator[EventsPlace]:
    made = EventsPlace(tmp_path)
    prepared(made, FLOW.replace('row["n"]', 'row["step"]'))
    yield made
    made.done()


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


def kills(full: bool, points: list[str], moments: int) -> list[dict[str, Any]]:
    """Return where to kill: around what makes a batch; in full at every crash point, and at so many moments."""
    if not full:
        return [{"at": name} for name in ("stream.batch.made", "ingest.pull.taken_in", "ingest.pull.committed")]
    chance = random.Random(20_260_101)
    everywhere: list[dict[str, Any]] = [{"at": number} for number in range(1, len(points) + 1)]
    return everywhere + [{"delay_s": chance.uniform(0, 1.5)} for _ in range(moments)]


@pytest.mark.parametrize("full", [False, pytest.param(True, marks=pytest.mark.long)])
@pytest.mark.parametrize("kind", ["place", "events_place"])
def test_a_stream_killed_anywhere_has_each_record_once(request: pytest.FixtureRequest, kind: str, full: bool) -> None:
    place: Place = request.getfixturevalue(kind)
    moments = 60 if kind == "place" else 20
    with worked_on(place.folder) as process, producing(place) as sent:
        wait_for(lambda: len(sent) > 30)
        points = process.pull()["points"]
        codes = [process.pull(**kill)["code"] for kill in kills(full, points, moments)]
    if isinstance(place, EventsPlace):
        place.done()  # what a living writer holds is not sealed
    with worked_on(place.folder) as process:
        assert process.pull()["code"] == 0

    assert "stream.batch.made" in points
    assert codes.count(-9) >= 3
    assert taken(place.folder) == list(range(len(sent)))


@pytest.mark.long
@pytest.mark.parametrize("planted", [(), ("readers-forgotten",)])
def test_seals_that_are_gathered_without_their_readers_are_read_twice(
    events_place: EventsPlace, monkeypatch: pytest.MonkeyPatch, planted: tuple[str, ...]
) -> None:
    if planted:  # this process seals too
        monkeypatch.setattr(sealing, "carry", lambda tx, replaced, made: None)
    number = 0
    with worked_on(events_place.folder, *planted) as process:
        for at in ("ingest.pull.taken_in", "stream.batch.made", "ingest.events.read", ""):
            for _ in range(75):
                events_place.send({"n": number})
                number += 1
            process.pull(at=at)
            assert process.pull()["code"] == 0
    with worked_on(events_place.folder) as process:
        assert process.pull()["code"] == 0

    once = taken(events_place.folder) == list(range(number))
    assert once is not bool(planted)


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

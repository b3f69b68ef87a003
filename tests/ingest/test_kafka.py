"""Pulling from Kafka: a broker of its own process, and librdkafka's cluster for what that one lacks."""

from __future__ import annotations

import datetime as dt
import json
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]  # NewTopic lies in C

from headwater.errors import ConflictError, InvalidInputError, NotFoundError, UnavailableError
from headwater.ingest import pull, reach_source, read_proof
from headwater.ingest.kafka_reading import Topics
from headwater.ingest.kinds import make_source
from headwater.lake import iter_files, scan
from headwater.project import LocalProject, create_project, open_project

ROOT = Path(__file__).parent.parent.parent


class Topic:
    """A topic of the test's own."""

    def __init__(self, servers: str, partitions: int = 2) -> None:
        self.servers = servers
        self.name = f"events-{uuid4().hex[:8]}"
        self.partitions = partitions
        self._admin = AdminClient({"bootstrap.servers": servers})
        self._producer = Producer({"bootstrap.servers": servers, "linger.ms": 5, "enable.idempotence": True})
        self.create()

    def create(self) -> None:
        for made in self._admin.create_topics([NewTopic(self.name, self.partitions, 1)]).values():
            made.result(20)

    def delete(self) -> None:
        for gone in self._admin.delete_topics([self.name]).values():
            gone.result(20)

    def send(self, value: Any, **how: Any) -> None:
        data = value if isinstance(value, bytes) or value is None else json.dumps(value).encode()
        self._producer.produce(self.name, value=data, **how)

    def flush(self) -> None:
        assert self._producer.flush(30) == 0

    def declare(self, project: LocalProject | Path, **settings: Any) -> None:
        folder = project if isinstance(project, Path) else project.root
        assert folder is not None
        given = {"name": "events", "kind": "kafka", "dataset": "events", "servers": self.servers, "topics": self.name}
        columns = settings.pop("columns", {})
        lines = [f"{name} = {json.dumps(value)}" for name, value in {**given, **settings}.items()]
        lines += ["[source.columns]", *(f'"{name}" = "{kind}"' for name, kind in columns.items())] if columns else []
        file = folder / "headwater.toml"
        text = file.read_text().partition("[[source]]")[0] if file.exists() else '[project]\nname = "test"\n'
        file.write_text("\n".join([text, "[[source]]", *lines, ""]))


@pytest.fixture
def topic(kafka_servers: str) -> Topic:
    return Topic(kafka_servers)


def rows(project: LocalProject, columns: str) -> list[tuple[Any, ...]]:
    order = "ORDER BY kafka_topic, kafka_partition, kafka_offset"
    return scan(project, "events", sql=f"SELECT {columns} FROM data {order}").fetchall()


def test_new_records_are_appended_as_a_part_per_pull(sqlite_project: LocalProject, topic: Topic) -> None:
    topic.declare(sqlite_project)
    topic.send({"n": 1}, key="a", partition=0, timestamp=1_767_225_600_123, headers={"trace": b"7"})
    topic.send(None, key=b"\xff", partition=1)
    topic.flush()
    first, nothing = pull(sqlite_project, "events"), pull(sqlite_project, "events")
    topic.send([2], partition=0)
    topic.flush()
    pull(sqlite_project, "events")

    assert rows(sqlite_project, "kafka_partition, kafka_offset, kafka_key, value, kafka_headers") == [
        (0, 0, "a", '{"n": 1}', '[["trace","7"]]'),
        (0, 1, None, "[2]", None),
        (1, 0, "base64:/w==", None, None),
    ]
    assert rows(sqlite_project, "kafka_timestamp")[0] == (dt.datetime(2026, 1, 1, 0, 0, 0, 123000, tzinfo=dt.UTC),)
    assert [entry.path for entry in iter_files(sqlite_project, "events")] == [
        f"{topic.name}/part-{number:08d}.parquet" for number in (1, 2)
    ]
    assert nothing.outcome == "unchanged"
    assert read_proof(sqlite_project, first.id).files[0]["offsets"] == [
        {"topic": topic.name, "partition": number, "first": 0, "last": 0, "records": 1} for number in (0, 1)
    ]
    assert "2 partitions" in reach_source(sqlite_project, "events").found


def test_fields_become_columns_of_their_types(sqlite_project: LocalProject, topic: Topic) -> None:
    columns = {
        "id": "BIGINT", "price": "DECIMAL(10,2)", "at": "TIMESTAMPTZ", "day": "DATE", "ok": "BOOLEAN",
        "share": "DOUBLE", "note": "VARCHAR", "more": "JSON", "who": "UUID",
    }  # fmt: skip
    topic.declare(sqlite_project, columns=columns)
    who = "123e4567-e89b-12d3-a456-426614174000"
    value = b'{"id": 9007199254740993, "price": 12345678.91, "at": "2026-01-01T02:00:00+02:00", "day": "2026-01-01",'
    value += (
        b'"ok": true, "share": 1, "note": "x\\u0000\xc3\xa9", "more": "text", "who": "' + who.encode() + b'", "o": 1}'
    )
    topic.send(value, partition=0)
    topic.send({"id": 2, "more": {"a": [1]}, "price": "0.5"}, partition=0)
    topic.flush()
    pull(sqlite_project, "events")

    first, second = scan(sqlite_project, "events", columns=list(columns)).to_dicts()
    assert first == {
        "id": 9007199254740993, "price": Decimal("12345678.91"), "at": dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
        "day": dt.date(2026, 1, 1), "ok": True, "share": 1.0, "note": "x\0é", "more": '"text"', "who": first["who"],
    }  # fmt: skip
    assert str(first["who"]) == who
    assert (second["id"], second["more"], second["price"]) == (2, '{"a": [1]}', Decimal("0.50"))


def test_a_record_that_cannot_be_read_ends_the_pull_or_is_kept(sqlite_project: LocalProject, topic: Topic) -> None:
    topic.declare(sqlite_project, columns={"id": "INTEGER", "price": "DECIMAL(4,1)"})
    bad = [b'{"id": "one"}', b'{"id": 1.5}', b'{"id": 99999999999}', b'{"price": 1.55}', b"not json", b"\xff", b"[1]"]
    for value in [*bad, b'{"id": 7, "price": 1.5}']:
        topic.send(value, partition=0)
    topic.flush()

    with pytest.raises(InvalidInputError, match=rf"offset 0 of {topic.name}\[0\].*Expected `int.*bad = \"keep\""):
        pull(sqlite_project, "events")

    topic.declare(sqlite_project, columns={"id": "INTEGER", "price": "DECIMAL(4,1)"}, bad="keep")
    pull(sqlite_project, "events")
    found = rows(sqlite_project, "id, kafka_value, kafka_error IS NULL")
    assert found == [*((None, value, False) for value in bad), (7, None, True)]


def test_values_are_kept_as_text_or_bytes(sqlite_project: LocalProject, topic: Topic) -> None:
    topic.send(b"\xff\x00", partition=0)
    topic.flush()
    topic.declare(sqlite_project, value="bytes")
    pull(sqlite_project, "events")
    assert rows(sqlite_project, "value") == [(b"\xff\x00",)]

    topic.send(b"\xff", partition=0)
    topic.flush()
    topic.declare(sqlite_project, value="text")
    with pytest.raises(InvalidInputError, match="offset 1 of"):
        pull(sqlite_project, "events")


def test_a_pull_ends_at_its_limits_and_the_next_goes_on(sqlite_project: LocalProject, topic: Topic) -> None:
    topic.declare(sqlite_project, max_records=40)
    for number in range(100):
        topic.send({"n": number}, partition=number % 2)
    topic.flush()

    notes = [pull(sqlite_project, "events").message for _ in range(4)]

    assert notes[:3] == ["40 records", "40 records", "20 records"]
    assert sorted(json.loads(value)["n"] for (value,) in rows(sqlite_project, "value")) == list(range(100))


def test_a_topic_that_was_made_anew_is_told_or_recorded(sqlite_project: LocalProject, topic: Topic) -> None:
    topic.declare(sqlite_project)
    topic.send({"n": "old"}, partition=0)
    topic.flush()
    pull(sqlite_project, "events")
    topic.delete()
    topic.create()
    topic.send({"n": "new"}, partition=0)
    topic.flush()

    with pytest.raises(ConflictError, match=r"another record at offset 0.*made anew.*gap = \"record\""):
        pull(sqlite_project, "events")

    topic.declare(sqlite_project, gap="record")
    done = pull(sqlite_project, "events")
    assert "made anew" in done.message
    assert "made anew" in read_proof(sqlite_project, done.id).files[0]["offsets"][0]["gap"]
    assert sorted(json.loads(value)["n"] for (value,) in rows(sqlite_project, "value")) == ["new", "old"]
    assert pull(sqlite_project, "events").outcome == "unchanged"


def test_a_topic_that_ends_before_where_it_was_read_to_is_told(sqlite_project: LocalProject, topic: Topic) -> None:
    topic.declare(sqlite_project, timeout_s=1)
    for number in range(5):
        topic.send({"n": number}, partition=0)
    topic.flush()
    pull(sqlite_project, "events")
    topic.delete()
    topic.create()

    # This broker says nothing at all to who reads behind the end; the next test has one that does.
    with pytest.raises(UnavailableError, match=rf"nothing was heard for 1 s of {topic.name}\[0\] at offset 5"):
        pull(sqlite_project, "events")


@contextmanager
def mock_cluster() -> Iterator[tuple[str, Producer]]:
    """A cluster of librdkafka's own in this process, which answers as brokers do to an offset that is not there."""
    producer = Producer({"bootstrap.servers": "nowhere", "test.mock.num.brokers": 1})
    brokers = producer.list_topics(timeout=10).brokers.values()
    yield ",".join(f"{each.host}:{each.port}" for each in brokers), producer


def test_an_offset_out_of_range_is_told_or_recorded(
    sqlite_project: LocalProject, topic: Topic, monkeypatch: pytest.MonkeyPatch
) -> None:
    with mock_cluster() as (servers, producer):
        topic.servers = servers
        topic.declare(sqlite_project)
        for number in range(3):
            producer.produce(topic.name, value=json.dumps({"n": number}), partition=0)
        producer.flush(10)
        pull(sqlite_project, "events")
        # As if the topic had been longer: the one partition that has records is read from far behind its end.
        assign = Topics.assign
        monkeypatch.setattr(
            Topics, "assign", lambda self, places: assign(self, {at: n and 1000 for at, n in places.items()})
        )
        with pytest.raises(ConflictError, match="ends before offset 3"):
            pull(sqlite_project, "events")


def test_what_retention_took_is_told_or_recorded(
    sqlite_project: LocalProject, topic: Topic, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic.declare(sqlite_project)
    for number in range(10):
        topic.send({"n": number}, partition=0)
    topic.flush()
    topic.declare(sqlite_project, max_records=2)
    pull(sqlite_project, "events")
    # The broker in memory keeps all; what it says of its first offset is made to be that of one that does not.
    monkeypatch.setattr(Topics, "watermarks", lambda self, topic, partition: (6, 10) if partition == 0 else (0, 0))

    with pytest.raises(ConflictError, match=r"offsets 2 to 5 of .*the first offset there is 6.*retention.ms"):
        pull(sqlite_project, "events")

    topic.declare(sqlite_project, gap="record")
    done = pull(sqlite_project, "events")
    assert "offsets 2 to 5" in done.message
    assert [json.loads(value)["n"] for (value,) in rows(sqlite_project, "value")] == [0, 1, 6, 7, 8, 9]


def test_marks_of_transactions_are_no_gap(sqlite_project: LocalProject, topic: Topic) -> None:
    producer = Producer({"bootstrap.servers": topic.servers, "transactional.id": uuid4().hex})
    producer.init_transactions(20)
    topic.declare(sqlite_project)
    for number in range(2):
        producer.begin_transaction()
        producer.produce(topic.name, value=json.dumps({"n": number}), partition=0)
        producer.commit_transaction(20)
        assert pull(sqlite_project, "events").outcome == "published"
        assert pull(sqlite_project, "events").outcome == "unchanged"

    assert rows(sqlite_project, "kafka_offset, value") == [(0, '{"n": 0}'), (2, '{"n": 1}')]


def test_a_missing_topic_and_a_missing_broker_are_told(
    sqlite_project: LocalProject, topic: Topic, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic.declare(sqlite_project, topics=[topic.name, "no-such-topic"])
    with pytest.raises(NotFoundError, match="no topic 'no-such-topic'"):
        pull(sqlite_project, "events")

    monkeypatch.setenv("KAFKA_PASSWORD", "secret-4711")
    topic.servers = "127.0.0.1:1"
    topic.declare(sqlite_project, timeout_s=1)
    with pytest.raises(UnavailableError, match=r"does not answer.*Check that it is up"):
        pull(sqlite_project, "events")
    for options, says in [
        ({"sasl.password": "secret-4711"}, "is a secret"),
        ({"group.id": "mine"}, "set by the source itself"),
    ]:
        with pytest.raises(InvalidInputError, match=says) as refused:
            make_source("kafka", {"servers": "h:1", "topics": "t", "options": options}, root=ROOT)
        assert "4711" not in refused.value.message
    source = make_source(
        "kafka", {"servers": "h:1", "topics": "t", "options": {"no.such.option": "env:KAFKA_PASSWORD"}}, root=ROOT
    )
    with pytest.raises(InvalidInputError, match=r"no\.such\.option") as refused:
        source.test()
    assert "4711" not in refused.value.message


class Puller:
    """The process that pulls in forks of itself."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def pull(self, **how: Any) -> dict[str, Any]:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(how) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer


@contextmanager
def puller(folder: Path, *planted: str) -> Iterator[Puller]:
    command = [sys.executable, "-m", "tests.ingest.kafka_puller", str(folder), *planted]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        yield Puller(process)


@contextmanager
def producing(topic: Topic, per_second: int) -> Iterator[list[int]]:
    """Send numbered records from a thread for as long as the block lasts; yields the numbers that were sent."""
    sent: list[int] = []
    over = threading.Event()

    def send() -> None:
        while not over.wait(1 / per_second):
            topic.send({"n": len(sent)}, key=str(len(sent)))
            sent.append(len(sent))

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield sent
    finally:
        over.set()
        thread.join()
        topic.flush()


def numbers(folder: Path) -> list[int]:
    with open_project(folder) as project:
        assert isinstance(project, LocalProject)
        found = rows(project, "value, kafka_partition, kafka_offset")
        assert len({each[1:] for each in found}) == len(found)
        return sorted(json.loads(value)["n"] for value, _, _ in found)


@pytest.fixture
def folder(tmp_path: Path, topic: Topic) -> Path:
    place = tmp_path / "project"
    create_project(place).close()
    with (place / "headwater.toml").open("a") as file:
        file.write("\n[ingest]\nlease_s = 0.3\n")  # for so long a pull that was killed keeps the next one out
    topic.declare(place)
    return place


def passed_points(puller: Puller, topic: Topic) -> list[str]:
    topic.send({"n": -1})
    topic.flush()
    done = puller.pull()
    assert done["code"] == 0
    names: list[str] = done["points"]
    return names


@pytest.mark.parametrize("every", [25, pytest.param(1, marks=pytest.mark.long)])
def test_a_puller_killed_at_its_crash_points_has_each_record_once(folder: Path, topic: Topic, every: int) -> None:
    with puller(folder) as process, producing(topic, 200) as sent:
        names = passed_points(process, topic)
        ours = list(dict.fromkeys(name for name in names if name.startswith("ingest.")))
        by_name = [process.pull(at=name)["code"] for name in ours]
        killed = [process.pull(at=number)["code"] for number in range(1, len(names) + 1, every)]
    print(f"{len(names)} crash points, killed at {killed.count(-9)}")  # noqa: T201  # the count asked for
    with puller(folder) as process:
        assert process.pull()["code"] == 0

    assert len(ours) >= 2 and set(by_name) == {-9}
    assert killed.count(-9) >= 1
    assert numbers(folder) == [-1, *range(len(sent))]


@pytest.mark.parametrize("moments", [3, pytest.param(60, marks=pytest.mark.long)])
def test_a_puller_killed_at_any_moment_has_each_record_once(folder: Path, topic: Topic, moments: int) -> None:
    chance = random.Random(20_260_101)
    with puller(folder) as process, producing(topic, 200) as sent:
        passed_points(process, topic)
        began = time.monotonic()
        process.pull()
        seconds = time.monotonic() - began
        for _ in range(moments):
            process.pull(delay_s=chance.uniform(0, seconds))
    with puller(folder) as process:
        assert process.pull()["code"] == 0

    assert numbers(folder) == [-1, *range(len(sent))]


def test_offsets_kept_before_the_version_lose_records(folder: Path, topic: Topic) -> None:
    # The planted failure: the same kill, with the offsets written down before the version is.
    with puller(folder, "offsets-first") as process:
        passed_points(process, topic)
        topic.send({"n": 0})
        topic.flush()
        assert process.pull(at="ingest.pull.taken_in")["code"] == -9
        topic.send({"n": 1})
        topic.flush()
        assert process.pull()["code"] == 0

    assert numbers(folder) == [-1, 1]

"""Streams: batches through a flow, exactly once into the lake, under a contract."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from headwater.errors import InvalidInputError, NotFoundError, RefusedError, UserCodeError
from headwater.flow import (
    accept_contract,
    advance_stream,
    execute_flow,
    get_tasks,
    list_rejects,
    list_streams,
    stream_status,
)
from headwater.jobs import Scheduler, Worker, list_jobs
from headwater.lake import scan
from headwater.project import LocalProject, create_project
from headwater.project.local import open_folder
from tests.ingest.test_kafka import Topic

FLOW = """
import headwater as hw


@hw.step
def priced(rows):
    return [{"n": row["n"], "twice": 2 * row["n"]} for row in rows]


@hw.flow
def clean(batch: list[dict]):
    return priced(batch)
"""


class Place:
    """A project with one stream over a topic of its own."""

    def __init__(self, folder: Path, topic: Topic) -> None:
        self.folder = folder
        self.topic = topic
        self.project: LocalProject | None = None

    def declare(self, flow: str = FLOW, **settings: Any) -> LocalProject:
        columns = settings.pop("columns", {"n": "BIGINT"})
        given = {"name": "clicks", "flow": "flows:clean", "into": "clicks@main", **settings}
        lines = [f"{name} = {json.dumps(value)}" for name, value in given.items()]
        lines += ["[stream.source]", *self.source(columns)]
        text = '[project]\nname = "test"\n\n[[stream]]\n' + "\n".join(lines) + "\n"
        (self.folder / "headwater.toml").write_text(text)
        (self.folder / "flows.py").write_text(flow)
        self.close()
        state = self.folder / ".headwater"
        self.project = (
            open_folder(self.folder, actor="ann") if state.exists() else create_project(self.folder, actor="ann")
        )
        return self.project

    def source(self, columns: dict[str, str]) -> list[str]:
        source = {"kind": "kafka", "servers": self.topic.servers, "topics": self.topic.name}
        lines = [f"{name} = {json.dumps(value)}" for name, value in source.items()]
        return [*lines, "[stream.source.columns]", *(f"{name} = {json.dumps(kind)}" for name, kind in columns.items())]

    def send(self, *values: Any) -> None:
        for value in values:
            self.topic.send(value, partition=0)
        self.topic.flush()

    def rows(self, columns: str = "n, twice") -> list[tuple[Any, ...]]:
        assert self.project is not None
        return scan(self.project, "clicks", sql=f"SELECT {columns} FROM data ORDER BY n").fetchall()

    def close(self) -> None:
        if self.project is not None:
            self.project.close()


@pytest.fixture
def place(tmp_path: Path, kafka_servers: str) -> Iterator[Place]:
    made = Place(tmp_path, Topic(kafka_servers, 1))
    yield made
    made.close()


def numbers(*values: Any) -> list[dict[str, Any]]:
    return [{"n": value} for value in values]


def test_each_batch_goes_through_the_flow_and_into_the_lake_once(place: Place) -> None:
    project = place.declare()
    place.send(*numbers(1, 2, 3))
    first = advance_stream(project, "clicks")
    nothing = advance_stream(project, "clicks")
    place.send(*numbers(4))
    second = advance_stream(project, "clicks")

    assert [batch.outcome for batch in (*first.batches, *second.batches)] == ["published", "published"]
    assert nothing.batches == ()
    assert place.rows() == [(1, 2), (2, 4), (3, 6), (4, 8)]
    run = first.batches[0].message.rpartition("run:")[2]
    assert [task.step for task in get_tasks(project, run)] == ["flows:priced"]
    with project.ledger.read() as tx:
        assert ("run", f"run:{run}") in [(e.role, e.parent) for e in tx.edges_of(f"pull:{first.batches[0].id}")]


def test_a_batch_has_at_most_so_many_rows_and_the_rest_waits(place: Place) -> None:
    project = place.declare(max_rows=40)
    for number in range(100):
        place.send({"n": number})  # one by one: of more at once the broker of these tests does not say where they end

    one = advance_stream(project, "clicks", batches=1)
    status = stream_status(project, "clicks")
    rest = advance_stream(project, "clicks")

    assert (len(one.batches), status.behind, len(rest.batches)) == (1, 60, 2)
    assert [n for n, _ in place.rows()] == list(range(100))


def test_records_that_cannot_be_read_or_taken_are_put_apart_with_the_reason(place: Place) -> None:
    flow = FLOW.replace("    return [{", "    assert all(row['n'] != 13 for row in rows), 'thirteen'\n    return [{")
    project = place.declare(flow)
    place.send(*numbers(*range(10, 20)), b"not json", {"n": "one"})

    (batch,) = advance_stream(project, "clicks").batches

    assert [n for n, _ in place.rows()] == [10, 11, 12, 14, 15, 16, 17, 18, 19]
    assert "3 records put apart" in batch.message
    rejects = list_rejects(project, "clicks")
    assert [reject.record["kafka_offset"] for reject in rejects] == [10, 11, 3]
    assert "thirteen" in rejects[2].reason
    assert rejects[2].record["n"] == 13
    assert stream_status(project, "clicks").rejected == 3


def test_a_flow_that_fails_on_everything_puts_nothing_apart(place: Place) -> None:
    project = place.declare(FLOW.replace("    return [{", "    raise ConnectionError('no network')\n    return [{"))
    place.send(*numbers(1, 2, 3, 4))

    with pytest.raises(UserCodeError, match=r"not on some records only.*no network.*Nothing was taken in"):
        advance_stream(project, "clicks")
    assert stream_status(project, "clicks").rejected == 0

    project = place.declare()
    advance_stream(project, "clicks")
    assert [n for n, _ in place.rows()] == [1, 2, 3, 4]


def test_poison_stops_the_stream_where_that_is_asked_for(place: Place) -> None:
    project = place.declare(
        FLOW.replace("    return [{", "    assert rows[0]['n'] != 13\n    return [{"), poison="stop"
    )
    place.send(*numbers(13, 14))

    with pytest.raises(UserCodeError, match="same records come again"):
        advance_stream(project, "clicks")


def test_a_change_of_the_flow_that_breaks_the_contract_is_refused_before_it_runs(place: Place) -> None:
    reader = FLOW + '\n\n@hw.flow\ndef report():\n    return len(hw.data("clicks@main").to_dicts())\n'
    project = place.declare(reader)
    place.send(*numbers(1, 2))
    advance_stream(project, "clicks")
    assert execute_flow(project, "report").returned == 2
    place.send(*numbers(3))

    project = place.declare(reader.replace('"twice": 2 * row["n"]', '"twice": str(row["n"]), "more": 1'))
    with pytest.raises(RefusedError, match=r"'twice' was BIGINT and would be VARCHAR\. Consumers: flow flows:report"):
        advance_stream(project, "clicks")
    project = place.declare(reader.replace(', "twice": 2 * row["n"]', ""))
    with pytest.raises(RefusedError, match=r"'twice' \(BIGINT\) would be gone.*hw stream accept clicks"):
        advance_stream(project, "clicks")
    assert place.rows() == [(1, 2), (2, 4)]

    project = place.declare(reader.replace('2 * row["n"]}', '2 * row["n"], "more": 1}').replace("2 *", "3 *"))
    advance_stream(project, "clicks")  # more columns, and other values, break nothing
    assert place.rows() == [(1, 2), (2, 4), (3, 9)]
    contract = stream_status(project, "clicks").contract
    assert contract is not None
    assert (contract.number, contract.reason, list(contract.columns)) == (
        2,
        "more columns: more",
        ["n", "twice", "more"],
    )


def test_a_changed_contract_is_accepted_by_a_person_with_a_reason(place: Place) -> None:
    project = place.declare()
    with pytest.raises(InvalidInputError, match="has no contract yet"):
        accept_contract(project, "clicks", "because")
    place.send(*numbers(1))
    advance_stream(project, "clicks")
    project = place.declare(FLOW.replace(', "twice": 2 * row["n"]', ""))
    place.send(*numbers(2))

    accepted = accept_contract(project, "clicks", "nobody uses it")
    advance_stream(project, "clicks")

    assert (accepted.number, accepted.columns, accepted.reason) == (2, {"n": "BIGINT"}, "nobody uses it")
    assert [n for (n,) in place.rows("n")] == [1, 2]


def test_the_schedule_of_a_stream_makes_jobs_that_a_worker_runs_one_at_a_time(place: Place) -> None:
    project = place.declare(every="1s")
    place.send(*numbers(1))
    scheduler, worker = Scheduler(project), Worker(project)
    assert scheduler.tick() == []  # it counts from when it is first seen
    with project.ledger.write() as tx:
        tx.execute("UPDATE trigger_states SET scheduled_at = scheduled_at - 5000000")

    (job,) = scheduler.tick()
    with project.ledger.write() as tx:
        tx.execute("UPDATE trigger_states SET scheduled_at = scheduled_at - 5000000")
    assert scheduler.tick() == []  # the one before is not over
    done = worker.run_once()

    assert (job.trigger, job.operation, job.arguments) == ("stream:clicks", "stream.advance", {"name": "clicks"})
    assert done is not None
    assert (done.status, len(done.result["batches"])) == ("done", 1)
    assert place.rows() == [(1, 2)]
    assert len(list_jobs(project)) == 1


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"every": "often"}, "no length of time"),
        ({"max_rows": 0}, "'max_rows' is at least 1"),
        ({"poison": "eat"}, "Invalid enum value 'eat'"),
        ({"colour": "red"}, "unknown field `colour`"),
    ],
)
def test_a_stream_that_is_written_wrong_is_named(tmp_path: Path, settings: dict[str, Any], says: str) -> None:
    place = Place(tmp_path, type("Nowhere", (), {"servers": "h:1", "name": "t"})())  # no broker
    project = place.declare(**settings)

    with pytest.raises(InvalidInputError, match=says):
        list_streams(project)
    place.close()


def test_a_stream_that_is_not_there_is_told(tmp_path: Path) -> None:
    with (
        create_project(tmp_path, name="test", actor="ann") as project,
        pytest.raises(NotFoundError, match="declares: none"),
    ):
        advance_stream(project, "clicks")

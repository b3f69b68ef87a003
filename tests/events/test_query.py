"""Querying and verifying: one relation over sealed and open, and damage that is named."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from headwater.errors import CorruptError, InvalidInputError, NotFoundError
from headwater.events import STREAMS, EventLog, Schema, declare_stream
from headwater.objects import ObjectStore
from tests.events.streams import Stores, point, points


def test_a_query_joins_streams_over_sealed_and_open_rows(log: EventLog) -> None:
    log.append("test_points", [point(1, 10.0), point(2, 20.0)])
    log.append("test_types", [{"number": 1, "words": "one"}])
    log.seal(all=True)
    log.append("test_points", [point(3, 30.0)])
    log.append("test_types", [{"number": 3, "words": "three"}])

    result = log.query(
        "SELECT words, value FROM test_points JOIN test_types ON number = step WHERE value > ? ORDER BY step",
        [5.0],
        streams=["test_points", "test_types"],
    )

    assert result.columns == ["words", "value"]
    assert result.fetchall() == [("one", 10.0), ("three", 30.0)]


def test_a_declared_stream_without_rows_is_an_empty_relation(log: EventLog) -> None:
    result = log.query("SELECT * FROM test_points", streams=["test_points"])

    assert result.fetchall() == []
    assert dict(zip(result.columns, result.types, strict=True))["value"] == "DOUBLE"


def test_an_unknown_stream_is_an_error_that_names_it(log: EventLog) -> None:
    with pytest.raises(NotFoundError, match="'nobody'"):
        log.rows("nobody")


def test_the_rows_of_a_result_are_an_arrow_stream(log: EventLog) -> None:
    import polars

    log.append("test_points", points(range(5)))
    result = log.query("SELECT step FROM test_points ORDER BY step", streams=["test_points"])
    log.append("test_points", points([5]))

    assert polars.DataFrame(result)["step"].to_list() == [0, 1, 2, 3, 4]


def test_a_range_of_time_opens_only_the_objects_that_meet_it(log: EventLog, monkeypatch: pytest.MonkeyPatch) -> None:
    for step in range(4):
        log.append("test_points", [point(step, occurred_at=step * 100), point(step, occurred_at=step * 100 + 50)])
        log.seal(all=True)
    log.append("test_points", [point(9, occurred_at=250)])
    opened: list[str] = []
    real = ObjectStore.cached_path

    def counted(store: ObjectStore, digest: str) -> Path:
        opened.append(digest)
        return real(store, digest)

    monkeypatch.setattr(ObjectStore, "cached_path", counted)
    found = log.rows("test_points", order="occurred_at", start=150, end=250)

    assert [row["occurred_at"] for row in found] == [150, 200]
    assert len(opened) == 2


@pytest.mark.parametrize(
    "sql",
    [
        "DROP TABLE x",
        "SELECT 1; SELECT 2",
        "PRAGMA version",
        "COPY test_points TO '/dev/null'",
        "SELEC",
        "SELECT nobody",
    ],
)
def test_what_is_not_one_fitting_select_is_refused(log: EventLog, sql: str) -> None:
    with pytest.raises(InvalidInputError):
        log.query(sql, streams=["test_points"])


def test_a_persons_sql_reads_the_streams_and_nothing_else(log: EventLog, tmp_path: Path) -> None:
    secret = tmp_path / "secret.csv"
    secret.write_text("a\n1\n", encoding="utf-8")
    log.append("test_points", points([1, 2]))
    log.seal(all=True)
    log.append("test_points", points([3]))

    assert log.query("SELECT sum(step) FROM test_points", streams=["test_points"], guarded=True).fetchall() == [(6,)]
    for sql in (f"SELECT * FROM '{secret}'", f"SELECT * FROM read_text('{secret}')", "SELECT * FROM glob('/*')"):
        with pytest.raises(InvalidInputError, match="disabled"):
            log.query(sql, streams=["test_points"], guarded=True)


def test_a_persons_sql_that_takes_too_long_is_stopped(log: EventLog, monkeypatch: pytest.MonkeyPatch) -> None:
    from headwater.errors import UnavailableError
    from headwater.events import query

    monkeypatch.setattr(query, "GUARDED_SECONDS", 0.2)
    sql = "SELECT count(*) FROM range(100000000) a, range(100000000) b WHERE a.range * b.range % 7 = 3"

    with pytest.raises(UnavailableError, match=r"longer than 0\.2 s"):
        log.query(sql, streams=["test_points"], guarded=True)
    assert threading.active_count() < 20


def test_a_variable_of_the_program_is_no_relation(log: EventLog) -> None:
    local_frame = {"a": [1]}

    with pytest.raises(InvalidInputError, match="local_frame"):
        log.query("SELECT * FROM local_frame", streams=["test_points"])
    assert local_frame


def test_a_stream_that_gained_a_column_reads_old_rows_with_null(
    stores: Stores, log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(STREAMS, "test_grows", raising=False)
    declare_stream("test_grows", {"a": "BIGINT"})
    log.append("test_grows", [{"a": 1}])
    log.seal(all=True)
    log.append("test_grows", [{"a": 2}])
    later = stores.open()
    monkeypatch.delitem(STREAMS, "test_grows")
    declare_stream("test_grows", {"a": "BIGINT", "b": "DOUBLE"})
    later.append("test_grows", [{"a": 3, "b": 0.5}])

    expected = [(1, None), (2, None), (3, 0.5)]
    sql = "SELECT a, b FROM test_grows ORDER BY a"
    assert later.query(sql, streams=["test_grows"]).fetchall() == expected
    log.seal(all=True)
    later.seal(all=True)
    assert later.query(sql, streams=["test_grows"]).fetchall() == expected
    later.close()
    monkeypatch.delitem(STREAMS, "test_grows")


def test_a_stream_that_no_imported_package_declares_is_sealed_and_read(
    stores: Stores, log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    schema: Schema = STREAMS["test_points"]
    log.append("test_points", points([1]))
    monkeypatch.delitem(STREAMS, "test_points")

    assert [seal.rows for seal in log.seal(all=True)] == [1]
    assert stores.steps(log) == [1]
    assert log.streams()["test_points"].columns == schema.columns


def test_a_changed_byte_in_an_open_segment_is_named_by_verify_and_refused_by_queries(
    folder_stores: Stores, folder_log: EventLog
) -> None:
    folder_log.append("test_points", points([1]))
    folder_log.append("test_points", points([2]))
    (segment,) = folder_stores.folder.glob("*/*.seg")
    data = bytearray(segment.read_bytes())
    data[data.index(b'"step":1')] ^= 1
    segment.write_bytes(data)

    assert [(f.kind, f.severity) for f in folder_log.verify()] == [("events.frame_damaged", "error")]
    with pytest.raises(CorruptError, match="hw verify"):
        folder_log.rows("test_points")
    assert folder_log.seal(all=True) == []
    assert segment.exists()


@pytest.mark.parametrize("stores", ["postgres"], indirect=True)  # a folder keeps segments
def test_a_changed_batch_in_the_database_is_named_by_verify_and_refused_by_queries(
    stores: Stores, log: EventLog
) -> None:
    log.append("test_points", points([1]))
    with stores.project.ledger.write() as tx:
        (row,) = tx.all("SELECT payload FROM event_tail")
        tx.execute("UPDATE event_tail SET payload = ?", (bytes(row.payload).replace(b'"step":1', b'"step":2'),))

    assert [f.kind for f in log.verify()] == ["events.batch_damaged"]
    with pytest.raises(CorruptError):
        log.rows("test_points")


def test_a_seal_that_lists_other_rows_than_its_object_holds_is_named(stores: Stores, log: EventLog) -> None:
    log.append("test_points", points([1, 2]))
    log.seal(all=True)
    assert list(log.verify()) == []
    with stores.project.ledger.write() as tx:
        tx.execute("UPDATE seals SET rows = 3")

    (finding,) = log.verify()
    assert finding.kind == "events.seal_unreadable"
    assert "where the ledger lists (3," in finding.message

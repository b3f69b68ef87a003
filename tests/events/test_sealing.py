"""Sealing: rows are in the tail or in a sealed object, never in both, never in neither."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from headwater import durable
from headwater.events import EventLog, sealing
from headwater.events.sealing import GATHER_AT
from tests.events.streams import Stores, point, points


def _tail_is_empty(stores: Stores) -> bool:
    if stores.postgres:
        with stores.project.ledger.read() as tx:
            return tx.one("SELECT 1 AS found FROM event_tail") is None
    return list(stores.folder.glob("*/*.seg")) == []


def test_sealed_rows_leave_the_tail_and_are_still_found(stores: Stores, log: EventLog) -> None:
    log.append("test_points", points(range(10)))
    log.append("test_types", [{"number": 1}])

    seals = log.seal(all=True)

    assert sorted((seal.stream, seal.rows) for seal in seals) == [("test_points", 10), ("test_types", 1)]
    assert _tail_is_empty(stores)
    log.append("test_points", points([10]))
    assert stores.steps(log) == list(range(11))
    assert len(log.rows("test_types")) == 1


def test_sealing_again_seals_nothing(log: EventLog) -> None:
    log.append("test_points", points([1]))

    assert len(log.seal(all=True)) == 1
    assert log.seal(all=True) == []


def test_the_segment_of_a_living_writer_is_left_alone(folder_stores: Stores, folder_log: EventLog) -> None:
    other = folder_stores.open()
    other.append("test_points", points([1]))
    folder_log.append("test_points", points([2]))

    assert folder_log.seal() == []
    assert [seal.rows for seal in folder_log.seal(all=True)] == [1]  # its own
    other.append("test_points", points([3]))
    other.close()
    assert [seal.rows for seal in folder_log.seal()] == [2]
    assert folder_stores.steps(folder_log) == [1, 2, 3]


def test_whoever_comes_next_seals_what_a_killed_writer_left(folder_stores: Stores) -> None:
    child = os.fork()
    if child == 0:
        writer = folder_stores.open()
        writer.append("test_points", points([1, 2, 3]))
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)

    log = folder_stores.open()
    assert [seal.rows for seal in log.seal()] == [3]
    assert folder_stores.steps(log) == [1, 2, 3]
    assert _tail_is_empty(folder_stores)
    log.close()


def test_opening_seals_what_many_dead_writers_left_and_only_then(folder_stores: Stores) -> None:
    for step in range(31):
        writer = folder_stores.open()
        writer.append("test_points", points([step]))
        writer.close()
    folder_stores.open().close()
    assert len(list(folder_stores.folder.glob("*/*.seg"))) == 31

    last = folder_stores.open()
    last.append("test_points", points([31]))
    last.close()
    folder_stores.open().close()

    assert list(folder_stores.folder.glob("*/*.seg")) == []
    assert folder_stores.steps() == list(range(32))


def test_a_large_segment_is_left_for_the_next_and_sealed_in_the_background(
    folder_stores: Stores, folder_log: EventLog
) -> None:
    folder_log._tail._rotate_bytes = 2000  # type: ignore[attr-defined]  # 16 MiB would take a while
    for step in range(100):
        folder_log.append("test_points", points([step]))
    folder_log.close()

    with folder_stores.project.ledger.read() as tx:
        assert tx.value("SELECT COUNT(*) FROM seals") > 0
    assert folder_stores.steps() == list(range(100))


def test_two_sealers_at_once_seal_each_row_once(stores: Stores, log: EventLog) -> None:
    log.append("test_points", points(range(100)))
    others = [stores.open() for _ in range(3)]
    if not stores.postgres:
        log.close()  # so that its segment is anybody's
    barrier = threading.Barrier(len(others))

    def seal(other: EventLog) -> None:
        barrier.wait()
        other.seal(all=True)

    threads = [threading.Thread(target=seal, args=(other,)) for other in others]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert stores.steps(others[0]) == list(range(100))
    with stores.project.ledger.read() as tx:
        assert tx.value("SELECT SUM(rows) FROM seals WHERE replaced_by IS NULL") == 100
    for other in others:
        other.close()


@pytest.mark.parametrize("step", ["write_payloads", "to_parquet"])
def test_a_sealer_that_comes_second_at_any_step_seals_nothing(
    stores: Stores, log: EventLog, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    log.append("test_points", points(range(10)))
    other = stores.open()
    real = getattr(sealing, step)

    def be_overtaken(*arguments: object) -> object:
        monkeypatch.setattr(sealing, step, real)
        other.seal(all=True)
        return real(*arguments)

    monkeypatch.setattr(sealing, step, be_overtaken)
    made = log.seal(all=True)

    # In a folder the first one holds the segment's lock, so the other finds nothing to seal.
    assert [seal.rows for seal in made] == ([] if stores.postgres else [10])
    assert stores.steps(log) == list(range(10))
    other.close()


@pytest.mark.long
def test_a_query_beside_a_sealing_loop_sees_every_row_once(stores: Stores, log: EventLog) -> None:
    sealer, reader = stores.open(), stores.open()
    stop = threading.Event()
    acknowledged = 0
    failures: list[BaseException] = []

    def write() -> None:
        nonlocal acknowledged
        while not stop.is_set():
            log.append("test_points", points([acknowledged]))
            acknowledged += 1

    def seal() -> None:
        while not stop.is_set():
            log.seal(all=True)
            sealer.seal(all=True)

    def guard(work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001  # whatever it is, the assertion below shows it
            failures.append(error)

    threads = [threading.Thread(target=guard, args=(work,)) for work in (write, seal)]
    for thread in threads:
        thread.start()
    queries = 0
    end = time.monotonic() + 4
    while time.monotonic() < end and not failures:
        before = acknowledged
        steps = stores.steps(reader)
        assert steps == list(range(len(steps)))
        assert len(steps) >= before
        queries += 1
    stop.set()
    for thread in threads:
        thread.join()
    sealer.close()

    assert failures == []
    assert queries >= 5
    with stores.project.ledger.read() as tx:
        assert tx.value("SELECT COUNT(*) FROM seals") >= 5
    assert stores.steps(reader) == list(range(acknowledged))
    reader.close()


def test_small_seals_are_gathered_into_one_object(stores: Stores, log: EventLog) -> None:
    for step in range(GATHER_AT):
        log.append("test_points", [point(step, occurred_at=1000 + step)])
        log.seal(all=True)

    with stores.project.ledger.read() as tx:
        live = tx.all("SELECT rows, first_at, last_at FROM seals WHERE replaced_by IS NULL")
    assert [tuple(row) for row in live] == [(GATHER_AT, 1000, 1000 + GATHER_AT - 1)]
    assert stores.steps(log) == list(range(GATHER_AT))
    assert list(log.verify()) == []


def test_a_segment_whose_seal_was_recorded_but_which_was_not_deleted_counts_once(
    folder_stores: Stores, folder_log: EventLog
) -> None:
    folder_log.append("test_points", points([1, 2]))
    (segment,) = folder_stores.folder.glob("*/*.seg")
    kept = segment.read_bytes()
    folder_log.seal(all=True)
    segment.write_bytes(kept)

    assert folder_stores.steps(folder_log) == [1, 2]
    assert folder_log.seal(all=True) == []
    assert not segment.exists()


def _points_passed(stores: Stores) -> list[str]:
    passed: list[str] = []
    durable.on_crash_point(passed.append)
    _append_and_seal(stores, -1)
    durable.on_crash_point(None)
    return passed


def _append_and_seal(stores: Stores, acknowledge: int) -> None:
    log = stores.open()
    for step in range(3):
        log.append("test_points", points([step]))
        if acknowledge >= 0:
            os.write(acknowledge, bytes([step]))
        if step == 1:
            log.seal(all=True)
    log.close()


def _kill_at(number: int) -> None:
    reached = 0

    def count(name: str) -> None:
        nonlocal reached
        if reached == number:
            os.kill(os.getpid(), signal.SIGKILL)
        reached += 1

    durable.on_crash_point(count)


@pytest.mark.parametrize("every", [3, pytest.param(1, marks=pytest.mark.long)])
def test_a_process_killed_at_any_point_loses_nothing_acknowledged_and_doubles_nothing(
    tmp_path: Path, every: int
) -> None:
    from headwater.project import create_project, open_project

    with create_project(tmp_path / "counted", actor="ann") as counted:
        total = len(_points_passed(Stores(counted)))
    assert total > 20
    for number in range(0, total, every):
        folder = tmp_path / f"killed-{number}"
        create_project(folder, actor="ann").close()
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            with open_project(folder) as project:
                _kill_at(number)
                _append_and_seal(Stores(project), writing)  # type: ignore[arg-type]  # opened by folder
            os._exit(0)
        os.close(writing)
        _, status = os.waitpid(child, 0)
        acknowledged = list(os.read(reading, 100))
        os.close(reading)
        assert os.WIFSIGNALED(status), f"point {number} of {total} was not reached"
        with open_project(folder) as project:
            _check_after_crash(Stores(project), acknowledged)  # type: ignore[arg-type]  # opened by folder


def _check_after_crash(stores: Stores, acknowledged: list[int]) -> None:
    log = stores.open()
    for _ in range(2):
        steps = stores.steps(log)
        # The append under way may have been whole on the disk before its acknowledgement was.
        assert steps in (acknowledged, [*acknowledged, len(acknowledged)])
        assert [finding for finding in log.verify() if finding.severity == "error"] == []
        log.seal(all=True)
    log.close()


@pytest.mark.parametrize("sealed", [True, False])
def test_a_writer_that_died_in_the_middle_of_a_frame_leaves_its_whole_frames(
    folder_stores: Stores, sealed: bool
) -> None:
    writer = folder_stores.open()
    writer.append("test_points", points([1]))
    (segment,) = folder_stores.folder.glob("*/*.seg")
    whole = segment.stat().st_size
    writer.append("test_points", points([2]))
    writer.close()
    complete = segment.read_bytes()

    for length in range(whole, len(complete), 7):
        segment.write_bytes(complete[:length])
        assert folder_stores.steps() == [1]
    log = folder_stores.open()
    assert [(f.kind, f.severity) for f in log.verify()] == [("events.torn_tail", "note")]
    if sealed:
        log.seal()
    assert folder_stores.steps(log) == [1]
    log.close()

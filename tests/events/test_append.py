"""Appending: what comes back, what is refused, and how many syncs it takes."""

from __future__ import annotations

import asyncio
import errno
import math
import os
import struct
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from headwater import durable
from headwater.canonical import float_bits
from headwater.errors import InvalidInputError, NotFoundError, StorageError, UnavailableError
from headwater.events import EventLog, declare_stream
from tests.events.streams import Stores, point, points

_PAYLOAD_NAN = struct.unpack("<d", struct.pack("<Q", 0xFFF8_0000_0000_1234))[0]
_DOUBLES = [0.1, -0.0, 0.0, math.inf, -math.inf, math.nan, _PAYLOAD_NAN, 5e-324, 1.7976931348623157e308]


@pytest.fixture
def syncs() -> Iterator[list[str]]:
    """The names of the crash points passed."""
    passed: list[str] = []
    durable.on_crash_point(passed.append)
    yield passed
    durable.on_crash_point(None)


@pytest.mark.parametrize("sealed", [False, True])
def test_doubles_come_back_with_the_bits_they_were_given(log: EventLog, sealed: bool) -> None:
    log.append("test_points", [point(step, value) for step, value in enumerate(_DOUBLES)])
    if sealed:
        assert len(log.seal(all=True)) == 1

    rows = log.rows("test_points", order="step")
    bits = log.query("SELECT value::BIT::BIGINT FROM test_points ORDER BY step", streams=["test_points"]).fetchall()

    assert [float_bits(row["value"]) for row in rows] == [float_bits(value) for value in _DOUBLES]
    assert [each for (each,) in bits] == [float_bits(value) for value in _DOUBLES]


@pytest.mark.parametrize("sealed", [False, True])
def test_each_type_comes_back_as_it_went_in(log: EventLog, sealed: bool) -> None:
    given: list[dict[str, Any]] = [
        {"words": 'é \u2028 \0 "quoted" \n line', "number": 2**63 - 1, "real": 1.5, "flag": True, "raw": b"\x00\xff"},
        {"words": "", "number": -(2**63), "real": None, "flag": False, "raw": b""},
        {"words": None, "number": None, "real": None, "flag": None, "raw": None},
    ]
    log.append("test_types", given)
    if sealed:
        log.seal(all=True)

    found = log.rows("test_types")

    assert sorted(map(_without_stamps, found), key=repr) == sorted(given, key=repr)
    assert all(row["occurred_at"] == row["recorded_at"] for row in found)


def _without_stamps(row: dict[str, object]) -> dict[str, object]:
    return {key: value for key, value in row.items() if key not in ("occurred_at", "recorded_at")}


def test_the_callers_time_is_kept_apart_from_ours(log: EventLog) -> None:
    log.append("test_points", [point(1, occurred_at=12345)])

    (row,) = log.rows("test_points")
    assert row["occurred_at"] == 12345
    assert row["recorded_at"] > 1_700_000_000_000_000


def test_numbers_of_numpy_are_taken_as_pythons(log: EventLog) -> None:
    log.append("test_points", [{"run": "r", "step": np.int32(7), "value": np.float32(0.5)}, point(8, np.float64(0.25))])

    assert [(row["step"], row["value"]) for row in log.rows("test_points", order="step")] == [(7, 0.5), (8, 0.25)]


@pytest.mark.parametrize(
    "row",
    [{"step": "one"}, {"step": 2**63}, {"nobody": 1}, {"run": "\ud800"}, {"value": "0.5"}, {"step": 1.5}],
)
def test_rows_that_do_not_fit_are_refused_and_none_of_the_batch_is_kept(log: EventLog, row: dict[str, object]) -> None:
    with pytest.raises(InvalidInputError, match="test_points"):
        log.append("test_points", [point(1), row])

    assert log.rows("test_points") == []


def test_a_row_larger_than_a_reader_takes_is_refused(log: EventLog) -> None:
    with pytest.raises(InvalidInputError, match="too large"):
        log.append("test_types", [{"words": "x" * (9 << 20)}])


def test_a_row_of_the_largest_size_can_be_sealed_and_read(log: EventLog) -> None:
    log.append("test_types", [{"words": "x" * ((8 << 20) - 200)}])
    log.seal(all=True)

    (row,) = log.rows("test_types")
    assert len(row["words"]) == (8 << 20) - 200


def test_an_undeclared_stream_takes_no_rows(log: EventLog) -> None:
    with pytest.raises(NotFoundError, match="no event stream 'nobody'"):
        log.append("nobody", [{}])


def test_a_stream_is_not_declared_twice_with_other_columns() -> None:
    with pytest.raises(RuntimeError, match="declared twice"):
        declare_stream("test_points", {"other": "BIGINT"})


def test_a_lone_append_waits_for_one_sync(folder_log: EventLog, syncs: list[str]) -> None:
    folder_log.append("test_points", points([1]))
    syncs.clear()
    folder_log.append("test_points", points([2]))

    assert syncs == ["events.append.write", "events.append.written", "events.append.sync", "events.append.synced"]


def test_the_name_of_a_new_segment_is_synced_before_its_first_rows_are_acknowledged(
    folder_log: EventLog, syncs: list[str]
) -> None:
    folder_log.append("test_points", points([1]))

    assert syncs.index("events.segment.synced_directory") < syncs.index("events.append.synced")
    assert syncs.index("events.segment.renamed") < syncs.index("events.segment.sync_directory")


def test_threads_that_append_together_share_syncs(
    folder_stores: Stores, folder_log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder_log.append("test_points", points([0]))
    counted = 0
    real = os.fdatasync

    def slow(descriptor: int) -> None:
        nonlocal counted
        counted += 1
        threading.Event().wait(0.01)
        real(descriptor)

    monkeypatch.setattr(os, "fdatasync", slow)
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda step: folder_log.append("test_points", points([step])), range(1, 161)))

    # 16 threads wait while one syncs: 160 appends fit in about 160 / 15 syncs.
    assert counted < 40
    assert folder_stores.steps(folder_log) == list(range(161))


def test_an_event_loop_waits_for_many_appends_at_once(stores: Stores, log: EventLog) -> None:
    async def append_all() -> None:
        futures = [log.append_soon("test_points", points([step])) for step in range(50)]
        await asyncio.gather(*map(asyncio.wrap_future, futures))

    asyncio.run(append_all())

    assert stores.steps(log) == list(range(50))


def test_a_loop_that_writes_itself_waits_for_one_sync_and_for_nobody(folder_log: EventLog, syncs: list[str]) -> None:
    folder_log.append("test_points", points([1]))
    syncs.clear()

    assert folder_log.append_here("test_points", points([2]))
    assert syncs == ["events.append.write", "events.append.written", "events.append.sync", "events.append.synced"]


def test_a_loop_writes_nothing_itself_while_another_writes(
    folder_stores: Stores, folder_log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder_log.append("test_points", points([0]))
    syncing, go_on, real = threading.Event(), threading.Event(), os.fdatasync

    def held(descriptor: int) -> None:
        syncing.set()
        go_on.wait(10)
        real(descriptor)

    monkeypatch.setattr(os, "fdatasync", held)
    other = threading.Thread(target=folder_log.append, args=("test_points", points([1])))
    other.start()
    assert syncing.wait(10)

    assert not folder_log.append_here("test_points", points([2]))
    go_on.set()
    other.join()
    assert folder_log.append_here("test_points", points([3]))
    assert folder_stores.steps(folder_log) == [0, 1, 3]


def test_a_loop_that_writes_itself_learns_that_the_sync_failed_and_the_next_write_works(
    folder_stores: Stores, folder_log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder_log.append("test_points", points([1]))

    def fail(descriptor: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fdatasync", fail)
        with pytest.raises(StorageError, match="Input/output error"):
            folder_log.append_here("test_points", points([2]))

    assert folder_log.append_here("test_points", points([3]))
    folder_log.append("test_points", points([4]))
    assert folder_stores.steps(folder_log) == [1, 3, 4]


def test_queued_rows_are_durable_when_waited_for(stores: Stores, log: EventLog) -> None:
    waits = [log.queue("test_points", points([step])) for step in range(3)]
    for wait in waits:
        wait()

    assert stores.steps(log) == [0, 1, 2]


def test_a_closed_log_takes_no_rows(stores: Stores) -> None:
    log = stores.open()
    future = log.append_soon("test_points", points([1]))
    log.close()

    assert future.done()
    with pytest.raises(UnavailableError, match="closed"):
        log.append("test_points", points([2]))
    assert stores.steps() == [1]


def test_rows_whose_sync_failed_are_not_acknowledged_and_later_ones_are(
    folder_stores: Stores, folder_log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder_log.append("test_points", points([1]))

    def fail(descriptor: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fdatasync", fail)
        with pytest.raises(StorageError, match="Input/output error"):
            folder_log.append("test_points", points([2]))
    folder_log.append("test_points", points([3]))

    assert folder_stores.steps(folder_log) == [1, 3]
    assert [finding for finding in folder_log.verify() if finding.severity == "error"] == []


def test_a_disk_that_fills_in_the_middle_of_a_frame_leaves_no_part_of_it(
    folder_stores: Stores, folder_log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder_log.append("test_points", points([1]))
    real = os.write

    def full_after_ten_bytes(descriptor: int, data: memoryview) -> int:
        if len(data) <= 10:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(descriptor, data[:10]) if len(data) % 2 else real(descriptor, data[: len(data) - 10])

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full_after_ten_bytes)
        with pytest.raises(StorageError, match="the disk is full"):
            folder_log.append("test_points", points([2]))
    folder_log.append("test_points", points([3]))
    folder_log.seal(all=True)

    assert folder_stores.steps(folder_log) == [1, 3]


def test_the_child_of_a_fork_appends_as_a_writer_of_its_own(stores: Stores, log: EventLog) -> None:
    log.append("test_points", points([1]))
    child = os.fork()
    if child == 0:
        log.append("test_points", points([2]))
        os._exit(0)
    os.waitpid(child, 0)
    log.append("test_points", points([3]))

    assert stores.steps(log) == [1, 2, 3]
    writers = {seal.rows for seal in log.seal(all=True)}
    assert writers == {3}
    assert stores.steps(log) == [1, 2, 3]

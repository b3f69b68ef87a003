"""What waits to be sent, over crashes, full disks, damage and two processes at once."""

from __future__ import annotations

import fcntl
import logging
import os
from pathlib import Path
from typing import Any

import pytest

from headwater.durable import on_crash_point
from headwater.errors import StorageError, UnavailableError
from headwater.serve.spool import Spool, read_records


def sent_from(folder: Path) -> list[bytes]:
    """Return what another process would send from a folder."""
    sent: list[bytes] = []
    Spool(folder).send(sent.append)
    return sent


def test_a_spool_keeps_what_was_not_taken_and_leaves_out_what_a_crash_cut_off(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    for number in range(5):
        spool.append(bytes([number]) * 10)
    taken: list[bytes] = []

    def take(record: bytes) -> None:
        if len(taken) == 3:
            raise UnavailableError("gone")
        taken.append(record)

    with pytest.raises(UnavailableError):
        spool.send(take)
    spool.append(b"later")
    sent: list[bytes] = []
    assert Spool(tmp_path).send(sent.append) == 5  # the file that is being written is its writer's
    assert spool.send(sent.append) == 1
    assert sent == [*(bytes([number]) * 10 for number in range(5)), b"later"]
    assert list(tmp_path.iterdir()) == []

    spool.append(b"whole")
    spool.close()
    file = next(tmp_path.iterdir())
    whole = file.read_bytes()
    for cut in range(len(whole)):
        assert list(read_records(whole + whole[:cut], "x")) == [b"whole"]
    assert list(read_records(whole + bytes(100), "x")) == [b"whole"]
    flipped = bytearray(whole * 2)
    flipped[-1] ^= 1
    assert list(read_records(bytes(flipped), "x")) == [b"whole"]


def test_a_file_that_a_sender_removed_before_it_was_locked_takes_no_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = fcntl.flock
    races: list[list[bytes]] = []

    def late(file: int, how: int) -> None:
        if how == fcntl.LOCK_EX and not races:
            races.append(sent_from(tmp_path))  # finds the file empty and belonging to nobody
        real(file, how)

    monkeypatch.setattr(fcntl, "flock", late)
    spool = Spool(tmp_path)
    spool.append(b"acknowledged")
    spool.close()

    assert races == [[]]
    assert sent_from(tmp_path) == [b"acknowledged"]


def test_what_a_failed_write_left_does_not_hide_the_records_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = Spool(tmp_path)
    spool.append(b"first")
    real = os.write

    def torn(file: int, data: Any) -> int:
        real(file, bytes(data)[:6])
        raise OSError(28, "No space left on device")

    def stuck(file: int, size: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", torn)
        patch.setattr(os, "ftruncate", stuck)
        with pytest.raises(StorageError, match="disk is full"):
            spool.append(b"refused")
    spool.append(b"second")
    spool.close()

    assert sent_from(tmp_path) == [b"first", b"second"]


def test_a_damaged_file_is_kept_for_people_and_sent_no_more(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    spool = Spool(tmp_path)
    spool.append(b"first", b"second", b"third")
    spool.close()
    file = next(tmp_path.iterdir())
    data = bytearray(file.read_bytes())
    data[8 + len(b"first") + 8] ^= 1  # in the middle: the third record is whole
    file.write_bytes(bytes(data))

    with caplog.at_level(logging.ERROR):
        assert sent_from(tmp_path) == [b"first"]

    assert [each.name for each in tmp_path.iterdir()] == [f"{file.stem}.damaged"]
    assert (tmp_path / f"{file.stem}.damaged").read_bytes() == bytes(data)
    assert "1 records were sent" in caplog.text
    assert sent_from(tmp_path) == []


def test_a_file_that_grew_large_is_followed_by_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headwater.serve.spool.LARGEST_BYTES", 50)
    spool = Spool(tmp_path)
    records = [b"%d" % number * 30 for number in range(6)]
    for record in records:
        spool.append(record)

    assert len(list(tmp_path.iterdir())) == 3  # of two records each, the second of which is beyond 50 bytes
    assert sent_from(tmp_path) == records


def write_until_killed(folder: Path, wanted: int) -> tuple[list[str], bool]:
    """Write and send in a child that ends at its crash point number ``wanted``; return what it said, and if it did."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        seen = 0

        def kill(name: str) -> None:
            nonlocal seen
            seen += 1
            if seen == wanted:
                os._exit(9)

        on_crash_point(kill)
        spool = Spool(folder)
        for number in range(4):
            spool.append(b"%d" % number)
            os.write(writer, b"%d\n" % number)
            if number == 1:
                spool.send(lambda record: refuse_or_say(spool, writer, record))
        os._exit(0)
    os.close(writer)
    with open(reader, "rb") as said:
        lines = said.read().decode().split()
    return lines, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9


def refuse_or_say(spool: Spool, writer: int, record: bytes) -> None:
    """Refuse the first record for good, and say of another that it was sent."""
    if record == b"0":
        spool.refuse(record)
        return
    os.write(writer, b"sent-%b\n" % record)


def test_a_writer_killed_anywhere_loses_nothing_that_it_acknowledged(tmp_path: Path) -> None:
    points = 0
    while True:
        points += 1
        folder = tmp_path / str(points)
        said, killed = write_until_killed(folder, points)
        acknowledged = {line for line in said if line.isdigit()}
        sent = {line.removeprefix("sent-") for line in said if line.startswith("sent-")}
        rest: list[bytes] = []
        if folder.exists():
            Spool(folder).send(rest.append)
        refused = {each for file in folder.glob("*.refused") for each in read_records(file.read_bytes(), "x")}
        found = sent | {each.decode() for each in (*rest, *refused)}

        assert acknowledged <= found, f"at point {points}"
        # One may be whole on the disk before it is acknowledged.
        assert len(found - acknowledged) <= 1
        if not killed:
            break
    assert points > 20

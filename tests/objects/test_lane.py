"""Calls that run one after the other beside whoever hands them over."""

from __future__ import annotations

import threading
from functools import partial

import pytest

from headwater.objects.lane import Lane

PATIENCE_S = 20


def test_calls_run_in_the_order_given_and_are_over_after_waiting() -> None:
    lane, ran = Lane(2, "test"), list[int]()
    for number in range(50):
        lane.run(partial(ran.append, number))
    lane.wait()

    assert ran == list(range(50))
    lane.close()


def test_no_more_calls_wait_than_may() -> None:
    lane, go_on, handed = Lane(2, "test"), threading.Event(), threading.Event()

    def patient() -> None:
        go_on.wait(PATIENCE_S)

    lane.run(patient)

    def hand_over() -> None:
        for _ in range(4):
            lane.run(lambda: None)
        handed.set()

    beside = threading.Thread(target=hand_over)
    beside.start()

    assert not handed.wait(0.2)
    go_on.set()
    assert handed.wait(PATIENCE_S)
    beside.join()
    lane.close()


def test_what_a_call_raised_is_raised_where_calls_come_from_and_nothing_runs_after_it() -> None:
    lane, ran = Lane(4, "test"), list[str]()

    def fails() -> None:
        raise OSError("the disk is full")

    lane.run(fails)
    with pytest.raises(OSError, match="the disk is full"):
        lane.wait()
    with pytest.raises(OSError, match="the disk is full"):
        lane.run(lambda: ran.append("after the failure"))
    lane.close()

    assert ran == []


def test_closing_drops_what_waits_and_returns_when_what_runs_has_ended() -> None:
    lane, begun, ran = Lane(4, "test"), threading.Event(), list[str]()

    def slow() -> None:
        begun.set()
        threading.Event().wait(0.1)
        ran.append("was running")

    lane.run(slow)
    lane.run(lambda: ran.append("was waiting"))
    begun.wait(PATIENCE_S)
    lane.close()

    assert ran == ["was running"]

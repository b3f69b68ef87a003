from __future__ import annotations

import pytest

from headwater.durable import Pace


def test_slow_syncs_are_left_to_threads_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("headwater.durable.time.monotonic", lambda: now)
    pace = Pace(slow_s=0.002, truce_s=1.0)

    for _ in range(100):
        pace.took(0.0015)
    assert pace.quick()
    pace.took(0.005)  # one of eight moves the usual by an eighth: to 1.94 ms
    assert pace.quick()
    pace.took(0.005)
    assert not pace.quick()
    now = 101.0
    assert pace.quick()


def test_a_disk_that_stalls_is_left_alone_for_twenty_times_as_long(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("headwater.durable.time.monotonic", lambda: now)
    pace = Pace(slow_s=0.002, truce_s=1.0)

    pace.took(0.5)

    now = 109.9
    assert not pace.quick()
    now = 110.0
    assert pace.quick()

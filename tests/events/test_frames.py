"""Frames: what is whole, what is torn, what is damaged."""

from __future__ import annotations

import pytest

from headwater.events.frames import HEADER_BYTES, ROWS, pack, preamble, scan
from headwater.events.schema import Payload


def _frame(text: str) -> bytes:
    data = f'{{"a":"{text}"}}\n'.encode()
    return pack(Payload(data=data, rows=1, first_at=1, last_at=2))


def test_a_tail_torn_at_any_byte_is_cut_at_the_last_whole_frame() -> None:
    whole = preamble("{}") + _frame("first") + _frame("second")
    last = _frame("third")

    for kept in range(len(last)):
        found = scan(whole + last[:kept])
        assert [frame.payload.rows for frame in found.frames] == [0, 1, 1]
        assert found.end == len(whole)
        assert found.damaged == []
    assert len(scan(whole + last).frames) == 4


def test_zeros_that_a_power_cut_left_at_the_end_are_cut() -> None:
    whole = preamble("{}") + _frame("first")

    found = scan(whole + bytes(4096))

    assert (len(found.frames), found.end, found.damaged) == (2, len(whole), [])


@pytest.mark.parametrize("position", [0, 5, 9, 20, 37, HEADER_BYTES, HEADER_BYTES + 3])
def test_a_changed_byte_before_a_whole_frame_is_damage_and_not_a_torn_tail(position: int) -> None:
    head, first, second = preamble("{}"), _frame("first"), _frame("second")
    data = bytearray(head + first + second)
    data[len(head) + position] ^= 0x10

    found = scan(bytes(data))

    assert found.damaged == [len(head)]
    assert [frame.payload.data for frame in found.frames if frame.magic == ROWS] == [second[HEADER_BYTES:]]


def test_a_row_that_holds_the_magic_word_is_no_frame() -> None:
    data = preamble("{}") + _frame("HWEF HWES HWEF")

    assert len(scan(data).frames) == 2
    assert scan(data[:-1]).damaged == []

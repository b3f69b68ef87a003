from __future__ import annotations

import pytest

from headwater.errors import InvalidInputError
from headwater.ids import ALPHABET, encode, is_id, made_at_us, new_id, parse


def test_an_id_is_its_128_bits_in_crockfords_base_32() -> None:
    # Five bits a character, the last character the last five bits.
    assert encode(0) == "0" * 26
    assert encode(31) == "0" * 25 + "Z"
    assert encode(32) == "0" * 24 + "10"
    assert encode(2**128 - 1) == "7" + "Z" * 25
    assert encode(int("".join(f"{number:05b}" for number in range(26)), 2)) == ALPHABET[:26]


def test_ids_sort_by_the_microsecond_they_were_made_in() -> None:
    made = [new_id(at) for at in (1_700_000_000_000_000, 1_700_000_000_000_001, 1_700_000_000_001_000)]

    assert made == sorted(made)
    assert made_at_us(made[2]) == 1_700_000_000_001_000


def test_look_alikes_are_read_as_what_they_look_like() -> None:
    made = new_id(1_700_000_000_000_000)

    assert parse(made.lower().replace("0", "o").replace("1", "l")) == made
    assert is_id(made)
    with pytest.raises(InvalidInputError, match="26 characters"):
        parse("U" * 26)

"""Sizes as people write them."""

from __future__ import annotations

import click
import pytest

from headwater.cli.sizes import ByteSize


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10GiB", 10 * 2**30),
        ("10G", 10 * 2**30),
        ("500 MB", 500_000_000),
        ("1.5k", 1536),
        ("7", 7),
        ("0", 0),
        ("3b", 3),
    ],
)
def test_a_size_is_the_number_of_bytes(text: str, expected: int) -> None:
    assert ByteSize().convert(text, None, None) == expected


@pytest.mark.parametrize("text", ["", "GiB", "10 parsecs", "-1"])
def test_what_is_no_size_is_refused_with_how_to_write_one(text: str) -> None:
    with pytest.raises(click.BadParameter, match="write 10GiB"):
        ByteSize().convert(text, None, None)

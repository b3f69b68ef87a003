"""Where large objects are cut."""

from __future__ import annotations

import random
from array import array
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st

from headwater.objects.chunker import (
    FIRST_FACTORS,
    FIRST_PASSES,
    SECOND_FACTORS,
    STANDARD,
    WINDOW,
    Cutter,
    Cutting,
    offered_cuts,
)
from headwater.objects.chunks import blocks_of, cut_stream, list_bytes, parse_list
from tests.objects.places import noise

SMALL = Cutting(shortest=64, mean=256, longest=1024)
data_of_many_kinds = st.one_of(
    st.binary(max_size=4000),
    st.builds(noise, st.integers(0, 20_000), st.integers(0, 99)),
    st.builds(lambda byte, count: bytes([byte]) * count, st.integers(0, 255), st.integers(0, 20_000)),
)


def chunks(data: bytes, cutting: Cutting = SMALL, block_bytes: int = 4096) -> list[bytes]:
    blocks = (data[i : i + block_bytes] for i in range(0, len(data), block_bytes))
    with ThreadPoolExecutor(2) as pool:
        return [chunk for _, chunk in cut_stream(blocks, blake3(), pool, cutting)]


def slow_cuts(data: bytes, mean: int) -> list[int]:
    """The definition, byte by byte."""
    return [
        end + 1
        for end in range(WINDOW - 1, len(data))
        if first_hash(data[end - 7 : end + 1]) == FIRST_PASSES
        and second_hash(data[end - 31 : end + 1]) < 2**32 * 256 // mean
    ]


def first_hash(window: bytes) -> int:
    hashes, step = list(window), 1
    for factor in FIRST_FACTORS:
        hashes = [(each * factor + (hashes[i - step] if i >= step else 0)) % 256 for i, each in enumerate(hashes)]
        if step == 2:
            hashes = [each ^ each >> 4 for each in hashes]
        step *= 2
    return hashes[-1]


def second_hash(window: bytes) -> int:
    words = [int.from_bytes(window[i : i + 8], "little") for i in (0, 8, 16, 24)]
    hashed = sum(word * factor for word, factor in zip(words, SECOND_FACTORS[:4], strict=True)) % 2**64
    hashed ^= hashed >> 32
    return hashed * SECOND_FACTORS[4] % 2**64 >> 32


@given(data_of_many_kinds)
@settings(deadline=None)
def test_chunks_are_the_stream_in_order_and_of_the_sizes_promised(data: bytes) -> None:
    found = chunks(data)

    assert b"".join(found) == data
    assert all(SMALL.shortest <= len(chunk) <= SMALL.longest for chunk in found[:-1])
    assert all(0 < len(chunk) <= SMALL.longest for chunk in found[-1:])


@given(data_of_many_kinds, st.integers(20, 5000), st.integers(200, 5000))
@settings(deadline=None, max_examples=50)
def test_cuts_do_not_depend_on_how_the_stream_is_read(data: bytes, one: int, other: int) -> None:
    assert chunks(data, block_bytes=one) == chunks(data, block_bytes=other)


@given(st.builds(noise, st.integers(20_000, 60_000), st.integers(0, 999)), st.data())
@settings(deadline=None)
def test_an_insertion_moves_few_boundaries(data: bytes, draw: st.DataObject) -> None:
    at = draw.draw(st.integers(0, len(data)))
    inserted = draw.draw(st.binary(min_size=1, max_size=300))
    before = chunks(data)
    after = chunks(data[:at] + inserted + data[at:])

    # The chunk that was hit and a few after it, until a boundary falls on an old one again.
    assert len(set(after) - set(before)) <= 12


def test_a_chunk_before_the_change_never_moves() -> None:
    data = noise(200_000)
    before = chunks(data)
    untouched = sum(len(chunk) for chunk in before[:50])

    assert chunks(data[: untouched + 100] + b"!" + data[untouched + 100 :])[:50] == before[:50]


@given(
    st.builds(noise, st.integers(0, 3000), st.integers(0, 99)),
    st.integers(256, 600),
    st.integers(0, 300),
    st.integers(1, 1000),
)
@settings(deadline=None, max_examples=30)
def test_cuts_are_offered_where_both_hashes_agree(data: bytes, mean: int, read: int, start: int) -> None:
    slow = slow_cuts(data, mean)

    assert list(offered_cuts(b"", data, mean)) == slow
    assert [read + cut for cut in offered_cuts(data[:read], data[read:], mean)] == [cut for cut in slow if cut > read]
    assert [read + cut for cut in offered_cuts(data[:read], data[read:], mean, start)] == [
        cut for cut in slow if cut >= read + start
    ]


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("noise", lambda: noise(2**21)),
        ("four letters", lambda: bytes(random.Random(1).choices(b"ACGT", k=2**21))),
        ("two letters", lambda: bytes(random.Random(1).choices(b"01", k=2**21))),
        ("even bytes", lambda: bytes(random.Random(1).choices(range(0, 256, 2), k=2**21))),
        ("floats", lambda: array("f", map(random.Random(1).gauss, [0.0] * 2**19)).tobytes()),
        ("counted integers", lambda: array("q", range(2**18)).tobytes()),
        ("a table", lambda: "".join(f"{i},2024-01-{i % 30:02d},label{i % 7}\n" for i in range(90_000)).encode()),
    ],
)
def test_data_of_many_kinds_is_cut_about_as_often_as_noise(kind: str, data: Callable[[], bytes]) -> None:
    made = data()

    offered = len(list(offered_cuts(b"", made, 2**12)))

    assert 0.7 < offered / (len(made) / 2**12) < 1.4, kind


def test_a_run_of_one_byte_is_offered_no_cut_whichever_it_is() -> None:
    assert [byte for byte in range(256) if list(offered_cuts(b"", bytes([byte]) * 1000, 256))] == []


def test_the_standard_cuts_are_what_they_always_were() -> None:
    # Frozen when the format was made: other cuts would end the sharing of chunks with what is stored.
    found = chunks(noise(12 * 2**20), STANDARD, 2**22)

    assert [len(chunk) for chunk in found] == [
        1072317,
        1803564,
        2388949,
        805688,
        2039815,
        1663786,
        1575674,
        1233119,
    ]


def first_of(offered: Sequence[int]) -> Callable[[int], int | None]:
    return lambda start: min((cut for cut in offered if cut >= start), default=None)


@given(st.lists(st.lists(st.integers(1, 500), unique=True), max_size=6))
def test_a_cutter_never_cuts_out_of_order(offers: Sequence[Sequence[int]]) -> None:
    cutter = Cutter(Cutting(shortest=50, mean=100, longest=200))
    position, cuts = 0, []
    for offered in offers:
        cuts += [position + cut for cut in cutter.choose(500, first_of(offered))]
        position += 500

    sizes = [end - start for start, end in zip([0, *cuts], cuts, strict=False)]
    assert all(50 <= size <= 200 for size in sizes)


@given(st.lists(st.tuples(st.binary(min_size=32, max_size=32), st.integers(0, 2**32 - 1)), max_size=20))
def test_a_chunk_list_comes_back(chunks: list[tuple[bytes, int]]) -> None:
    found = parse_list(list_bytes(chunks))

    assert [(chunk.digest, chunk.size) for chunk in found] == chunks
    assert [chunk.start for chunk in found] == [sum(size for _, size in chunks[:n]) for n in range(len(chunks))]


def test_blocks_of_a_stream_that_answers_in_drops_are_full() -> None:
    drops: Iterator[bytes] = iter([b"a" * 1000] * 9000)

    assert [len(block) for block in blocks_of(lambda count: next(drops, b""))] == [4_195_000, 4_195_000, 610_000]

"""Where large objects are cut."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st

from headwater.objects.chunker import STANDARD, WINDOW, Cutter, Cutting, gear_table, offered_cuts
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
    table = gear_table().tolist()
    cuts = []
    for end in range(len(data)):
        hashed = sum(table[data[end - j]] << j for j in range(min(WINDOW, end + 1))) % 2**32
        if hashed < 2**32 // mean:
            cuts.append(end + 1)
    return cuts


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


@given(st.builds(noise, st.integers(0, 3000), st.integers(0, 99)), st.integers(2, 300))
@settings(deadline=None, max_examples=30)
def test_doubling_windows_is_the_gear_hash_by_its_definition(data: bytes, mean: int) -> None:
    assert offered_cuts(b"", data, mean) == slow_cuts(data, mean)


def test_the_standard_cuts_are_what_they_always_were() -> None:
    # Frozen when the format was made: other cuts would end the sharing of chunks with what is stored.
    found = chunks(noise(12 * 2**20), STANDARD, 2**22)

    assert [len(chunk) for chunk in found] == [
        1314821,
        343115,
        1125936,
        1337739,
        455435,
        1156930,
        1196295,
        1087997,
        725458,
        3586078,
        253108,
    ]


@given(st.lists(st.lists(st.integers(1, 500), unique=True), max_size=6))
def test_a_cutter_never_cuts_out_of_order(offers: Sequence[Sequence[int]]) -> None:
    cutter = Cutter(Cutting(shortest=50, mean=100, longest=200))
    position, cuts = 0, []
    for offered in offers:
        cuts += [position + cut for cut in cutter.choose(500, sorted(offered))]
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

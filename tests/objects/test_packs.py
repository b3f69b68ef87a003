"""The pack format."""

from __future__ import annotations

import struct

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from headwater.errors import CorruptError
from headwater.objects import ObjectStore
from headwater.objects.packs import TRAILER, Entries, Footer, header_bytes, parse_tail, trailer_bytes
from headwater.objects.values import CHUNKED, RAW, Location
from tests.objects.places import Place, flipped

offsets = st.integers(0, 2**63)
rows = st.tuples(offsets, offsets, offsets, st.one_of(st.none(), st.binary(min_size=32, max_size=32)))


@given(st.dictionaries(st.binary(min_size=32, max_size=32), rows, max_size=30))
def test_a_footer_comes_back_sorted_by_digest(entries: dict[bytes, tuple[int, int, int, bytes | None]]) -> None:
    written = Entries()
    for digest, (offset, length, size, check) in entries.items():
        written.add(digest, offset, length, size, RAW if check is None else CHUNKED, check)
    found = list(Footer(written.footer()).locations("p"))

    assert [digest for digest, _ in found] == sorted(entries)
    for digest, location in found:
        offset, length, size, check = entries[digest]
        assert location == Location("p", offset, length, size, RAW if check is None else CHUNKED, check)


@given(st.integers(0, 3), st.data())
def test_no_footer_with_a_flipped_bit_is_believed(count: int, draw: st.DataObject) -> None:
    entries = Entries()
    for number in range(count):
        entries.add(bytes([number]) * 32, 16, 1, 1, RAW, None)
    footer = entries.footer()
    tail = footer + trailer_bytes(footer, blake3(footer).digest())
    pack = blake3(footer).hexdigest()
    assert isinstance(parse_tail(tail, pack, len(tail) + 16), Footer)
    at = draw.draw(st.integers(0, len(tail) - 1))

    with pytest.raises(CorruptError, match=pack):
        parse_tail(flipped(tail, at), pack, len(tail) + 16)


def test_a_pack_can_be_read_without_us(folder_place: Place, folder_store: ObjectStore) -> None:
    with folder_store.batch() as batch:
        for data in (b"alpha", b"beta", b"gamma"):
            batch.put(data)
    (pack,) = folder_place.packs()
    data = folder_place.pack_path(pack).read_bytes()

    # By the description in packs.py and struct alone.
    assert data[:16] == b"HWPACK\r\n" + struct.pack("<II", 1, 0) == header_bytes()
    length, digest, magic = struct.unpack("<Q32s8s", data[-48:])
    assert magic == b"\r\nKCAPWH"
    footer = data[-48 - length : -48]
    assert blake3(footer).digest() == digest == bytes.fromhex(pack)
    count, lists = struct.unpack_from("<QQ", footer)
    assert (count, lists) == (3, 0)
    digests = [footer[16 + 32 * i :][:32] for i in range(3)]
    starts = struct.unpack_from("<3Q", footer, 16 + 96)
    sizes = struct.unpack_from("<3Q", footer, 16 + 96 + 48)
    bodies = {digest: data[start : start + size] for digest, start, size in zip(digests, starts, sizes, strict=True)}
    assert sorted(bodies.values()) == [b"alpha", b"beta", b"gamma"]
    assert all(blake3(body).digest() == digest for digest, body in bodies.items())
    assert footer[16 + 96 + 72 :] == bytes(3)


def test_the_same_objects_in_the_same_order_are_the_same_pack(folder_place: Place) -> None:
    first, second = folder_place.open("one"), folder_place.open("two")
    a, b = first.batch(), second.batch()
    with a, b:
        assert a.put(b"same") == b.put(b"same")

    assert len(folder_place.packs()) == 1


def test_a_trailer_has_the_size_that_the_description_says() -> None:
    assert TRAILER.size == 48

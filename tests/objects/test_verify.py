"""Planted damage is found and named, and never handed out."""

from __future__ import annotations

import random

import pytest

from headwater.errors import CorruptError
from headwater.objects import ObjectStore
from headwater.objects.values import WHOLE_BYTES
from tests.objects.places import Place, flipped, noise


def filled(store: ObjectStore) -> dict[str, bytes]:
    """One pack of twenty small objects and a large one."""
    with store.batch() as batch:
        data = {batch.put(each): each for each in (noise(500 + number, number) for number in range(20))}
        large = noise(WHOLE_BYTES + 2**20, 99)
        data[batch.put(large)] = large
    return data


def test_a_sound_store_has_no_findings(store: ObjectStore) -> None:
    filled(store)

    assert list(store.verify()) == []


def test_any_flipped_byte_is_found_and_the_pack_or_object_named(place: Place, store: ObjectStore) -> None:
    data = filled(store)
    (pack,) = place.packs()
    size = store.pending()[0].size
    rng = random.Random(place.kind)
    # Each part of the file, then anywhere.
    spots = [0, 15, 16, size - 1, size - 20, size - 45, size - 48 - 10, *(rng.randrange(size) for _ in range(8))]
    for at in spots[:: 4 if place.kind == "s3" else 1]:
        place.change(pack, lambda found, at=at: flipped(found, at))  # type: ignore[misc]  # bound at once
        findings = list(store.verify())
        named = {finding.what for finding in findings}

        assert findings, f"byte {at} of {size}"
        assert all(finding.severity == "error" for finding in findings)
        assert named <= {pack, *data} | chunk_digests(store, data)
        for digest, content in data.items():
            try:
                assert store.get(digest) == content
            except CorruptError:
                assert digest in named, f"byte {at} of {size}"
        place.change(pack, lambda found, at=at: flipped(found, at))  # type: ignore[misc]  # bound at once
    assert list(store.verify()) == []


def chunk_digests(store: ObjectStore, data: dict[str, bytes]) -> set[str]:
    large = bytes.fromhex(max(data, key=lambda digest: len(data[digest])))
    return {chunk.digest.hex() for chunk in store._reader.chunks(large, store.locate(large))}


def test_damaged_bytes_are_never_handed_out(place: Place, store: ObjectStore) -> None:
    small, large = noise(500, 1), noise(3 * WHOLE_BYTES, 2)
    with store.batch() as batch:
        one, other = batch.put(small), batch.put(large)
    (pack,) = place.packs()
    at = 16 + 250
    place.change(pack, lambda found: flipped(found, at))
    with pytest.raises(CorruptError, match=one):
        store.get(one)
    with pytest.raises(CorruptError, match=one):
        store.get(one, 400, 401)  # not the flipped byte, but the same entry
    with pytest.raises(CorruptError, match=one):
        list(store.get_many([other, one]))
    with pytest.raises(CorruptError, match=one), store.open(one) as file:
        file.read(1)
    with pytest.raises(CorruptError, match=one):
        store.cached_path(one)
    assert store.get(other) == large

    place.change(pack, lambda found: flipped(found, at + 2 * WHOLE_BYTES))
    assert store.get(other, 0, 1000) == large[:1000]  # its chunk is sound
    with pytest.raises(CorruptError):
        store.get(other)


@pytest.mark.parametrize("keep", [0, 10, 16, 64, 3000, -1])
def test_a_pack_cut_short_is_named(place: Place, store: ObjectStore, keep: int) -> None:
    filled(store)
    (pack,) = place.packs()
    place.change(pack, lambda found: found[:keep])

    findings = list(store.verify())
    assert pack in {finding.what for finding in findings}
    assert any("should have" in finding.message for finding in findings)


def test_a_pack_with_bytes_after_its_end_is_named(place: Place, store: ObjectStore) -> None:
    filled(store)
    (pack,) = place.packs()
    place.change(pack, lambda found: found + b"more")

    assert pack in {finding.what for finding in store.verify()}


def test_a_missing_pack_is_named_and_its_objects_say_so(place: Place, store: ObjectStore) -> None:
    with store.batch() as batch:
        gone = batch.put(b"soon gone")
    kept = store.put(b"kept")
    (pack, _) = (record.id for record in store.pending())
    place.remove(pack)

    assert pack in {finding.what for finding in store.verify()}
    with pytest.raises(CorruptError, match=f"pack {pack} is missing"):
        store.get(gone)
    assert store.get(kept) == b"kept"


def test_a_large_object_whose_chunk_is_damaged_is_named(place: Place, store: ObjectStore) -> None:
    digest = store.put(noise(3 * WHOLE_BYTES))
    (pack,) = place.packs()
    place.change(pack, lambda found: flipped(found, 5 * 2**20))

    findings = {finding.what: finding.message for finding in store.verify()}
    assert "cannot be read whole" in findings[digest]


def test_a_pack_cut_short_is_healed_by_putting_its_objects_again(folder_place: Place) -> None:
    folder_place.open("first").put(b"once more")
    (pack,) = folder_place.packs()
    folder_place.change(pack, lambda found: found[:-3])
    digest = folder_place.open("second").put(b"once more")

    assert folder_place.open("third").get(digest) == b"once more"
    assert list(folder_place.open("third").verify()) == []


def test_a_pack_that_no_ledger_lists_is_a_note(place: Place, store: ObjectStore) -> None:
    store.put(b"of a process that was killed before it recorded the fact")
    (pack,) = place.packs()
    other = place.open("elsewhere")
    other._made.clear()
    other.packs_since = lambda seq: []
    other._index._opened()
    other._index.forget(pack)

    (finding,) = other.verify()
    assert (finding.what, finding.severity) == (pack, "note")

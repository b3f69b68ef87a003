"""A byte that flipped: found by a read or by verify, healed when the same bytes are put again."""

from __future__ import annotations

import pytest

from headwater.errors import CorruptError
from headwater.objects import ObjectStore
from headwater.objects.values import WHOLE_BYTES
from tests.objects.places import Place, flipped, noise


def errors(store: ObjectStore) -> list[str]:
    return [finding.message for finding in store.verify() if finding.severity == "error"]


@pytest.mark.parametrize("found_by", ["read", "verify"])
def test_a_damaged_object_is_whole_again_when_it_is_put_again(place: Place, store: ObjectStore, found_by: str) -> None:
    small, other = noise(500, 1), noise(700, 2)
    with store.batch() as batch:
        digest, kept = batch.put(small), batch.put(other)
    (pack,) = place.packs()
    place.change(pack, lambda found: flipped(found, 16 + 250))
    if found_by == "read":
        with pytest.raises(CorruptError, match="Put the same bytes again"):
            store.get(digest)
    else:
        assert len(errors(store)) == 1
    with pytest.raises(CorruptError, match=digest):  # still told as damaged, not as never there
        store.get(digest)
    assert store.missing([digest, kept]) == [digest]

    assert store.put(small) == digest

    assert store.get(digest) == small
    assert store.missing([digest, kept]) == []
    assert errors(store) == []
    assert [finding.severity for finding in store.verify()] == ["note"]
    assert place.open("fresh").get(kept) == other


def test_a_pack_of_the_same_entries_does_not_take_the_damaged_ones_name(place: Place, store: ObjectStore) -> None:
    digest = store.put(b"alone in its pack")
    (pack,) = place.packs()
    place.change(pack, lambda found: flipped(found, 20))
    with pytest.raises(CorruptError):
        store.get(digest)

    store.put(b"alone in its pack")

    assert len(place.packs()) == 2
    assert store.get(digest) == b"alone in its pack"


def test_a_damaged_chunk_is_whole_again_when_the_file_is_put_again(place: Place, store: ObjectStore) -> None:
    large = noise(3 * WHOLE_BYTES)
    digest = store.put(large)
    (pack,) = place.packs()
    place.change(pack, lambda found: flipped(found, 5 * 2**20))
    with pytest.raises(CorruptError):
        store.get(digest)

    store.put(large)

    assert store.get(digest) == large
    assert errors(store) == []


def test_what_was_not_noticed_is_not_written_again(place: Place, store: ObjectStore) -> None:
    store.put(b"sound")
    store.put(b"sound")

    assert len(place.packs()) == 1

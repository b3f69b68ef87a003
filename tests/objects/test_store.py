"""What every store does, wherever it keeps its packs."""

from __future__ import annotations

import io
import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from blake3 import blake3

from headwater.errors import InvalidInputError, NotFoundError
from headwater.objects import ObjectStore
from headwater.objects.values import PACK_BYTES, WHOLE_BYTES
from tests.objects.places import Place, noise

ABSENT = "ab" * 32


@pytest.mark.parametrize("data", [b"", b"x", noise(5000), noise(WHOLE_BYTES), noise(WHOLE_BYTES + 1)])
def test_what_was_put_comes_back_under_its_digest(store: ObjectStore, data: bytes) -> None:
    digest = store.put(data)

    assert digest == blake3(data).hexdigest()
    assert store.get(digest) == data
    assert store.size(digest) == len(data)
    assert store.has(digest)


def test_another_host_finds_what_was_put(place: Place) -> None:
    digest = place.open("here").put(b"seen from afar")

    assert place.open("elsewhere").get(digest) == b"seen from afar"


def test_a_store_says_what_it_lacks(store: ObjectStore) -> None:
    held = store.put(b"held")

    assert store.missing([ABSENT, held, ABSENT]) == [ABSENT]
    assert not store.has(ABSENT)
    for read in (store.get, store.size, store.open, store.cached_path):
        with pytest.raises(NotFoundError, match=ABSENT):
            read(ABSENT)


@pytest.mark.parametrize("text", ["", "abc", "zz" * 32, "ab" * 33, "ab " * 21 + "a"])
def test_what_is_no_digest_is_refused(folder_store: ObjectStore, text: str) -> None:
    with pytest.raises(InvalidInputError, match="no digest"):
        folder_store.get(text)


def test_a_range_is_the_same_bytes(store: ObjectStore) -> None:
    data = noise(3 * WHOLE_BYTES + 12345)
    large = store.put(data)
    small = store.put(data[:1000])
    rng = random.Random(1)
    for _ in range(20):
        start = rng.randrange(len(data))
        end = rng.randrange(start, len(data) + 10)
        assert store.get(large, start, end) == data[start:end]
    assert store.get(small, 10, 20) == data[10:20]
    assert store.get(small, 990, 2000) == data[990:1000]
    assert store.get(small, 2000) == store.get(large, len(data) + 5) == b""
    assert store.get(large, 5, 5) == b""
    with pytest.raises(InvalidInputError, match="no range"):
        store.get(small, 5, 4)


def test_a_thousand_small_objects_are_one_pack(place: Place, store: ObjectStore) -> None:
    with store.batch() as batch:
        digests = [batch.put(b"object %d" % number) for number in range(1000)]

    assert len(place.packs()) == 1
    assert [store.get(digest) for digest in digests[::100]] == [b"object %d" % n for n in range(0, 1000, 100)]


def test_objects_that_are_there_already_write_nothing(place: Place, store: ObjectStore) -> None:
    with store.batch() as batch:
        for number in range(100):
            batch.put(b"object %d" % number)
    with place.open("elsewhere").batch() as batch:
        for number in range(100):
            batch.put(b"object %d" % number)

    assert len(place.packs()) == 1


def test_an_object_put_twice_in_a_batch_is_kept_once(store: ObjectStore) -> None:
    with store.batch() as batch:
        for _ in range(10):
            batch.put(noise(1000))

    (pack,) = store.pending()
    assert pack.entries == 1
    assert pack.size < 2000


def test_a_batch_that_passes_a_packs_size_makes_several(place: Place, store: ObjectStore) -> None:
    data = [noise(WHOLE_BYTES - number, number) for number in range(PACK_BYTES // WHOLE_BYTES + 3)]
    with store.batch() as batch:
        digests = [batch.put(each) for each in data]

    assert len(place.packs()) == 2
    assert all(record.size <= PACK_BYTES + 2**16 for record in store.pending())
    assert dict(store.get_many(digests)) == dict(zip(digests, data, strict=True))


def test_a_batch_left_by_an_exception_leaves_nothing(place: Place, store: ObjectStore) -> None:
    digests: list[str] = []

    def put_and_fail() -> None:
        with store.batch() as batch:
            digests.extend(batch.put(noise(WHOLE_BYTES, n)) for n in range(3))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        put_and_fail()

    assert store.pending() == []
    if place.kind == "folder":
        assert place.packs() == []
        assert list((Path(place.url) / "incoming").iterdir()) == []
    store.packs_since = lambda seq: []
    assert store.missing(digests) == digests


def test_full_packs_of_a_batch_left_by_an_exception_are_not_written_again(place: Place, store: ObjectStore) -> None:
    per_pack = PACK_BYTES // WHOLE_BYTES - 1  # header and footer take some room
    contents = [noise(WHOLE_BYTES, number) for number in range(per_pack + 3)]

    def put_and_fail() -> None:
        with store.batch() as batch:
            for each in contents:
                batch.put(each)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        put_and_fail()
    assert len(place.packs()) == 1

    with store.batch() as batch:
        digests = [batch.put(each) for each in contents]

    assert len(place.packs()) == 2
    first, second = sorted(store.pending(), key=lambda record: record.entries, reverse=True)
    assert (first.entries, second.entries) == (per_pack, 3)
    assert dict(store.get_many(digests)) == dict(zip(digests, contents, strict=True))


def test_many_threads_put_into_one_batch(store: ObjectStore, tmp_path: Path) -> None:
    paths = [tmp_path / f"file-{number}" for number in range(300)]
    for number, path in enumerate(paths):
        path.write_bytes(noise(number * 37, number % 200))
    big = tmp_path / "big"
    big.write_bytes(noise(2 * WHOLE_BYTES))
    with store.batch() as batch, ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(batch.put_file, [*paths, big]))

    for path, (digest, size) in zip([*paths, big], answers, strict=True):
        assert size == path.stat().st_size
        assert store.get(digest) == path.read_bytes()


def test_a_file_a_stream_and_bytes_have_one_digest(place: Place, store: ObjectStore, tmp_path: Path) -> None:
    data = noise(2 * WHOLE_BYTES + 77)
    path = tmp_path / "file"
    path.write_bytes(data)

    assert store.put_file(path) == store.put_stream(io.BytesIO(data)) == (store.put(data), len(data))
    assert len(place.packs()) == 1


@pytest.mark.parametrize("size", [0, 1, 2**16 - 1, 2**16, 2**16 + 1, 2**17, WHOLE_BYTES - 1, WHOLE_BYTES + 1])
def test_a_file_of_any_size_is_put_whole(folder_store: ObjectStore, tmp_path: Path, size: int) -> None:
    path = tmp_path / "file"
    path.write_bytes(noise(size))

    digest, counted = folder_store.put_file(path)
    assert counted == size
    assert folder_store.get(digest) == noise(size)


def test_a_file_that_cannot_be_read_is_named(folder_store: ObjectStore, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no file"):
        folder_store.put_file(tmp_path / "none")
    with pytest.raises(InvalidInputError, match="folder"):
        folder_store.put_file(tmp_path)


def test_a_change_in_a_large_object_stores_little_more(place: Place, store: ObjectStore) -> None:
    data = noise(24 * 2**20)
    store.put(data)
    before = sum(record.size for record in store.pending())
    changed = store.put(data[: 9 * 2**20] + b"an insertion" + data[9 * 2**20 :])

    assert sum(record.size for record in store.pending()) - before < 9 * 2**20
    assert store.get(changed)[9 * 2**20 :][:12] == b"an insertion"


def test_an_open_object_reads_and_seeks_like_a_file(store: ObjectStore) -> None:
    data = noise(2 * WHOLE_BYTES + 99)
    reference = io.BytesIO(data)
    rng = random.Random(2)
    with store.open(store.put(data)) as file:
        for _ in range(30):
            whence = rng.choice([io.SEEK_SET, io.SEEK_CUR, io.SEEK_END])
            offset = rng.randrange(2**20) - (len(data) if whence == io.SEEK_END else 0)
            assert file.seek(offset, whence) == reference.seek(offset, whence)
            count = rng.randrange(2**18)
            assert file.read(count) == reference.read(count)
        file.seek(0)
        assert file.read() == data


def test_many_are_read_each_once_whatever_their_kind(store: ObjectStore) -> None:
    data = {store.put(each): each for each in (noise(10), noise(2 * WHOLE_BYTES), noise(70_000, 3), b"")}
    with store.batch() as batch:
        data |= {batch.put(each): each for each in (noise(100, number) for number in range(50))}

    assert sorted(store.get_many([*data, *data])) == sorted(data.items())
    with pytest.raises(NotFoundError):
        store.get_many([*data, ABSENT])


def test_a_batch_that_is_over_takes_no_more(folder_store: ObjectStore) -> None:
    from headwater.errors import StorageError

    with folder_store.batch() as batch:
        batch.put(b"in time")

    with pytest.raises(StorageError, match="over"):
        batch.put(b"too late")


def test_a_url_of_another_kind_is_refused(tmp_path: Path) -> None:
    from headwater.objects import open_store

    with pytest.raises(InvalidInputError, match="ftp://there"):
        open_store("ftp://there", cache=tmp_path)


def test_a_pack_that_another_process_lists_between_two_looks_is_held(folder_store: ObjectStore) -> None:
    digest = folder_store.put(b"listed by somebody else")
    (record,) = folder_store.pending()
    listed: set[str] = set()

    def use_packs(packs: list[str]) -> set[str]:
        found = set(packs) & listed
        folder_store.recorded([record])  # the other process commits just after this look
        listed.add(record.id)
        return found

    folder_store.use_packs = use_packs

    assert folder_store.missing([digest]) == []
    assert folder_store.get(digest) == b"listed by somebody else"

"""The local index is a cache: lost, damaged or stale, it makes itself anew."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterable
from pathlib import Path

import pytest

from headwater.errors import CorruptError, GoneError, NotFoundError
from headwater.objects import ObjectStore, PackRecord
from tests.objects.places import Place, noise

ABSENT = "ab" * 32


class Listing:
    """A ledger's list of packs."""

    def __init__(self) -> None:
        self.rows: list[PackRecord] = []
        self.asked: list[int] = []

    def record(self, store: ObjectStore) -> None:
        """Do what the transaction that needs the packs does."""
        packs = store.pending()
        for pack in packs:
            if pack.id not in {row.id for row in self.rows}:
                self.rows.append(
                    PackRecord(
                        id=pack.id,
                        size=pack.size,
                        entries=pack.entries,
                        footer_digest=pack.footer_digest,
                        created_at=pack.created_at,
                        seq=len(self.rows) + 1,
                    )
                )
        store.recorded(packs)

    def since(self, seq: int) -> Iterable[PackRecord]:
        self.asked.append(seq)
        return [row for row in self.rows if row.seq > seq]


@pytest.fixture
def listing() -> Listing:
    return Listing()


def opened(place: Place, listing: Listing, cache: str = "cache") -> ObjectStore:
    store = place.open(cache)
    store.packs_since = listing.since
    return store


def test_a_pack_waits_until_the_ledger_lists_it(place: Place, listing: Listing) -> None:
    store = opened(place, listing)
    store.put(b"a fact will name this")
    (pack,) = store.pending()
    assert (pack.id, pack.footer_digest, pack.entries, pack.seq) == (place.packs()[0], pack.id, 1, 0)
    assert store.pending() == [pack]  # the transaction was rolled back, say
    listing.record(store)

    assert store.pending() == []


def test_another_host_learns_of_a_pack_from_the_ledger_alone(place: Place, listing: Listing) -> None:
    here, there = opened(place, listing), opened(place, listing, "there")
    assert there.missing([ABSENT]) == [ABSENT]
    digest = here.put(b"not recorded yet")
    with pytest.raises(NotFoundError):
        there.get(digest)
    listing.record(here)

    assert there.get(digest) == b"not recorded yet"


def test_only_what_is_new_is_asked_for(folder_place: Place, listing: Listing) -> None:
    here, there = opened(folder_place, listing), opened(folder_place, listing, "there")
    for number in range(5):
        here.put(b"%d" % number)
        listing.record(here)
    assert there.missing([ABSENT]) == [ABSENT]
    last = here.put(b"last")
    listing.record(here)
    listing.asked.clear()

    assert there.has(last)
    assert listing.asked == [5]


def test_a_pack_of_another_process_of_this_machine_waits_too(folder_place: Place, listing: Listing) -> None:
    # A step's process puts the result; the process that runs the flow commits the fact.
    child, parent = opened(folder_place, listing), opened(folder_place, listing)
    child.put(b"the result of a step")

    assert [pack.id for pack in parent.pending()] == folder_place.packs()


def test_what_a_killed_process_put_is_recorded_when_it_is_put_again(folder_place: Place, listing: Listing) -> None:
    opened(folder_place, listing).put(b"put, then killed before the commit")
    again = opened(folder_place, listing)
    digest = again.put(b"put, then killed before the commit")
    listing.record(again)

    assert len(folder_place.packs()) == 1
    assert opened(folder_place, listing, "elsewhere").get(digest)


@pytest.mark.parametrize("damage", ["missing", "garbage", "cut", "inside", "older format", "another store"])
def test_a_lost_or_damaged_index_rebuilds_itself(folder_place: Place, listing: Listing, damage: str) -> None:
    store = opened(folder_place, listing)
    with store.batch() as batch:
        digests = [batch.put(noise(100, number)) for number in range(2000)]
    listing.record(store)
    waiting = store.put(b"not recorded yet")
    store.close()
    spoil(folder_place.cache / "cache" / "index.sqlite", damage)

    fresh = opened(folder_place, listing)
    assert fresh.missing([*digests, waiting]) == []
    assert fresh.get(digests[77]) == noise(100, 77)
    assert len(fresh.pending()) == 1
    assert list(fresh.verify()) == []


def spoil(path: Path, damage: str) -> None:
    data = path.read_bytes()
    if damage == "missing":
        path.unlink()
    elif damage == "garbage":
        path.write_bytes(noise(5000))
    elif damage == "cut":
        path.write_bytes(data[: len(data) // 2])
    elif damage == "inside":
        path.write_bytes(data[:4096] + noise(len(data) - 4096))
    else:
        import sqlite3

        connection = sqlite3.connect(path)
        if damage == "older format":
            connection.execute("PRAGMA user_version = 99")
        else:
            connection.execute("UPDATE meta SET value = 'another' WHERE name = 'store'")
        connection.commit()
        connection.close()


def test_an_index_damaged_while_it_is_open_rebuilds_itself(folder_place: Place, listing: Listing) -> None:
    store = opened(folder_place, listing)
    digest = store.put(noise(1000))
    store.close()
    path = folder_place.cache / "cache" / "index.sqlite"
    store.has(digest)
    path.write_bytes(path.read_bytes()[:4096] + bytes(path.stat().st_size - 4096))
    Path(f"{path}-wal").unlink()
    store._index.close()

    assert store.get(digest) == noise(1000)
    assert len(store.pending()) == 1


def test_an_index_that_tells_wrong_places_is_corrected_from_the_pack(place: Place) -> None:
    store = place.open()
    with store.batch() as batch:
        one, other = batch.put(b"one of two"), batch.put(b"the other")
    store._index._opened().execute("UPDATE entries SET at = 16")

    assert (store.get(one), store.get(other)) == (b"one of two", b"the other")
    assert dict(store.get_many([one, other])) == {one: b"one of two", other: b"the other"}


def test_an_index_that_could_not_be_built_is_built_at_the_next_try(folder_place: Place, listing: Listing) -> None:
    here = opened(folder_place, listing)
    digest = here.put(b"there")
    listing.record(here)
    there = folder_place.open("there")

    def broken(seq: int) -> Iterable[PackRecord]:
        raise ConnectionError("the ledger is restarting")

    there.packs_since = broken
    with pytest.raises(ConnectionError):
        there.get(digest)
    there.packs_since = listing.since

    assert there.get(digest) == b"there"


def test_an_index_that_outlived_its_packs_does_not_keep_objects_from_being_stored(place: Place) -> None:
    store = place.open()
    digest = store.put(b"put in a store that was then removed")
    place.remove(place.packs()[0])

    assert place.open().put(b"put in a store that was then removed") == digest
    assert place.open().get(digest) == b"put in a store that was then removed"


def test_bytes_whose_pack_the_ledger_no_longer_lists_are_gone(place: Place, listing: Listing) -> None:
    store = opened(place, listing)
    digest = store.put(b"collected")
    listing.record(store)
    place.remove(listing.rows.pop().id)

    with pytest.raises(GoneError, match="collected"):
        store.get(digest)


def test_bytes_whose_listed_pack_is_missing_are_lost_not_gone(place: Place, listing: Listing) -> None:
    store = opened(place, listing)
    digest = store.put(b"lost")
    listing.record(store)
    place.remove(listing.rows[0].id)

    with pytest.raises(CorruptError, match="missing"):
        store.get(digest)
    assert {finding.what for finding in store.verify()} == {listing.rows[0].id}
    assert store.put(b"lost") == digest  # to put it again brings it back
    assert store.get(digest) == b"lost"


def test_objects_that_moved_to_another_pack_are_found_there(place: Place, listing: Listing) -> None:
    store = opened(place, listing)
    digest = store.put(b"moved when its pack was rewritten")
    listing.record(store)
    there = opened(place, listing, "there")
    with there.batch() as batch:
        there._index.forget(listing.rows[0].id)
        batch.put(b"moved when its pack was rewritten")
        batch.put(b"with company")
    listing.record(there)
    place.remove(listing.rows.pop(0).id)

    assert store.get(digest) == b"moved when its pack was rewritten"


def test_hundreds_of_packs_are_one_lookup(folder_place: Place) -> None:
    store = folder_place.open()
    store.packs_since = lambda seq: []
    digests = [store.put(b"%d" % number) for number in range(300)]
    connection = store._index._opened()
    steps = 0

    def step() -> None:
        nonlocal steps
        steps += 1

    connection.set_progress_handler(step, 1)
    store.locate(bytes.fromhex(digests[150]))
    connection.set_progress_handler(None, 1)

    assert steps < 40  # instructions of SQLite's machine: a search in two trees, not a walk


def test_threads_and_a_forked_child_share_the_index(folder_place: Place) -> None:
    store = folder_place.open()
    digest = store.put(b"seen by all")
    failed: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for each in range(20):
                store.put(b"%d %d" % (number, each))
                assert store.get(digest) == b"seen by all"
        except BaseException as error:  # noqa: BLE001  # told to the thread that asserts
            failed.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    child = os.fork()
    if child == 0:
        status = 1
        try:
            put = store.put(b"by the child")
            status = 0 if store.get(digest) == b"seen by all" and store.has(put) else 2
        finally:
            os._exit(status)

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert store.get(store.put(b"by the parent")) == b"by the parent"
    assert list(store.verify()) == []


def test_importing_objects_imports_nothing_heavy() -> None:
    code = "import headwater.objects, sys; print([m for m in ('numpy', 'obstore', 'blake3') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == "[]\n"

"""A follower by cursor misses nothing that is announced, however many write at once."""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections.abc import Callable

import pytest

from headwater.ledger import Ledger, open_ledger
from tests.ledger.workers import start_worker


def follow(ledger: Ledger, until: threading.Event) -> list[int]:
    """Return the seqs that a follower sees which remembers the last one and asks for what comes after."""
    seen: list[int] = []
    cursor = 0
    while True:
        last = until.is_set()
        with ledger.read() as tx:
            page = tx.announcements_since(cursor, limit=7)
        for row in page:
            seen.append(row.seq)
            cursor = row.seq
        if last and not page:
            return seen
        time.sleep(0.001)


def missed(ledger: Ledger, seen: list[int]) -> tuple[list[int], list[int]]:
    """Return which announcements a follower did not see, and which numbers are not there at all."""
    with ledger.read() as tx:
        there = [row.seq for row in tx.stream("SELECT seq FROM announcements ORDER BY seq")]
    return sorted(set(there) - set(seen)), sorted(set(range(1, len(there) + 1)) - set(there))


def followed(ledger: Ledger, write: Callable[[int], None], writers: int = 8) -> list[int]:
    """Run writers while a follower follows; returns what it saw, in order."""
    done = threading.Event()
    seen: list[int] = []
    follower = threading.Thread(target=lambda: seen.extend(follow(ledger, done)))
    follower.start()
    threads = [threading.Thread(target=write, args=(number,)) for number in range(writers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    done.set()
    follower.join()
    return seen


@pytest.mark.parametrize("alone", [True, False])
def test_a_follower_of_eight_writers_misses_none(ledger: Ledger, ledger_url: str, alone: bool) -> None:
    other = open_ledger(ledger_url, ledger.clock)

    def write(number: int) -> None:
        dice = random.Random(number)
        for each in range(20):
            with (ledger, other)[number % 2].write(alone=alone) as tx:
                tx.announce("version", f"version:{number}/{each}")
                time.sleep(dice.random() / 500)
                if dice.random() < 0.2:
                    tx.announce("release", f"release:{number}/{each}")

    seen = followed(ledger, write)
    other.close()

    assert missed(ledger, seen) == ([], [])
    assert seen == sorted(seen)
    assert len(seen) >= 160


def test_a_transaction_that_was_rolled_back_leaves_no_gap(ledger: Ledger) -> None:
    def write(number: int) -> None:
        for each in range(10):
            try:
                with ledger.write() as tx:
                    tx.announce("version", f"version:{number}/{each}")
                    if each % 3 == 0:
                        raise ZeroDivisionError
            except ZeroDivisionError:
                pass

    seen = followed(ledger, write)

    assert missed(ledger, seen) == ([], [])
    assert seen == list(range(1, 8 * 6 + 1))


def test_numbers_from_a_plain_sequence_would_be_missed(ledger: Ledger) -> None:
    # The planted failure: a sequence hands out numbers outside of the transaction, so the later number may commit
    # first, and a number may be taken and never committed.
    sequence = itertools.count(1)
    slow_has_number, fast_committed = threading.Event(), threading.Event()

    def write(number: int) -> None:
        if number == 0:
            seq = next(sequence)
            slow_has_number.set()
            fast_committed.wait(10)
        else:
            slow_has_number.wait(10)
            _given_up, seq = next(sequence), next(sequence)
        with ledger.write(alone=False) as tx:
            tx.insert("announcements", seq=seq, kind="version", ref="version:x", at=1)
        if number == 1:
            time.sleep(0.2)  # the follower looks
            fast_committed.set()

    seen = followed(ledger, write, writers=2)

    assert seen == [3]
    assert missed(ledger, seen) == ([1], [2])


def test_processes_announce_without_gaps(ledger: Ledger, ledger_url: str) -> None:
    workers = [start_worker("announce", ledger_url, str(number), "25") for number in range(4)]
    done = threading.Event()
    seen: list[int] = []
    follower = threading.Thread(target=lambda: seen.extend(follow(ledger, done)))
    follower.start()
    codes = [worker.wait(120) for worker in workers]
    for worker in workers:
        worker.communicate()
    done.set()
    follower.join()

    assert codes == [0, 0, 0, 0]
    assert seen == list(range(1, 101))
    assert missed(ledger, seen) == ([], [])


def test_announcements_are_asked_for_by_kind_and_page(ledger: Ledger) -> None:
    with ledger.write() as tx:
        for number in range(1, 7):
            tx.announce("odd" if number % 2 else "even", f"version:{number}")

    with ledger.read() as tx2:
        assert [row.seq for row in tx2.announcements_since(2)] == [3, 4, 5, 6]
        assert [row.seq for row in tx2.announcements_since(0, limit=2)] == [1, 2]
        assert [row.ref for row in tx2.announcements_since(1, ["odd"])] == ["version:3", "version:5"]
        assert [row.seq for row in tx2.announcements_since(4, ["odd", "even", "other"])] == [5, 6]
        assert tx2.announcements_since(0, []) == []


def test_edges_are_walked_both_ways(ledger: Ledger) -> None:
    with ledger.write() as tx:
        tx.edge("run:1", "input", "version:1")
        tx.edge("run:1", "input", "version:1")
        tx.edges([("run:1", "code", "object:c"), ("run:2", "input", "version:1")])

    with ledger.read() as tx2:
        assert tx2.edges_of("run:1") == [("code", "object:c"), ("input", "version:1")]
        assert tx2.children_of("version:1") == [("input", "run:1"), ("input", "run:2")]
        assert tx2.edges_of("version:1") == []


def test_a_counter_starts_at_one_and_is_kept_with_its_fact(ledger: Ledger) -> None:
    with ledger.write() as tx:
        assert [tx.next("versions/flights"), tx.next("versions/flights"), tx.next("versions/x")] == [1, 2, 1]
    with pytest.raises(ZeroDivisionError), ledger.write() as tx:  # noqa: PT012  # the block is what fails
        tx.next("versions/flights")
        raise ZeroDivisionError
    with ledger.write() as tx:
        assert tx.next("versions/flights") == 3

"""Pointers move by compare-and-swap, once per race, and remember every move."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable

import pytest

from headwater.errors import ConflictError
from headwater.ledger import Ledger, create_ledger, open_ledger
from tests.ledger.workers import start_worker

from .conftest import START


def test_a_pointer_is_created_moved_and_removed(ledger: Ledger) -> None:
    with ledger.write() as tx:
        tx.move_pointer("branch", "flights/main", expected=None, new="v1", by="ann")
    with ledger.write() as tx:
        tx.move_pointer("branch", "flights/main", expected="v1", new="v2", why="fresh data", by="ben")
        assert tx.pointer("branch", "flights/main") == "v2"
        assert tx.pointer("tag", "flights/main") is None
        tx.remove_pointer("branch", "flights/main", expected="v2", why="done", by="cem")
        assert tx.pointer("branch", "flights/main") is None
        tx.move_pointer("branch", "flights/main", expected=None, new="v3")

    with ledger.read() as tx2:
        moves = [tuple(row)[:3] + tuple(row)[4:] for row in tx2.pointer_history("branch", "flights/main")]
    assert moves == [
        (1, None, "v1", "ann", ""),
        (2, "v1", "v2", "ben", "fresh data"),
        (3, "v2", None, "cem", "done"),
        (4, None, "v3", "", ""),
    ]


def test_a_conflict_carries_where_the_pointer_points(ledger: Ledger) -> None:
    with ledger.write() as tx:
        tx.move_pointer("branch", "flights/main", expected=None, new="v1")
        with pytest.raises(ConflictError, match=r"points to 'v1', but it was to be created") as made:
            tx.move_pointer("branch", "flights/main", expected=None, new="v2")
        with pytest.raises(ConflictError, match=r"points to 'v1', but it was to move from 'v0'") as moved:
            tx.move_pointer("branch", "flights/main", expected="v0", new="v2")
        with pytest.raises(ConflictError, match="does not exist") as gone:
            tx.remove_pointer("branch", "flights/dev", expected="v0")

    assert [each.value.values["head"] for each in (made, moved, gone)] == ["v1", "v1", None]
    with ledger.read() as tx2:
        assert len(tx2.pointer_history("branch", "flights/main")) == 1


def test_a_pointer_answers_for_any_time(ledger_url: str) -> None:
    times = iter([START, START, START + 10, START + 20, START + 30, START + 30])
    ledger = create_ledger(ledger_url, lambda: next(times), "p", "n")
    for expected, new in ((None, "v1"), ("v1", "v2"), ("v2", "v3")):
        with ledger.write() as tx:
            tx.move_pointer("branch", "b", expected=expected, new=new)
    with ledger.write() as tx:
        tx.remove_pointer("branch", "b", expected="v3")

    with ledger.read() as tx2:
        seen = [tx2.pointer_as_of("branch", "b", START + n) for n in (-1, 0, 9, 10, 19, 20, 29, 30, 99)]
    assert seen == [None, "v1", "v1", "v2", "v2", "v3", "v3", None, None]
    ledger.close()


def test_a_clock_that_was_set_back_does_not_reorder_history(ledger_url: str) -> None:
    times = iter([START, START + 100, START + 50, START + 40, START + 30])
    ledger = create_ledger(ledger_url, lambda: next(times), "p", "n")
    with ledger.write() as tx:
        tx.move_pointer("branch", "b", expected=None, new="v1")
    with ledger.write() as tx:
        tx.move_pointer("branch", "b", expected="v1", new="v2")
    with ledger.write() as tx:
        tx.remove_pointer("branch", "b", expected="v2")
    with ledger.write() as tx:
        tx.move_pointer("branch", "b", expected=None, new="v3")

    with ledger.read() as tx2:
        assert [row.at for row in tx2.pointer_history("branch", "b")] == [START + 100] * 4
        assert tx2.pointer_as_of("branch", "b", START + 100) == "v3"
        assert tx2.pointer_as_of("branch", "b", START + 60) is None
    ledger.close()


def test_of_many_threads_one_moves_the_pointer_each_time(ledger: Ledger, ledger_url: str) -> None:
    others = [open_ledger(ledger_url, ledger.clock) for _ in range(3)]
    wins: list[tuple[int, int]] = []

    def race(mine: Ledger, number: int) -> None:
        for turn in range(10):
            try:
                with mine.write() as tx:
                    head = None if turn == 0 else f"head {turn}"
                    tx.move_pointer("channel", "c", expected=head, new=f"head {turn + 1}", by=str(number))
                wins.append((turn, number))
            except ConflictError:
                pass
            everybody.wait(timeout=60)

    everybody = threading.Barrier(8)
    threads = [threading.Thread(target=race, args=([ledger, *others][n % 4], n)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(turn for turn, _ in wins) == list(range(10))
    with ledger.read() as tx2:
        history = tx2.pointer_history("channel", "c")
        assert [(row.seq - 1, int(row.by)) for row in history] == sorted(wins)
    for other in others:
        other.close()


def test_of_many_processes_one_moves_the_pointer_each_time(ledger: Ledger, ledger_url: str) -> None:
    workers = [start_worker("race", ledger_url, str(number), "20", stdin=subprocess.PIPE) for number in range(4)]
    for worker in workers:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
    outcomes = []
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("go\n")
        worker.stdin.flush()
    for worker in workers:
        out, _ = worker.communicate(timeout=120)
        assert worker.returncode == 0
        outcomes.append(out.splitlines())

    wins = sorted((line for lines in outcomes for line in lines if line.startswith("won")), key=lambda x: int(x[4:]))
    assert wins == [f"won {turn}" for turn in range(20)]
    with ledger.read() as tx:
        assert tx.pointer("channel", "c") == "head 20"
        assert len(tx.pointer_history("channel", "c")) == 20


def test_reading_first_and_then_writing_lets_two_win(ledger_url: str, clock: Callable[[], int]) -> None:
    # The planted failure: had the move been read-then-write over two transactions, this race would have two winners.
    ledger = create_ledger(ledger_url, clock, "p", "n")
    with ledger.write() as tx:
        tx.move_pointer("channel", "c", expected=None, new="v1")
    both_read = threading.Barrier(2)
    wins: list[str] = []

    def move(new: str) -> None:
        with ledger.read() as tx:
            head = tx.pointer("channel", "c")
        both_read.wait(timeout=10)
        if head == "v1":
            with ledger.write() as write:
                write.execute("UPDATE pointers SET head = ? WHERE kind = 'channel' AND name = 'c'", (new,))
            wins.append(new)

    threads = [threading.Thread(target=move, args=(new,)) for new in ("v2", "v3")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ledger.close()

    assert len(wins) == 2

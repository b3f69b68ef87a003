"""Leases go by the database's clock, and a holder who lost one records nothing more."""

from __future__ import annotations

import signal
import subprocess
import threading
import time

import pytest

from headwater.errors import ConflictError, InvalidInputError
from headwater.ledger import Lease, Ledger, release_lease, renew_lease, take_lease
from tests.ledger.workers import start_worker


def take(ledger: Ledger, holder: str, ttl_s: float = 60) -> Lease | None:
    with ledger.write() as tx:
        return take_lease(tx, "scheduler", holder, ttl_s=ttl_s)


def test_a_lease_is_held_by_one(ledger: Ledger) -> None:
    first = take(ledger, "ann")

    assert first is not None
    assert (first.name, first.holder, first.token) == ("scheduler", "ann", 1)
    assert take(ledger, "ben") is None
    assert take(ledger, "ann") is None


def test_of_many_takers_one_gets_it(ledger: Ledger) -> None:
    got: list[Lease | None] = []
    threads = [threading.Thread(target=lambda n=n: got.append(take(ledger, f"{n}"))) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len([each for each in got if each is not None]) == 1


def test_a_lease_that_ran_out_goes_to_the_next_with_a_higher_number(ledger: Ledger) -> None:
    first = take(ledger, "ann", ttl_s=0.05)
    assert first is not None
    time.sleep(0.1)
    second = take(ledger, "ben")

    assert second is not None
    assert second.token == first.token + 1
    with ledger.write() as tx:
        tx.fence("scheduler", second.token)
        with pytest.raises(ConflictError, match=r"'ben' holds it \(number 2\)"):
            tx.fence("scheduler", first.token)
        with pytest.raises(ConflictError, match="is lost"):
            renew_lease(tx, first, ttl_s=60)
        assert not release_lease(tx, first)


def test_the_clock_is_the_databases_and_not_the_callers(ledger: Ledger) -> None:
    # The fixture's clock says 2023; were it used, the lease would look expired by any real clock.
    with ledger.write() as tx:
        taken = take_lease(tx, "scheduler", "ann", ttl_s=60)
        database = tx.database_now()

    assert taken is not None
    assert abs(database - time.time_ns() // 1000) < 10_000_000
    assert abs(taken.expires_at - database - 60_000_000) < 5_000_000
    assert take(ledger, "ben") is None


def test_a_renewed_lease_lasts(ledger: Ledger) -> None:
    held = take(ledger, "ann", ttl_s=0.2)
    assert held is not None
    with ledger.write() as tx:
        renewed = renew_lease(tx, held, ttl_s=60)
    time.sleep(0.25)

    assert renewed.token == held.token
    assert renewed.expires_at > held.expires_at
    assert take(ledger, "ben") is None


def test_a_released_lease_is_free_at_once_and_its_number_is_used_up(ledger: Ledger) -> None:
    held = take(ledger, "ann")
    assert held is not None
    with ledger.write() as tx:
        assert release_lease(tx, held)
        with pytest.raises(ConflictError, match="nobody holds it"):
            tx.fence("scheduler", held.token)
    again = take(ledger, "ben")

    assert again is not None
    assert again.token > held.token


def test_a_lease_that_never_was_fences_everybody_out(ledger: Ledger) -> None:
    with pytest.raises(ConflictError, match="nobody holds it"), ledger.write() as tx:
        tx.fence("never", 1)


@pytest.mark.parametrize("ttl_s", [0, -1, float("nan")])
def test_a_lease_lasts_some_time(ledger: Ledger, ttl_s: float) -> None:
    with pytest.raises(InvalidInputError, match="more than 0 seconds"):
        take(ledger, "ann", ttl_s=ttl_s)


@pytest.mark.parametrize("fenced", ["fenced", "not fenced"])
def test_a_worker_that_slept_past_its_lease_records_nothing(ledger: Ledger, ledger_url: str, fenced: str) -> None:
    # Without its fence (the planted failure) the late worker's fact does get in.
    worker = start_worker("lease", ledger_url, fenced, stdin=subprocess.PIPE)
    assert worker.stdout is not None
    assert worker.stdout.readline() == "token 1\n"
    worker.send_signal(signal.SIGSTOP)
    time.sleep(0.4)
    with ledger.write() as tx:
        taken = take_lease(tx, "job:1", "fast", ttl_s=60)
        assert taken is not None
        tx.edge("result:fast", "made by", "job:1")
        tx.fence("job:1", taken.token)
    worker.send_signal(signal.SIGCONT)
    said, _ = worker.communicate("go\n", timeout=60)

    with ledger.read() as tx2:
        results = [row.child for row in tx2.children_of("job:1")]
    if fenced == "fenced":
        assert said == "fenced out\n"
        assert results == ["result:fast"]
    else:
        assert said == "recorded\n"
        assert results == ["result:fast", "result:slow"]


def test_a_lease_is_not_taken_while_a_fenced_transaction_is_open(ledger: Ledger) -> None:
    held = take(ledger, "ann", ttl_s=0.05)
    assert held is not None
    order: list[str] = []

    def next_one() -> None:
        assert take(ledger, "ben") is not None
        order.append("taken")

    with ledger.write(alone=False) as tx:
        tx.fence("scheduler", held.token)
        taker = threading.Thread(target=next_one)
        taker.start()
        time.sleep(0.2)
        tx.edge("a", "b", "c")
        order.append("recorded")
    taker.join()

    assert order == ["recorded", "taken"]

"""Every test of the ledger runs on both databases."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from headwater.ledger import Ledger, create_ledger, open_ledger
from tests.servers.postgres import new_database

PROJECT = "01J00000000000000000000000"
START = 1_700_000_000_000_000


@pytest.fixture
def clock() -> Callable[[], int]:
    """Return a clock that goes on by one second with each look at it."""
    ticks = itertools.count(START, 1_000_000)
    return lambda: next(ticks)


@pytest.fixture(scope="session")
def shared_database(postgres_server: str) -> Iterator[str]:
    """Yield a database with one ledger, which each test finds empty: making its tables takes longer than most tests."""
    with new_database(postgres_server) as url:
        create_ledger(url, lambda: START, PROJECT, "rivers").close()
        yield url


@pytest.fixture
def own_database() -> None:
    """Ask for a ledger that nobody else uses, for tests that change its tables."""


@pytest.fixture(params=["sqlite", "postgres"])
def ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return an address where no ledger is yet, unless the test asks for one."""
    if request.param == "sqlite":
        return str(tmp_path / "ledger.db")
    sharing = "ledger" in request.fixturenames and "own_database" not in request.fixturenames
    url: str = request.getfixturevalue("shared_database" if sharing else "postgres_url")
    return url


@pytest.fixture
def ledger(request: pytest.FixtureRequest, ledger_url: str, clock: Callable[[], int]) -> Iterator[Ledger]:
    """Yield an empty ledger."""
    if "shared_database" not in request.fixturenames:
        made = create_ledger(ledger_url, clock, PROJECT, "rivers")
    else:
        clock()
        made = open_ledger(ledger_url, clock)
        forget_everything(made)
    yield made
    made.close()


def forget_everything(ledger: Ledger) -> None:
    """Empty the tables of 10_core.sql."""
    tables = ("edges", "announcements", "chain", "chain_bodies", "counters", "pointers", "pointer_moves", "leases")
    with ledger.write() as tx:
        for table in tables:
            tx.execute(f"DELETE FROM {table}")

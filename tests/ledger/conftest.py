"""Every test of the ledger runs on both databases."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from headwater.ledger import Ledger, create_ledger

PROJECT = "01J00000000000000000000000"
START = 1_700_000_000_000_000


@pytest.fixture
def clock() -> Callable[[], int]:
    """Return a clock that goes on by one second with each look at it."""
    ticks = itertools.count(START, 1_000_000)
    return lambda: next(ticks)


@pytest.fixture(params=["sqlite", "postgres"])
def ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return an address where no ledger is yet."""
    if request.param == "sqlite":
        return str(tmp_path / "ledger.db")
    url: str = request.getfixturevalue("postgres_url")
    return url


@pytest.fixture
def ledger(ledger_url: str, clock: Callable[[], int]) -> Iterator[Ledger]:
    """Yield a fresh ledger."""
    made = create_ledger(ledger_url, clock, PROJECT, "rivers")
    yield made
    made.close()

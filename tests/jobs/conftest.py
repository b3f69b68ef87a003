"""Projects on both databases for tests of jobs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.jobs.places import BEHAVIOUR, MakeProject


@pytest.fixture(params=["sqlite", "postgres"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MakeProject]:
    url = request.getfixturevalue("postgres_url") if request.param == "postgres" else None
    maker = MakeProject(tmp_path / "project", url)
    yield maker
    maker.close()


@pytest.fixture(autouse=True)
def calm() -> Iterator[None]:
    yield
    BEHAVIOUR.calls.clear()
    BEHAVIOUR.act = lambda project: None

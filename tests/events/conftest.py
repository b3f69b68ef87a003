"""Event logs on both kinds of tail: a folder's segments and a table in Postgres."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from headwater.events import EventLog
from headwater.project import create_project
from tests.events.streams import Stores


def _stores(folder: Path, ledger_url: str | None) -> Iterator[Stores]:
    with create_project(folder, name="test", actor="ann", ledger_url=ledger_url) as project:
        yield Stores(project)


@pytest.fixture(params=["folder", "postgres"])
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stores]:
    url = request.getfixturevalue("postgres_url") if request.param == "postgres" else None
    yield from _stores(tmp_path / "project", url)


@pytest.fixture
def folder_stores(tmp_path: Path) -> Iterator[Stores]:
    yield from _stores(tmp_path / "project", None)


@pytest.fixture
def log(stores: Stores) -> Iterator[EventLog]:
    opened = stores.open()
    yield opened
    opened.close()


@pytest.fixture
def folder_log(folder_stores: Stores) -> Iterator[EventLog]:
    opened = folder_stores.open()
    yield opened
    opened.close()

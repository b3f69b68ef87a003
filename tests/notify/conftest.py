"""Projects on both databases, a web server and a mail server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.jobs.places import MakeProject
from tests.notify.servers import Hooks, Mails, mail_server, web_server


@pytest.fixture(params=["sqlite", "postgres"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MakeProject]:
    url = request.getfixturevalue("postgres_url") if request.param == "postgres" else None
    maker = MakeProject(tmp_path / "project", url)
    yield maker
    maker.close()


@pytest.fixture
def hooks() -> Iterator[Hooks]:
    with web_server() as running:
        yield running


@pytest.fixture
def mails() -> Iterator[Mails]:
    with mail_server() as running:
        yield running

"""Fixtures for real servers. A missing Debian package is a failure that names `make system`, never a skip."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from tests.projects import local_project, project, project_folder, sqlite_project
from tests.servers import browser, postgres
from tests.servers.keeper import shared_server
from tests.servers.process import ServerError
from tests.servers.s3 import S3Place

if TYPE_CHECKING:
    from playwright.sync_api import Page

__all__ = ["local_project", "project", "project_folder", "sqlite_project"]


@pytest.hookimpl(tryfirst=True)  # before pytest leaves out what ``-m`` does not name
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark as long what a test of several kinds of project does on other kinds than the plainest."""
    for item in items:
        if item.get_closest_marker("long_elsewhere") is not None:
            params = getattr(item, "callspec").params  # noqa: B009  # only tests with parameters have the marker
            if {params.get("project"), params.get("local_project")} & {"postgres", "url"}:
                item.add_marker(pytest.mark.long)


def _server(kind: str) -> dict[str, str]:
    try:
        return shared_server(kind)
    except ServerError as error:
        pytest.fail(str(error), pytrace=False)


@pytest.fixture(scope="session")
def postgres_server() -> str:
    """Return the URL of the run's Postgres server, without a database name."""
    return _server("postgres")["url"]


@pytest.fixture
def postgres_url(postgres_server: str) -> Iterator[str]:
    """Yield the URL of a fresh, empty Postgres database of this test."""
    with postgres.new_database(postgres_server) as url:
        yield url


@pytest.fixture(scope="session")
def s3_server() -> dict[str, str]:
    """Return endpoint, bucket and keys of the run's S3 server."""
    return _server("s3")


@pytest.fixture
def s3(s3_server: dict[str, str]) -> S3Place:
    """Return an empty place on the S3 server: the shared bucket, and a prefix of this test's own."""
    return S3Place(prefix=f"test-{uuid4().hex}", **s3_server)


@pytest.fixture(scope="session")
def kafka_servers() -> str:
    """Return where the run's Kafka broker answers; tests share it, so each names topics of its own."""
    return _server("kafka")["servers"]


@pytest.fixture(scope="session")
def browser_server() -> str:
    """Return the address of the run's Chromium."""
    return _server("browser")["cdp"]


@pytest.fixture
def browser_page(browser_server: str) -> Iterator[Page]:
    """Yield a blank page with its own cookies; the test fails if the page broke or asked another host."""
    with browser.new_page(browser_server) as page:
        yield page

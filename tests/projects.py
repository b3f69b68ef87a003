"""Projects for tests: by folder on SQLite, by folder on Postgres and S3, and by URL."""

from __future__ import annotations

import asyncio
import itertools
import socket
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from headwater.project import LocalProject, Project, create_project, open_project

LOCAL_KINDS = ("sqlite", "postgres")
KINDS = (*LOCAL_KINDS, "url")


def ticking_clock(start_us: int = 1_767_225_600_000_000) -> Callable[[], int]:
    """Return a clock that starts on 2026-01-01 and goes on by one millisecond each time it is read."""
    ticks = itertools.count()
    return lambda: start_us + next(ticks) * 1000


@contextmanager
def served(project: LocalProject, routes: Sequence[Any] = ()) -> Iterator[str]:
    """Serve an open project on a free loopback port, in a thread of this process; yields its address."""
    from headwater.api.app import build_app

    with running(build_app(project, routes=routes)) as address:
        yield address


@contextmanager
def running(app: Any) -> Iterator[str]:
    """Serve an ASGI application on a free loopback port, in a thread of this process; yields its address."""
    from granian.constants import Interfaces
    from granian.server.embed import Server

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = Server(app, address="127.0.0.1", port=port, interface=Interfaces.ASGI, log_enabled=False)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=lambda: loop.run_until_complete(server.serve()), daemon=True)
    thread.start()
    address = f"http://127.0.0.1:{port}"
    try:
        _wait_for(address)
        yield address
    finally:
        loop.call_soon_threadsafe(server.stop)
        thread.join(20)
        loop.close()


def _wait_for(address: str, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while True:
        try:
            with urllib.request.urlopen(f"{address}/healthz"):
                return
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.01)


def make_local(kind: str, folder: Path, request: pytest.FixtureRequest) -> LocalProject:
    """Return a fresh project of a kind in a folder; its settings file may be there already."""
    if kind == "sqlite":
        return create_project(folder, name="test", actor="ann")
    place = request.getfixturevalue("s3")
    return create_project(
        folder,
        name="test",
        actor="ann",
        ledger_url=request.getfixturevalue("postgres_url"),
        objects_url=f"s3://{place.bucket}/{place.prefix}",
        credentials={
            "endpoint": place.endpoint,
            "access_key": place.access_key,
            "secret_key": place.secret_key,
            "region": "us-east-1",
        },
    )


@pytest.fixture
def project_folder(tmp_path: Path) -> Path:
    """The folder that the project fixtures use; a test may write headwater.toml and code there first."""
    folder = tmp_path / "project"
    folder.mkdir()
    return folder


@pytest.fixture(params=LOCAL_KINDS)
def local_project(request: pytest.FixtureRequest, project_folder: Path) -> Iterator[LocalProject]:
    """A project opened by folder: on SQLite and files, and on Postgres and S3."""
    with make_local(request.param, project_folder, request) as project:
        yield project


@pytest.fixture
def sqlite_project(request: pytest.FixtureRequest, project_folder: Path) -> Iterator[LocalProject]:
    """A project in a folder, nothing running."""
    with make_local("sqlite", project_folder, request) as project:
        yield project


@pytest.fixture(params=KINDS)
def project(
    request: pytest.FixtureRequest, project_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Project]:
    """A project opened by folder (SQLite), by folder with Postgres and S3, and by URL."""
    kind = request.param
    if kind != "url":
        with make_local(kind, project_folder, request) as local:
            yield local
        return
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "client-cache"))
    with (
        make_local("sqlite", project_folder, request) as behind,
        served(behind) as address,
        open_project(address, actor="ann") as remote,
    ):
        yield remote

"""Two servers of one project, as processes: how long they differ after a release and after going back."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from headwater.model import ModelVersion
from headwater.project import LocalProject
from headwater.release import request_release, rollback
from tests.serve.models import add_version, row

BODY = json.dumps({"inputs": [row()]}).encode()


def ask(port: int) -> str:
    """Return the id of the version that answers at a port."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/v1/models/delay/predict", BODY, {"content-type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=10) as response:
        return str(json.load(response)["model_version"])


@contextmanager
def server(folder: Path) -> Iterator[int]:
    """Run ``hw serve`` in a process of its own; yields its port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    process = subprocess.Popen(
        [sys.executable, "-c", "from headwater.cli import main; main()", "serve", "--port", str(port)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(Path("src").absolute())},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        end = time.monotonic() + 60
        while True:
            try:
                ask(port)
                break
            except OSError:
                assert process.poll() is None and time.monotonic() < end, "the server does not answer"
                time.sleep(0.05)
        yield port
    finally:
        process.terminate()
        process.wait(20)


class Watch:
    """Asks a server again and again, and keeps when which version answered."""

    def __init__(self, port: int) -> None:
        self.seen: list[tuple[float, str]] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look, args=(port,))
        self._thread.start()

    def _look(self, port: int) -> None:
        while not self._stop.wait(0.005):
            began = time.monotonic()
            self.seen.append((began, ask(port)))

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()


def differed_s(watches: list[Watch], since: float, old: str, new: str) -> float:
    """Return for how long some server answered by the new version while another still gave the old one."""
    first_new = min(at for watch in watches for at, version in watch.seen if at >= since and version == new)
    last_old = max((at for watch in watches for at, version in watch.seen if at >= since and version == old), default=0)
    return max(0.0, last_old - first_new)


@pytest.mark.long
def test_two_servers_differ_for_at_most_a_second_after_a_release_and_after_going_back(
    sqlite_project: LocalProject,
) -> None:
    old, new = add_version(sqlite_project, 2), add_version(sqlite_project, 3)
    request_release(sqlite_project, old.id, "production", "first")
    with ExitStack() as stack:
        ports = [stack.enter_context(server(sqlite_project.folder)) for _ in range(2)]
        watches = [Watch(port) for port in ports]
        try:
            spans = [
                _changed(sqlite_project, watches, old, new, forth=True),
                _changed(sqlite_project, watches, new, old, forth=False),
            ]
        finally:
            for watch in watches:
                watch.stop()

    assert max(spans) <= 1.0, spans


def _changed(
    project: LocalProject, watches: list[Watch], old: ModelVersion, new: ModelVersion, *, forth: bool
) -> float:
    since = time.monotonic()
    if forth:
        request_release(project, new.id, "production", "better")
    else:
        rollback(project, "delay", "production", reason="not better")
    end = since + 30
    while any(not watch.seen or watch.seen[-1][1] != new.id for watch in watches):
        assert time.monotonic() < end, "a server never changed over"
        time.sleep(0.01)
    time.sleep(0.3)
    return differed_s(watches, since, old.id, new.id)

"""``hw run`` and what looks at a run while it goes: lines and bars, logs, progress, cancelling."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import time
from pathlib import Path

import pytest

from headwater.project import create_project

from .running import done, hw

HW = str(Path(sys.executable).with_name("hw"))
FLOWS = """
import time
from pathlib import Path

import headwater as hw


@hw.step
def greet(name):
    print("hello", name)
    hw.progress(1, 2, "half way")
    time.sleep(0.3)
    return name


@hw.step(optional=True)
def extra(x):
    raise ValueError("nothing extra")


@hw.step
def wait(x):
    print("waiting")
    time.sleep(60)


@hw.flow
def short(name="ann"):
    extra(name)
    return greet(name)


@hw.flow
def long():
    greet("bob").result()
    return wait(1)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = tmp_path / "flows"
    place.mkdir()
    create_project(place).close()
    (place / "flows.py").write_text(FLOWS)
    monkeypatch.chdir(place)
    monkeypatch.setenv("HEADWATER_AS", "ann")
    monkeypatch.delenv("HEADWATER_PROJECT", raising=False)
    return place


def test_plain_lines_say_what_steps_print_and_how_they_end(folder: Path) -> None:
    found = done("run", "short")
    identifier = done("--json", "runs", "list").answer["runs"][0]["id"]

    assert "greet | hello ann" in found.err and "ran        flows:greet" in found.err
    assert "warning: the optional step 'extra' failed: ValueError: nothing extra" in found.out
    assert done("runs", "logs", identifier).out.count("greet | hello ann") == 1
    assert done("runs", "logs", identifier, "--follow", "--step", "greet").out.count("hello ann") == 1
    assert "hello" not in done("runs", "logs", identifier, "--step", "extra").out
    assert ": done: " in done("runs", "progress", identifier).out
    assert done("--json", "runs", "progress", identifier).answer["counts"] == {"ran": 1, "failed": 1}
    assert hw("run", "cancel", identifier).code == 2


def test_a_terminal_shows_bars_and_the_lines_above_them(folder: Path) -> None:
    ours, theirs = pty.openpty()
    environ = {**os.environ, "TERM": "xterm", "COLUMNS": "110"}
    process = subprocess.Popen([HW, "run", "short"], stdout=theirs, stderr=theirs, env=environ)
    os.close(theirs)
    shown = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:
            break
        if not part:
            break
        shown += part
    os.close(ours)
    text = shown.decode("utf-8", "replace")

    assert process.wait(20) == 0
    assert "half way" in text and "hello ann" in text and "remembered" in text


def test_a_run_is_followed_and_cancelled_from_elsewhere(folder: Path) -> None:
    running = subprocess.Popen([HW, "run", "long"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    for _ in range(400):
        found = done("--json", "runs", "list", "--filter", "status = 'running'").answer["runs"]
        if found and done("--json", "runs", "progress", found[0]["id"]).answer["live"]:
            break
        time.sleep(0.05)
    identifier = found[0]["id"]
    follower = subprocess.Popen([HW, "runs", "logs", identifier, "--follow"], stdout=subprocess.PIPE, text=True)
    assert "flows:wait" in done("runs", "progress", identifier).out
    time.sleep(1.0)
    ended = done("run", "cancel", identifier, "--reason", "wrong data")
    out, _ = running.communicate(timeout=20)
    followed, _ = follower.communicate(timeout=20)

    assert ended.out.strip() == f"run {identifier}: cancelled: cancelled by ann: wrong data"
    assert running.returncode == 1 and "cancelled by ann: wrong data" in out
    assert followed.count("wait | waiting") == 1 and followed.count("greet | hello bob") == 1

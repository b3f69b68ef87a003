"""A checkout that is killed anywhere: nothing is lost, the status tells the truth, and a second run completes it."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from headwater.lake import add_files
from headwater.lake.working import folder_status
from headwater.lake.working_checkout import checkout
from headwater.project import create_project, open_project
from tests.lake.test_working import ONE, TWO, held, write

CHECKOUT = textwrap.dedent(
    """
    import os, signal, sys
    from headwater.durable import on_crash_point
    from headwater.lake.working_checkout import checkout
    from headwater.project import open_project

    folder, ref, out, mode, at = sys.argv[1:]
    passed = []

    def point(name):
        passed.append(name)
        if len(passed) == int(at):
            os.kill(os.getpid(), signal.SIGKILL)

    project = open_project(folder)
    on_crash_point(point)
    checkout(project, ref, out, mode=mode)
    print(*passed)
    """
)


def run(folder: Path, ref: str, out: Path, mode: str, at: int) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", CHECKOUT, str(folder), ref, str(out), mode, str(at)]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ, check=False)


@pytest.mark.parametrize("mode", ["link", "copy"])
def test_a_checkout_killed_anywhere_is_told_and_completed(tmp_path: Path, mode: str) -> None:
    folder, out = tmp_path / "p", tmp_path / "out"
    write(tmp_path / "one", ONE)
    write(tmp_path / "two", TWO)
    with create_project(folder) as project:
        first = add_files(project, "d", tmp_path / "one")
        add_files(project, "d", tmp_path / "two", mirror=True, base=first.id)
        checkout(project, "d@v1", out, mode=mode)
        write(out, {"own": b"own"})
    whole = run(folder, "d@v2", out, mode, 0)
    assert whole.returncode == 0, whole.stderr
    points = whole.stdout.split()
    assert {"working.staged", "working.begun", "working.removed", "working.moved", "working.placed"} <= set(points)

    with open_project(folder) as project:
        for at in range(1, len(points) + 1):
            checkout(project, "d@v1", out, mode=mode)
            assert run(folder, "d@v2", out, mode, at).returncode == -9, points[at - 1]

            here = held(out)
            here = {path: data for path, data in here.items() if not path.startswith(".headwater/")}
            status = folder_status(project, out)
            assert here.pop("own") == b"own"
            # Every file is that of one of the two versions, and the status says which it is told against.
            assert all(data in (ONE.get(path), TWO.get(path)) for path, data in here.items())
            against = {"d@v1": ONE, "d@v2": TWO}[status.ref]
            assert set(status.changed) == {p for p in here.keys() & against.keys() if here[p] != against[p]}
            assert set(status.removed) == against.keys() - here.keys()
            assert set(status.added) == (here.keys() - against.keys()) | {"own"}
            if here not in (ONE, TWO):
                assert status.unfinished == "d@v2"
            checkout(project, "d@v2", out, mode=mode)

            assert held(out) == {**TWO, "own": b"own"}
            assert folder_status(project, out).added == ("own",)
            assert not folder_status(project, out).unfinished


def test_a_first_checkout_that_is_killed_leaves_nothing_that_stays(tmp_path: Path) -> None:
    folder, out = tmp_path / "p", tmp_path / "there" / "out"
    write(tmp_path / "one", ONE)
    with create_project(folder) as project:
        add_files(project, "d", tmp_path / "one")
        killed = run(folder, "d@v1", out, "link", 1)
        assert killed.returncode == -9, killed.stderr
        assert not out.exists()
        [left] = out.parent.iterdir()
        assert left.name.endswith(".partial")

        checkout(project, "d@v1", out)

        assert list(out.parent.iterdir()) == [out]
        assert held(out) == ONE
        assert folder_status(project, out).clean

"""Many processes that write runs to one project at once: none sees a lock, and nothing is lost."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from headwater.project import create_project
from headwater.track import list_runs

WRITER = """
import sys
from headwater.project import open_project
from headwater.track import track

with open_project(sys.argv[1]) as project:
    print("ready", flush=True)
    sys.stdin.readline()
    for number in range(3):
        with track(project, "write", {"number": number}) as run:
            run.log_series("loss", [1.0, 2.0, 3.0])
"""


@pytest.mark.parametrize("writers", [16, pytest.param(64, marks=pytest.mark.long)])
def test_writers_at_once_lose_nothing(tmp_path: Path, writers: int) -> None:
    project = create_project(tmp_path / "project", name="test", actor="ann")
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(project.root)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True,
        )
        for _ in range(writers)
    ]  # fmt: skip
    for process in processes:
        assert process.stdout is not None
        process.stdout.readline()
    ended = [process.communicate("go\n") for process in processes]
    runs = list_runs(project, limit=1000).runs

    assert [process.returncode for process in processes] == [0] * writers, [error for _, error in ended if error][:1]
    assert len(runs) == writers * 3
    assert {run.metrics["loss"].points for run in runs} == {3}
    project.close()

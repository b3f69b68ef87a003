"""The process that runs the writer's cases in forks of itself."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.crash import writer


class Cases:
    """Runs the writer, kills it, and checks what it left."""

    def __init__(self, process: subprocess.Popen[str], place: Path) -> None:
        self._process = process
        self._place = place
        self._made = 0

    def folder(self) -> Path:
        """Return a new folder with the files that the writer will add."""
        self._made += 1
        folder = self._place / f"case-{self._made}"
        writer.prepare(folder)
        return folder

    def write(self, folder: Path, **how: Any) -> dict[str, Any]:
        """Let the writer write there; return its exit code and how long it took."""
        return self._ask({"do": "write", "folder": str(folder), **how})

    def check(self, folder: Path) -> list[str]:
        """Return what is missing or wrong there."""
        done = self._ask({"do": "check", "folder": str(folder)})
        assert done["code"] == 0, done
        found: list[str] = json.loads((folder / "found.json").read_text())
        return found

    def _ask(self, case: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(case) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer


@contextmanager
def running(place: Path) -> Iterator[Cases]:
    """Yield the cases of a process that ends with the block; their folders lie in ``place``."""
    command = [sys.executable, "-m", "tests.crash.writer"]
    root = Path(__file__).parent.parent.parent
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=root) as process:
        yield Cases(process, place)

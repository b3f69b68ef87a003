"""The environment of a run: git commit, branch and uncommitted diff, Python, installed distributions.

The diff and the list of distributions are texts kept as objects; the run names them by digest.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from headwater.canonical import digest

if TYPE_CHECKING:
    from headwater.project import Project

LARGEST_DIFF = 16 << 20


class EnvironmentCapture:
    """Asks git in the background; ``result`` waits for the answer. Costs nothing outside a git checkout."""

    def __init__(self, folder: Path) -> None:
        self._asked: dict[str, subprocess.Popen[bytes] | None] = {}
        self._found: dict[str, str] | None = None
        self._texts: dict[str, bytes] = {}
        if _in_git(folder):
            self._asked["commit"] = _git(folder, "rev-parse", "HEAD")
            self._asked["branch"] = _git(folder, "symbolic-ref", "--short", "-q", "HEAD")
            self._asked["diff"] = _git(folder, "diff", "HEAD", "--no-ext-diff", "--binary")

    def result(self, timeout_s: float = 5.0) -> dict[str, str]:
        """Return ``python``, ``platform``, ``packages`` (a digest) and, in a checkout, ``commit``, ``branch`` and
        ``diff`` (a digest), where there are any.
        """
        if self._found is None:
            answers = {name: _answer(asked, timeout_s) for name, asked in self._asked.items()}
            found = {"python": platform.python_version(), "platform": f"{sys.platform}-{os.uname().machine}"}
            found["packages"] = self._keep("\n".join([*installed(), ""]).encode())
            found |= {name: text.decode().strip() for name, text in answers.items() if text and name != "diff"}
            if changed := answers.get("diff"):
                found["diff"] = self._keep(changed[:LARGEST_DIFF])
            self._found = found
        return self._found

    def put(self, project: Project) -> None:
        """Put the texts that the result names into the store, those that are not there."""
        self.result()
        if self._texts:
            for name in project.objects.missing(list(self._texts)):
                project.objects.put(self._texts[name])

    def _keep(self, text: bytes) -> str:
        name = digest(text)
        self._texts[name] = text
        return name


def capture_environment(folder: Path) -> dict[str, str]:
    """Return what ``EnvironmentCapture`` finds for a folder, waiting for git."""
    return EnvironmentCapture(folder).result()


def installed() -> list[str]:
    """Return the installed distributions as ``name==version``, sorted, from the names of their metadata folders."""
    names: set[str] = set()
    for place in sys.path:
        try:
            names.update(entry.name[:-10] for entry in os.scandir(place or ".") if entry.name.endswith(".dist-info"))
        except OSError:
            continue
    return sorted("==".join(name.rsplit("-", 1)) for name in names)


def _in_git(folder: Path) -> bool:
    return any((each / ".git").exists() for each in (folder, *folder.parents))


def _git(folder: Path, *arguments: str) -> subprocess.Popen[bytes] | None:
    command = ["git", "-C", str(folder), *arguments]
    try:
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
    except OSError:
        return None


def _answer(process: subprocess.Popen[bytes] | None, timeout_s: float) -> bytes:
    if process is None:
        return b""
    try:
        out, _ = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return b""
    return out if process.returncode == 0 else b""

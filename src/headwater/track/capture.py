"""The code and the environment of a run: git commit and uncommitted diff, Python, installed distributions."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

from headwater.canonical import digest


class EnvironmentCapture:
    """Asks git in the background; ``result`` waits for the answer. Costs nothing outside a git checkout."""

    def __init__(self, folder: Path) -> None:
        self._commit: subprocess.Popen[bytes] | None = None
        self._diff: subprocess.Popen[bytes] | None = None
        if _in_git(folder):
            self._commit = _git(folder, "rev-parse", "HEAD")
            self._diff = _git(folder, "diff", "HEAD", "--no-ext-diff", "--binary")

    def result(self, timeout_s: float = 5.0) -> dict[str, str]:
        """Return ``python``, ``platform``, ``packages`` and, in a checkout, ``commit`` and ``diff`` (a digest)."""
        found = {
            "python": platform.python_version(),
            "platform": f"{sys.platform}-{os.uname().machine}",
            "packages": digest("\n".join(installed()).encode()),
        }
        commit = _answer(self._commit, timeout_s)
        if commit:
            found["commit"] = commit.decode().strip()
        changed = _answer(self._diff, timeout_s)
        if changed:
            found["diff"] = digest(changed)
        return found


def capture_environment(folder: Path) -> dict[str, str]:
    """Return what ``EnvironmentCapture`` finds for a folder, waiting for git."""
    return EnvironmentCapture(folder).result()


def installed() -> list[str]:
    """Return the installed distributions as ``name-version``, sorted, from the names of their metadata folders."""
    names: set[str] = set()
    for place in sys.path:
        try:
            names.update(entry.name[:-10] for entry in os.scandir(place or ".") if entry.name.endswith(".dist-info"))
        except OSError:
            continue
    return sorted(names)


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

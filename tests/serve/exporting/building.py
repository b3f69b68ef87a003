"""What builds and runs an export as its own files say, in a clean environment and an empty folder: no Docker is needed.

A Dockerfile's COPY copies, its RUN lines run in a shell, its CMD starts; what a container gives them, a Python and an
empty folder, a fresh virtual environment gives them here. Nothing of this repository can be imported there.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_KEPT = re.compile(r"(PIP|UV)_|SSL_CERT|REQUESTS_CA|HTTPS?_PROXY|NO_PROXY|HOME$|LANG$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Recipe:
    """A Dockerfile's instructions, in order, and its last CMD and HEALTHCHECK."""

    steps: list[tuple[str, str]]
    env: dict[str, str] = field(default_factory=dict)

    def last(self, name: str) -> str:
        """Return the argument of the last instruction of a name."""
        return [text for each, text in self.steps if each == name][-1]

    @property
    def command(self) -> list[str]:
        """The words of CMD, which is in its exec form."""
        words: list[str] = json.loads(self.last("CMD"))
        return words


def read_dockerfile(path: Path) -> Recipe:
    """Return the instructions of a Dockerfile without comments; one that is not known here is an error."""
    known = {"FROM", "ENV", "WORKDIR", "COPY", "RUN", "USER", "EXPOSE", "HEALTHCHECK", "CMD"}
    recipe = Recipe([])
    for line in path.read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        name, _, text = line.partition(" ")
        assert name in known, f"{name} is no instruction that this test knows"
        recipe.steps.append((name, text))
        if name == "ENV":
            recipe.env.update(dict(pair.split("=", 1) for pair in text.split()))
    return recipe


def make_environment(folder: Path) -> Path:
    """Return the folder of a new virtual environment with pip and nothing else."""
    subprocess.run([sys.executable, "-m", "uv", "venv", "--quiet", "--seed", folder], check=True)
    return folder


def install(folder: Path, what: Sequence[str]) -> Path:
    """Return the folder of a new virtual environment with some wheels and what they require, and nothing else."""
    subprocess.run([sys.executable, "-m", "uv", "venv", "--quiet", folder], check=True)
    python = ["--python", str(folder / "bin" / "python")]
    subprocess.run([sys.executable, "-m", "uv", "pip", "install", "--quiet", *python, *what], check=True)
    return folder


def clean(environment: Path, more: dict[str, str] | None = None) -> dict[str, str]:
    """Return the variables of a process that has this environment's Python first and knows nothing of ours."""
    kept = {key: value for key, value in os.environ.items() if _KEPT.match(key)}
    return {**kept, "PATH": f"{environment / 'bin'}:/usr/bin:/bin", **(more or {})}


def build(context: Path, recipe: Recipe, environment: Path, workdir: Path) -> None:
    """Do what the Dockerfile's COPY and RUN lines say, in the folder that stands for its WORKDIR."""
    for name, text in recipe.steps:
        if name == "COPY":
            *sources, target = text.split()
            assert target == "./"
            for source in sources:
                shutil.copy(context / source, workdir)
        elif name == "RUN":
            run(["/bin/sh", "-ec", text], environment, workdir, recipe.env)


def run(
    words: Sequence[str], environment: Path, workdir: Path, more: dict[str, str] | None = None, *, stdin: str = ""
) -> str:
    """Run a command in a clean environment and return what it said; it must end well."""
    done = subprocess.run(
        words, cwd=workdir, env=clean(environment, more), capture_output=True, text=True, input=stdin, check=False
    )
    assert done.returncode == 0, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def at_port(words: Sequence[str], port: int) -> list[str]:
    """Return a command that listens on another port of the loopback: several tests run at once on one machine."""
    changed = list(words)
    changed[changed.index("--port") + 1] = str(port)
    changed[changed.index("--host") + 1] = "127.0.0.1"
    return changed


@contextmanager
def started(
    words: Sequence[str], environment: Path, workdir: Path, port: int, more: dict[str, str] | None = None
) -> Iterator[str]:
    """Yield the address of a server that a command starts, once it is ready; stop it afterwards."""
    process = subprocess.Popen(
        words, cwd=workdir, env=clean(environment, more), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    address = f"http://127.0.0.1:{port}"
    try:
        wait_until_ready(address, process)
        yield address
    finally:
        process.terminate()
        assert process.stderr is not None
        process.stderr.close()
        process.wait(20)


def wait_until_ready(address: str, process: subprocess.Popen[str], seconds: float = 30) -> None:
    """Return when the server says that it is ready."""
    end = time.monotonic() + seconds
    while True:
        try:
            with urllib.request.urlopen(f"{address}/readyz", timeout=5):
                return
        except OSError:
            if process.poll() is not None:
                assert process.stderr is not None
                raise AssertionError(f"the server ended: {process.stderr.read()}") from None
            assert time.monotonic() < end, "the server was not ready in time"
            time.sleep(0.05)


def free_port() -> int:
    """Return a port of the loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def ask(address: str, rows: Any) -> tuple[int, dict[str, Any]]:
    """Return the status and the document that POST /predict answers."""
    body = rows if isinstance(rows, bytes) else json.dumps({"inputs": rows}).encode()
    request = urllib.request.Request(f"{address}/predict", body, {"content-type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def outputs_of(answer: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the outputs of an answer's predictions without their ids."""
    return [{key: value for key, value in each.items() if key != "id"} for each in answer["predictions"]]

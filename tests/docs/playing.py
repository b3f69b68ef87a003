"""Playing a page: its files are written, its Python and its commands are run in one folder, in order."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from tests.docs.pages import Block, blocks

HW = Path(sys.executable).with_name("hw")
# What stands for an id in a page, and where a reader would look it up.
LOOKUPS = {
    "REQUEST": ("release requests", "id"),
    "PREDICTION": ("sql 'SELECT prediction FROM predictions ORDER BY prediction DESC'", "prediction"),
}


class Player:
    """Plays a page in a folder; ``close`` stops what it left running."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = _free_port()
        self.servers: list[subprocess.Popen[bytes]] = []
        # The page's user types plain commands; a project of the environment would hide the folder's.
        self.env = {k: v for k, v in os.environ.items() if not k.startswith("HEADWATER_")}
        self.env["PATH"] = f"{HW.parent}{os.pathsep}{self.env['PATH']}"
        self.said = ""

    def play(self, text: str) -> None:
        """Play each block of a page. A file is written when the project is there, as a reader would."""
        waiting: list[Block] = []
        for block in blocks(text):
            if block.file:
                waiting.append(block)
            elif block.language == "python":
                self._python(block.text)
            if block.language == "console":
                self._console(block.text, waiting)
            elif not block.file:
                continue
            if (self.folder / ".headwater").exists():
                self._write(waiting)

    def close(self) -> None:
        """Stop the servers that the page started."""
        for server in self.servers:
            server.terminate()
            server.wait(30)

    def _write(self, waiting: list[Block]) -> None:
        for block in waiting:
            (self.folder / block.file).write_text(block.text, encoding="utf-8")
        waiting.clear()

    def _python(self, source: str) -> None:
        subprocess.run([sys.executable, "-c", source], cwd=self.folder, env=self.env, check=True, timeout=120)

    def _console(self, text: str, waiting: list[Block]) -> None:
        lines = text.splitlines()
        for place, line in enumerate(lines):
            if not line.startswith("$ "):
                continue
            following = lines[place + 1] if place + 1 < len(lines) else ""
            self._command(line[2:], int(following[6:-1]) if following.startswith("[exit ") else 0)
            if line.startswith("$ hw init"):
                self._write(waiting)

    def _command(self, command: str, exit_code: int) -> None:
        command = self._fill(command.replace("8787", str(self.port)))
        if command.endswith(" &"):
            return self._serve(command.removesuffix(" &"))
        ended = self._run(command)
        self.said += f"$ {command}\n{ended.stdout}{ended.stderr}"
        assert ended.returncode == exit_code, self.said
        return None

    def _fill(self, command: str) -> str:
        for word, (question, field) in LOOKUPS.items():
            if word in command.split() or f"prediction:{word}" in command.split():
                found = json.loads(self._run(f"hw --json {question}").stdout)
                command = command.replace(word, found[0][field])
        return command

    def _run(self, command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-c", command], cwd=self.folder, env=self.env, capture_output=True, text=True, timeout=240
        )

    def _serve(self, command: str) -> None:
        log = (self.folder / "server.log").open("wb")
        with log:
            server = subprocess.Popen(
                ["bash", "-c", f"exec {command}"], cwd=self.folder, env=self.env, stdout=log, stderr=log
            )
        self.servers.append(server)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and server.poll() is None:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/", timeout=5).close()
                return
            except OSError:
                time.sleep(0.2)
        raise AssertionError(f"the server did not come up: {(self.folder / 'server.log').read_text()}")


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])

"""A Dask cluster on this machine, of processes of their own; it ends with the run."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from headwater.errors import UnavailableError

from .current import environment_now
from .processes import end_tree, end_with_starter


class LocalProcesses:
    """A scheduler and workers of one thread each, on the loopback interface.

    Not of multiprocessing, as Dask's own LocalCluster, which would import the caller's script again in each.
    """

    def __init__(self, workers: int) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="headwater-cluster-"))
        self.scheduler_file = str(self.folder / "scheduler.json")
        common = ["--scheduler-file", self.scheduler_file, "--no-dashboard"]
        scheduler = ["scheduler", "--host", "127.0.0.1", "--port", "0", *common]
        worker = [
            "worker", *common, "--host", "127.0.0.1", "--nworkers", str(workers), "--nthreads", "1",
            "--local-directory", str(self.folder), "--death-timeout", "30",
        ]  # fmt: skip
        self._processes = [self._start(scheduler), self._start(worker)]

    def _start(self, words: list[str]) -> subprocess.Popen[bytes]:
        with (self.folder / f"{words[0]}.log").open("wb") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "dask", *words],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                preexec_fn=lambda: end_with_starter(signal.SIGTERM), env=environment_now(),
            )  # fmt: skip

    def address(self, timeout_s: float = 60.0) -> str:
        """Wait for the scheduler and return its HOST:PORT.

        Raises:
            UnavailableError: it did not start in time; with what it said.
        """
        until = time.monotonic() + timeout_s
        while time.monotonic() < until:
            try:
                found = json.loads(Path(self.scheduler_file).read_text())
                return str(found["address"]).partition("://")[2]
            except (OSError, ValueError):  # it is not there, or half written
                time.sleep(0.05)
        raise UnavailableError(f"a Dask scheduler did not start here within {timeout_s:g} s. It said: {self.log()}")

    def log(self) -> str:
        """Return the last lines that scheduler and workers wrote."""
        texts = [path.read_text(errors="replace") for path in sorted(self.folder.glob("*.log"))]
        return "\n".join(line for text in texts for line in text.splitlines()[-5:])

    def close(self) -> None:
        """End the cluster at once."""
        for process in reversed(self._processes):
            end_tree(process.pid)
            process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

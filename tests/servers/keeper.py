"""One server of each kind per test run, shared by the workers, started on first use.

A worker that needs a server starts a keeper, a small process that starts the server and then waits for
the run's main process to end, however it ends; then it stops the server and removes its folder.
"""

import fcntl
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.servers import browser, kafka, postgres, process, s3

STARTERS = {"postgres": postgres.start, "s3": s3.start, "browser": browser.start, "kafka": kafka.start}
# Nothing is kept, so nothing need be written out. SIGQUIT is Postgres' way to end at once and still give back its
# shared memory; asked kindly, SeaweedFS takes more than five seconds.
STOP_SIGNALS = {
    "postgres": signal.SIGQUIT,
    "s3": signal.SIGKILL,
    "browser": signal.SIGTERM,
    "kafka": signal.SIGKILL,
}
ROOT = Path(__file__).parent.parent.parent

# xdist's workers share a name for the run, and are children of its main process.
_XDIST_RUN = os.environ.get("PYTEST_XDIST_TESTRUNUID")
RUN = _XDIST_RUN or f"{os.getpid()}-{time.time_ns()}"
MAIN_PROCESS = os.getppid() if _XDIST_RUN else os.getpid()


def shared_server(kind: str) -> dict[str, str]:
    """Return where the run's server of this kind answers; the first caller starts it.

    Raises:
        ServerError: it could not be started, or a worker of this run found that before.
    """
    # Not pytest's own temporary folder: that one is closed to the user `postgres`.
    folder = Path(tempfile.gettempdir()) / f"headwater-tests-{RUN}" / kind
    folder.mkdir(parents=True, exist_ok=True)
    folder.parent.chmod(0o755)
    folder.chmod(0o755)
    answer = folder / "answer.json"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not answer.exists():
            _start_keeper(kind, folder)
    found: dict[str, str] = json.loads(answer.read_text())
    if "failed" in found:
        raise process.ServerError(found["failed"])
    return found


def _start_keeper(kind: str, folder: Path) -> None:
    with (folder / "keeper.log").open("wb") as log:
        keeper = subprocess.Popen(
            [sys.executable, "-m", "tests.servers.keeper", kind, folder, str(MAIN_PROCESS)],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C in the terminal ends the run, and the run's end ends the keeper
        )
    while not (folder / "answer.json").exists():
        if keeper.poll() is not None:
            raise process.ServerError(f"the keeper of {kind} ended: {(folder / 'keeper.log').read_text()}")
        time.sleep(0.02)
    keeper.returncode = 0  # it goes on by itself: tell Popen not to warn of a child still running


def keep(kind: str, folder: Path, main_process: int) -> None:
    """Start a server, write ``answer.json``, and hold the server until the main process ends."""
    ended = os.pidfd_open(main_process)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    server = None
    try:
        server = _start(kind, folder)
        select.select([ended], [], [])
    finally:
        if server is not None:
            process.stop(server, STOP_SIGNALS[kind])
        shutil.rmtree(folder, ignore_errors=True)
        if not any(folder.parent.iterdir()):
            folder.parent.rmdir()


def _start(kind: str, folder: Path) -> subprocess.Popen[bytes] | None:
    """Return the server, or None with the failure written where the workers read it."""
    failure = ""
    for attempt in range(3):  # another program may take a port between our choice and the server's start
        place = folder / f"try-{attempt}"
        place.mkdir()
        place.chmod(0o755)
        try:
            server, where = STARTERS[kind](place)
        except process.ServerError as error:
            failure = str(error)
            if "make system" in failure:
                break
        else:
            _answer(folder, where)
            return server
    _answer(folder, {"failed": failure})
    return None


def _answer(folder: Path, answer: dict[str, str]) -> None:
    partial = folder / "answer.partial"
    partial.write_text(json.dumps(answer))
    partial.rename(folder / "answer.json")


if __name__ == "__main__":
    keep(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))

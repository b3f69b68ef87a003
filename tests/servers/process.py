"""Server processes that die with the process that started them."""

import ctypes
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

PR_SET_PDEATHSIG = 1


class ServerError(Exception):
    """A server could not be started; the text says what to do."""


def required_program(name: str, *, package: str) -> str:
    """Return the path of a program of a Debian package, or say how to install it."""
    path = shutil.which(name)
    if path is None:
        raise ServerError(f"{name} is not installed (Debian package {package}): run 'make system' as root")
    return path


def start(
    command: Sequence[str | Path], *, log: Path, user: str | None = None, environment: dict[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Start a server as leader of its own process group; its output goes to ``log``.

    The kernel kills it when the calling thread ends, however that ends.
    """
    libc = ctypes.CDLL(None)

    def die_with_parent() -> None:
        # After the change of user, which would clear it.
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)

    with log.open("ab") as output:
        return subprocess.Popen(
            command,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            user=user,
            group=user,
            extra_groups=[] if user else None,
            env=os.environ | (environment or {}),
            preexec_fn=die_with_parent,
        )


def wait_until(ready: Callable[[], bool], process: subprocess.Popen[bytes], *, log: Path, timeout_s: float) -> None:
    """Return once ``ready()`` is true.

    Raises:
        ServerError: the process ended, or the time is over; carries the end of its log.
    """
    deadline = time.monotonic() + timeout_s
    while not ready():
        if process.poll() is not None:
            raise ServerError(f"{process.args!r} ended with {process.returncode}: {_tail(log)}")
        if time.monotonic() > deadline:
            stop(process)
            raise ServerError(f"{process.args!r} was not ready after {timeout_s} s: {_tail(log)}")
        time.sleep(0.05)


def stop(process: subprocess.Popen[bytes], how: signal.Signals = signal.SIGTERM) -> None:
    """End a server and its children: asked first, killed after five seconds."""
    for number in (how, signal.SIGKILL):
        with suppress(ProcessLookupError, subprocess.TimeoutExpired):
            os.killpg(process.pid, number)
            process.wait(timeout=5)


def _tail(log: Path) -> str:
    return log.read_text(errors="replace")[-2000:] or "(it printed nothing)"

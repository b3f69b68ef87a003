"""Commands and servers from the outside: wall, CPU and memory, and nothing left running."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from .values import MeasureError

_TICK = os.sysconf("SC_CLK_TCK")
_QUIET = {
    "DO_NOT_TRACK": "1",
    "DVC_NO_ANALYTICS": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "GIT_PYTHON_REFRESH": "quiet",
    "METAFLOW_USER": "bench",
    "USERNAME": "bench",
    "GIT_AUTHOR_NAME": "bench",
    "GIT_AUTHOR_EMAIL": "bench@example.org",
    "GIT_COMMITTER_NAME": "bench",
    "GIT_COMMITTER_EMAIL": "bench@example.org",
    "COLUMNS": "100",
}


def environment(home: Path, more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment that every contender gets: a home of its own, and no telemetry.

    Python keeps compiled modules, as it does for everybody; PYTHONDONTWRITEBYTECODE would make each start compile
    all it imports, which hits whoever was not compiled when installed.
    """
    kept = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith("HEADWATER_") and key not in ("PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED")
    }
    return {**kept, **_QUIET, "HOME": str(home), **(more or {})}


@dataclass(frozen=True, slots=True)
class Finished:
    """A command that ended well. ``cpu_s`` is user and system time of it and of all children it waited for."""

    wall_s: float
    cpu_s: float
    output: str


def run(
    command: Sequence[str | Path],
    folder: Path,
    more: Mapping[str, str] | None = None,
    *,
    limit_s: float = 600,
    expected: int = 0,
) -> Finished:
    """Run a command to its end.

    Raises:
        MeasureError: it is not there, ended with another code than ``expected``, or took longer than ``limit_s``.
    """
    words = [str(each) for each in command]
    log = folder / ".command-output"
    with log.open("wb") as output:
        started = time.perf_counter()
        try:
            process = subprocess.Popen(
                words, cwd=folder, env=environment(folder, more), stdout=output, stderr=output, start_new_session=True
            )
        except OSError as error:
            raise MeasureError(f"'{_short(words)}' did not start: {error.strerror}") from error
        timer = threading.Timer(limit_s, _kill, (process.pid,))
        timer.start()
        try:
            _, status, used = os.wait4(process.pid, 0)
        except BaseException:
            _kill(process.pid)
            raise
        finally:
            timer.cancel()
        wall = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
    text = log.read_text(errors="replace")
    if process.returncode != expected:
        raise MeasureError(f"'{_short(words)}' ended with {process.returncode}: {_last_line(text)}")
    return Finished(wall, used.ru_utime + used.ru_stime, text)


class Server:
    """A server that runs while it is measured."""

    def __init__(self, process: subprocess.Popen[bytes], url: str, started_s: float) -> None:
        self.pid = process.pid
        self.url = url.rsplit("/", 1)[0]
        self.started_s = started_s

    def cpu_s(self) -> float:
        """Return the CPU seconds used so far by its process tree."""
        return sum(_cpu_of(pid) for pid in tree(self.pid))

    def memory_mib(self) -> float:
        """Return the proportional set sizes of its process tree, so that shared pages count once."""
        return sum(_pss_of(pid) for pid in tree(self.pid))


@contextmanager
def serving(
    command: Sequence[str | Path],
    url: str,
    folder: Path,
    more: Mapping[str, str] | None = None,
    *,
    limit_s: float = 120,
) -> Iterator[Server]:
    """Run a server until the block ends; the block begins when ``url`` first answers.

    Raises:
        MeasureError: it ended, or did not answer in time; with the last line it wrote.
    """
    words = [str(each) for each in command]
    log = folder / ".server-output"
    with log.open("wb") as output:
        started = time.perf_counter()
        try:
            process = subprocess.Popen(
                words, cwd=folder, env=environment(folder, more), stdout=output, stderr=output, start_new_session=True
            )
        except OSError as error:
            raise MeasureError(f"'{_short(words)}' did not start: {error.strerror}") from error
    try:
        while not _answers(url):
            waited = time.perf_counter() - started
            if process.poll() is not None or waited > limit_s:
                why = "ended" if process.returncode is not None else f"gave no answer in {waited:.0f} s"
                raise MeasureError(f"'{_short(words)}' {why}: {_last_line(log.read_text(errors='replace'))}")
            time.sleep(0.005)
        yield Server(process, url, time.perf_counter() - started)
    finally:
        _stop(process)


def free_port() -> int:
    """Return a loopback port that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def tree(pid: int) -> list[int]:
    """Return a process and all that descend from it."""
    found, waiting = [], [pid]
    while waiting:
        one = waiting.pop()
        found.append(one)
        with suppress(OSError):
            for task in os.listdir(f"/proc/{one}/task"):
                waiting += map(int, Path(f"/proc/{one}/task/{task}/children").read_text().split())
    return found


def _cpu_of(pid: int) -> float:
    with suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        return sum(map(int, fields[11:15])) / _TICK  # its own, and that of children it waited for
    return 0.0


def _pss_of(pid: int) -> float:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1024
    return 0.0


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return bool(response.status == 200)
    except OSError:
        return False


def _stop(process: subprocess.Popen[bytes]) -> None:
    pids = tree(process.pid)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(10)
    _kill(process.pid)
    for pid in pids[1:]:  # a child that left the group
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.wait()
    # Killed is not yet gone: what still ends would take CPU and memory from the next to be measured.
    until = time.monotonic() + 5
    while any(map(runs, pids)) and time.monotonic() < until:
        time.sleep(0.01)


def runs(pid: int) -> bool:
    """Tell whether a process runs; one that ended and was not waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


def _kill(group: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


def _short(words: Sequence[str]) -> str:
    return " ".join([Path(words[0]).name, *words[1:]])[:80]


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:200] if lines else "it said nothing"


def at_once(commands: Sequence[Sequence[str | Path]], folder: Path, limit_s: float) -> list[str]:
    """Start programs, let them begin together when each has said a line, and return what each said last.

    Raises:
        MeasureError: one of them failed.
    """
    with ExitStack() as stack:
        processes = [
            stack.enter_context(
                subprocess.Popen(
                    list(command),
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                    env=environment(folder),
                )
            )
            for command in commands
        ]
        for process in processes:
            assert process.stdout is not None
            process.stdout.readline()
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        said = []
        for command, process in zip(commands, processes, strict=True):
            out, error = process.communicate(timeout=limit_s)
            if process.returncode:
                raise MeasureError(f"{command[1]}: {(error.strip() or 'no word').splitlines()[-1]}")
            said.append(out)
        return said

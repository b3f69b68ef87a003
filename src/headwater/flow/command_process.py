"""One program of a command step: started in its folder, its lines passed on, its end told."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from headwater.errors import UserCodeError

_TOLD_LINES = 20
_GRACE_S = 10.0
_LONGEST = 1 << 16


def execute(
    name: str,
    words: Sequence[str],
    folder: Path,
    environ: Mapping[str, str],
    *,
    stdin: str = "",
    stdout: str = "",
    exits: Sequence[int] = (0,),
    stop_after_s: float | None = None,
    on_line: Callable[[str], Any] | None = None,
    stop: Callable[[], None] | None = None,
) -> None:
    """Run a program to its end; what it prints goes to this process's own output, line by line.

    ``stdout`` is a file of the folder that takes its output instead. ``stop`` ends a program that lives elsewhere.

    Raises:
        UserCodeError: it could not be started, or ended with a status that is not in ``exits``; the message carries
            the last lines that it wrote to its standard error.
    """
    out = (folder / stdout).open("wb") if stdout else None
    source = (folder / stdin).open("rb") if stdin else None
    try:
        process = subprocess.Popen(
            list(words), cwd=folder, env=dict(environ), stdin=source or subprocess.DEVNULL,
            stdout=out or subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
    except OSError as error:
        raise UserCodeError(f"the command {name}: '{words[0]}' cannot be started: {error.strerror}.", "") from error
    finally:
        for each in (out, source):
            if each is not None:
                each.close()
    hearing = _Hearing(process, on_line)
    try:
        stopped = hearing.until_the_end(stop_after_s, stop)
    except BaseException:
        process.kill()
        process.wait()
        raise
    finally:
        hearing.close()
    if process.returncode not in exits and not stopped:
        raise UserCodeError(_why(name, words, process.returncode, exits, hearing.last), "")


class _Hearing:
    """Reads both outputs of a process as they come."""

    def __init__(self, process: subprocess.Popen[bytes], on_line: Callable[[str], Any] | None) -> None:
        self.process = process
        self.on_line = on_line
        self.last: deque[str] = deque(maxlen=_TOLD_LINES)
        self.selector = selectors.DefaultSelector()
        self.held: dict[int, bytes] = {}
        for stream, ours in ((process.stdout, sys.stdout), (process.stderr, sys.stderr)):
            if stream is not None:
                os.set_blocking(stream.fileno(), False)
                self.selector.register(stream, selectors.EVENT_READ, ours)
                self.held[stream.fileno()] = b""

    def until_the_end(self, stop_after_s: float | None, stop: Callable[[], None] | None) -> bool:
        """Read until the process has ended, and tell whether it was ended because its time was over."""
        end = None if stop_after_s is None else time.monotonic() + stop_after_s
        stopped = 0
        while self.selector.get_map() or self.process.poll() is None:
            wait = 0.5 if end is None else max(0.0, min(0.5, end - time.monotonic()))
            if self.selector.get_map():
                for key, _ in self.selector.select(wait):
                    self._read(key.fileobj, key.data)  # type: ignore[arg-type]  # what was registered are streams
            else:
                time.sleep(min(wait, 0.05))
            if end is not None and time.monotonic() >= end and self.process.poll() is None:
                self._end(stop, hard=stopped > 0)
                stopped += 1
                end = time.monotonic() + _GRACE_S
            if self.process.poll() is not None and stopped:
                break  # what it left behind may hold the pipes open
        self.process.wait()
        return stopped > 0

    def _end(self, stop: Callable[[], None] | None, *, hard: bool) -> None:
        if stop is not None:
            stop()
        self.process.send_signal(signal.SIGKILL if hard else signal.SIGTERM)

    def _read(self, stream: IO[bytes], ours: Any) -> None:
        number = stream.fileno()
        data = os.read(number, _LONGEST)
        if not data:
            self._lines(number, b"\n" if self.held[number] else b"", ours)
            self.selector.unregister(stream)
            return
        self._lines(number, data, ours)

    def _lines(self, number: int, data: bytes, ours: Any) -> None:
        *whole, rest = (self.held[number] + data).replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        if len(rest) > _LONGEST:
            whole, rest = [*whole, rest], b""
        self.held[number] = rest
        for line in whole:
            text = line.decode("utf-8", "replace")
            ours.write(f"{text}\n")
            if ours is sys.stderr:
                self.last.append(text)
            if self.on_line is not None:
                self.on_line(text)
        ours.flush()

    def close(self) -> None:
        """Let go of the pipes."""
        self.selector.close()
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()


def _why(name: str, words: Sequence[str], status: int, exits: Sequence[int], last: Sequence[str]) -> str:
    if status < 0:
        try:
            how = f"was ended by {signal.Signals(-status).name}"
        except ValueError:
            how = f"was ended by signal {-status}"
    else:
        wanted = "" if tuple(exits) == (0,) else f" ({', '.join(map(str, exits))} would be well)"
        how = f"ended with exit status {status}{wanted}"
    told = "\n".join(line for line in last if line.strip())
    said = f" Its last lines:\n{told}" if told else " It wrote nothing to its standard error."
    return f"the command {name} {how}: {' '.join(words)[:500]}.{said}"

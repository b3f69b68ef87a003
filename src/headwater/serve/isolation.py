"""A model version in a process of its own: one that crashes, hangs or leaks takes no other answer with it.

The process is started again when it died, was killed because an answer took too long, or was let go because it held too
much memory. One that dies again and again is left alone for a while, and requests are told when to come back.
"""

from __future__ import annotations

import logging
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import msgspec

from headwater.errors import (
    HeadwaterError,
    MissingExtraError,
    RefusedError,
    UnavailableError,
    UserCodeError,
    error_classes,
)
from headwater.model import Execution
from headwater.model.columns import columns_from_rows, input_columns, rows_from_columns
from headwater.model.loaded import Loaded

from .messages import receive, send

if TYPE_CHECKING:
    from headwater.model import ModelVersion

    from .settings import ModelSettings

START_S = 120.0
"""So long a model may take to load."""

LOOK_S = 0.1
"""How often its memory is looked at."""

DEATHS, WITHIN_S = 4, 20.0
"""A process that ended so often within so many seconds is left alone until the first of these is over."""

_PASSED = frozenset(
    ("PATH", "LANG", "TMPDIR", "HOME", "TZ", "PYTHONPATH", "VIRTUAL_ENV", "LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES")
)
_log = logging.getLogger("headwater.serve")


class ModelFailedError(HeadwaterError):
    """The model crashed, hung or held too much memory while it answered: its process was started anew."""

    kind = "model_failed"
    http_status = 500


class Isolated(Loaded):
    """A version that answers from a process of its own, one batch at a time. Safe to call from several threads."""

    def __init__(self, version: ModelVersion, get: Callable[[str], bytes], settings: ModelSettings) -> None:
        self._get = get
        self._settings = settings
        self._turn = threading.Lock()
        self._deaths: deque[float] = deque(maxlen=DEATHS)
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._looked_at = 0.0
        self.restarts = 0
        super().__init__(version, _Answers(self), self._begin(version))

    def predict(self, rows: Sequence[dict[str, Any]], *, validated: bool = False) -> list[dict[str, Any]]:
        """As ``Loaded.predict``.

        Raises:
            ModelFailedError: the process ended or was ended; the next request is answered by a new one.
            UnavailableError: it did so too often lately.
        """
        if not rows:
            return []
        good = rows if validated else self.contract.validate(rows)
        with self._turn:
            if self._process is None:
                self._begin(self.version)
            said = self._ask(list(good), self._settings.answer_s)
            self._let_go_if_large()
        if "error" in said:
            raise _error(said["error"], self.version.label)
        outputs: list[dict[str, Any]] = said["outputs"]
        return outputs

    @property
    def pid(self) -> int | None:
        """The process, while there is one."""
        return self._process.pid if self._process is not None else None

    def close(self) -> None:
        """End the process; it is started again by the next request."""
        with self._turn:
            self._end()

    def _begin(self, version: ModelVersion) -> Execution:
        """Start a process and let it load the version; returns what computes there."""
        now = time.monotonic()
        if len(self._deaths) == DEATHS and now - self._deaths[0] < WITHIN_S:
            wait = int(WITHIN_S - (now - self._deaths[0])) + 1
            raise UnavailableError(
                f"the process of {version.label} ended {DEATHS} times within {WITHIN_S:.0f} s, so it is not started "
                f"again for {wait} s. The server's log says how it ended; release another version to go back.",
                retry_after_s=wait,
            )
        ours, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, "-m", "headwater.serve.child", str(theirs.fileno())]
            self._process = subprocess.Popen(
                command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, env=child_environment(os.environ)
            )
        self._socket = ours
        weakref.finalize(self, _kill, self._process, ours)
        try:
            return self._load(version)
        except BaseException:
            self._end()  # half loaded, it could not answer what comes next
            raise

    def _load(self, version: ModelVersion) -> Execution:
        own = {each.digest for each in version.files}
        said = self._ask(msgspec.to_builtins(version), START_S, version.label)
        while "get" in said:
            if said["get"] not in own:
                raise RefusedError(
                    f"the process of {version.label} asked for bytes that are no file of its version, so it was ended. "
                    "Look at what its code does before you release it again."
                )
            said = self._ask(self._get(said["get"]), START_S, version.label)
        if "error" in said:
            raise _error(said["error"], version.label)
        return msgspec.convert(said["ready"], Execution, strict=False)

    def _ask(self, message: Any, within_s: float, label: str = "") -> dict[str, Any]:
        """Send a message and return what comes back, looking at the process meanwhile.

        Raises:
            ModelFailedError: it ended, or was ended because it took too long or held too much.
        """
        connection, process = self._socket, self._process
        assert connection is not None and process is not None
        name = label or self.version.label
        until = time.monotonic() + within_s
        connection.settimeout(within_s)
        try:
            send(connection, message)
            while not _readable(connection):
                if time.monotonic() > until:
                    raise TimeoutError
                held = _memory_mib(process.pid)
                if held > self._settings.most_memory_mib:
                    raise self._failed(f"{name} held {held:,.0f} MiB while it answered, more than {self._limit()}")
            said: dict[str, Any] = receive(connection)
        except TimeoutError as error:
            raise self._failed(f"{name} did not answer within {within_s:g} s ([serve] answer_s)") from error
        except (OSError, EOFError, msgspec.DecodeError) as error:
            raise self._failed(f"{name} ended while it answered ({_how(process)})") from error
        return said

    def _failed(self, what: str) -> ModelFailedError:
        """End the process, remember when, and return the error that tells of it."""
        self._end()
        self._deaths.append(time.monotonic())
        self.restarts += 1
        _log.error("%s; its process is started anew for the next request", what)
        return ModelFailedError(
            f"{what}; nothing of this request is kept. The next one is answered by a new process; if rows like these "
            "do it again, correct the model, or release another version."
        )

    def _let_go_if_large(self) -> None:
        """End a process that holds too much between two answers: whoever asks next gets a new one."""
        now = time.monotonic()
        if self._process is None or now - self._looked_at < LOOK_S:
            return
        self._looked_at = now
        held = _memory_mib(self._process.pid)
        if held > self._settings.most_memory_mib:
            _log.warning("%s held %.0f MiB, more than %s: it starts anew", self.version.label, held, self._limit())
            self._end()
            self.restarts += 1

    def _limit(self) -> str:
        return f"{self._settings.most_memory_mib:,} MiB ([serve] most_memory_mib)"

    def _end(self) -> None:
        if self._process is not None and self._socket is not None:
            _kill(self._process, self._socket)
        self._process = self._socket = None


class _Answers:
    """The predictor of an isolated version: columns go to the process as rows."""

    def __init__(self, isolated: Isolated) -> None:
        self._isolated = weakref.proxy(isolated)

    def predict(self, columns: Mapping[str, Any]) -> dict[str, Any]:
        """Return each contract output, shape (rows,), for typed input columns."""
        contract = self._isolated.contract
        rows = rows_from_columns(contract.inputs, input_columns(contract.inputs, columns))
        return columns_from_rows(contract.outputs, self._isolated.predict(rows, validated=True))


def child_environment(ours: Mapping[str, str]) -> dict[str, str]:
    """Return what the process of a model sees of the server's environment: no credentials, nor anything unknown."""
    return {
        name: value
        for name, value in ours.items()
        if name in _PASSED or name.startswith("LC_") or name.endswith("_NUM_THREADS")
    }


def _readable(connection: socket.socket) -> bool:
    looking = select.poll()
    looking.register(connection, select.POLLIN)
    return bool(looking.poll(LOOK_S * 1000))


def _error(told: dict[str, Any], label: str) -> HeadwaterError:
    """Return the error that the process told of."""
    cls = error_classes().get(told["kind"])
    if cls is None or issubclass(cls, MissingExtraError | UserCodeError):
        return ModelFailedError(f"{label} failed: {told['message']}")
    return cls(told["message"], **told["values"])


def _how(process: subprocess.Popen[bytes]) -> str:
    """Return how a process ended: its exit code, or the signal's name."""
    with suppress(subprocess.TimeoutExpired):
        code = process.wait(5)
        return f"exit code {code}" if code >= 0 else signal.Signals(-code).name
    return "it closed its connection"


def _memory_mib(pid: int) -> float:
    """Return the resident memory of a process, 0 where it is gone. Source: /proc/PID/statm."""
    try:
        with open(f"/proc/{pid}/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
    except (OSError, IndexError):
        return 0.0


def _kill(process: subprocess.Popen[bytes], connection: socket.socket) -> None:
    connection.close()
    process.kill()
    process.wait()

"""The worker processes of one run: started when the first step has to run, gone when the run ends."""

from __future__ import annotations

import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from headwater.errors import UserCodeError

from . import wire

_LINE_BYTES = 65536
# How long a worker may take to say how a child ended that closed its channel without an answer.
_ENDING_S = 1.0


class Setup(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker is told first: where the snapshot lies, what to import, which modules count as imported."""

    root: str
    work: str
    snapshot: str
    digest: str
    modules: list[str]
    also: list[str]
    strict: bool


class Job(msgspec.Struct, kw_only=True):
    """One task as a worker takes it. ``ended`` gets the answer; ``said`` gets lines and where they were written."""

    step: str
    code: str
    imports: list[str]
    request: dict[str, Any]
    timeout_s: float | None
    ended: Callable[[dict[str, Any]], None]
    said: Callable[[str, str], None]


class _Running:
    def __init__(self, job: Job, worker: _Process, channel: socket.socket, out: int, err: int) -> None:
        self.job = job
        self.worker = worker
        self.channel = channel
        self.pipes = {out: ("out", bytearray()), err: ("err", bytearray())}
        self.pid = 0
        self.status: int | None = None
        self.answer: dict[str, Any] | None = None
        self.deadline: float | None = None
        self.silent_until: float | None = None
        self.why_killed = ""


class _Process:
    """One worker process and the socket to it."""

    def __init__(self, setup: Setup, environ: dict[str, str]) -> None:
        here, there = socket.socketpair()
        with there:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "headwater.flow.worker", str(there.fileno())],
                pass_fds=[there.fileno()],
                env=environ,
                stdin=subprocess.DEVNULL,
                cwd=setup.root,
                start_new_session=True,
            )
        self.control = here
        self.ready = False
        self.forkable = True
        self.busy = 0
        self.ended: dict[int, int] = {}
        wire.send(here, msgspec.to_builtins(setup))


class Pool:
    """Runs jobs, at most ``size`` at once. All methods are called from the run's scheduler thread."""

    def __init__(self, setup: Setup, environ: dict[str, str], size: int) -> None:
        self.setup = setup
        self.environ = environ
        self.size = size
        self.selector = selectors.DefaultSelector()
        self.waiting: list[Job] = []
        self.running: list[_Running] = []
        self.processes: list[_Process] = []
        self.failure: UserCodeError | None = None

    def add(self, job: Job) -> None:
        """Take a job; it starts when a place is free."""
        if not self.processes:
            self._start()
        self.waiting.append(job)
        self._hand_out()

    def _start(self) -> None:
        process = _Process(self.setup, self.environ)
        self.processes.append(process)
        self.selector.register(process.control, selectors.EVENT_READ, lambda: self._heard(process))

    def _hand_out(self) -> None:
        while self.waiting and len(self.running) < self.size:
            process = self._free()
            if process is None:
                return
            self._launch(process, self.waiting.pop(0))

    def _free(self) -> _Process | None:
        ready = [each for each in self.processes if each.ready]
        if not ready:
            return None
        if ready[0].forkable:
            return ready[0]
        idle = next((each for each in ready if not each.busy), None)
        if idle is None and len(self.processes) < self.size:
            self._start()
        return idle

    def _launch(self, process: _Process, job: Job) -> None:
        here, there = socket.socketpair()
        out, out_there = os.pipe()
        err, err_there = os.pipe()
        try:
            message = {"step": job.step, "code": job.code, "imports": job.imports}
            wire.send(process.control, message, [there.fileno(), out_there, err_there])
        except OSError:
            self.waiting.insert(0, job)
            for each in (out, err):
                os.close(each)
            here.close()
            return
        finally:
            there.close()
            os.close(out_there)
            os.close(err_there)
        running = _Running(job, process, here, out, err)
        process.busy += 1
        self.running.append(running)
        for pipe in running.pipes:
            os.set_blocking(pipe, False)
            self.selector.register(pipe, selectors.EVENT_READ, lambda p=pipe: self._read_pipe(running, p))
        self.selector.register(here, selectors.EVENT_READ, lambda: self._answered(running))
        try:
            wire.send(here, job.request)
        except OSError:
            return  # the child is gone already: its closed channel says so next

    def poll(self, timeout_s: float | None) -> None:
        """Wait for something to happen, at most ``timeout_s``, and take it in."""
        deadlines = [at for each in self.running for at in (each.deadline, each.silent_until) if at is not None]
        if deadlines:
            left = max(0.0, min(deadlines) - time.monotonic())
            timeout_s = left if timeout_s is None else min(timeout_s, left)
        for key, _ in self.selector.select(timeout_s):
            if self.selector.get_map().get(key.fd) is key:  # what came before may have closed it, or opened another
                key.data()
        for each in list(self.running):
            if each.deadline is not None and time.monotonic() >= each.deadline:
                each.deadline = None
                self._kill(each, f"it ran longer than its timeout of {each.job.timeout_s:g} s")
            if each.silent_until is not None and time.monotonic() >= each.silent_until:
                self._finish(each)
        self._hand_out()

    def _heard(self, process: _Process) -> None:
        try:
            message, _ = wire.receive(process.control)
        except OSError:
            message = None
        if message is None:
            self._lost(process)
        elif "ready" in message:
            process.ready, process.forkable = True, message["forkable"]
        elif "error" in message:
            text = message.get("traceback", "")
            self.failure = UserCodeError(f"the project's code cannot be imported: {message['error']}", text)
        elif "ended" in message:
            self._ended(process, message["ended"], message["status"])

    def _ended(self, process: _Process, pid: int, status: int) -> None:
        """Note how a child of a worker ended."""
        mine = [each for each in self.running if each.worker is process]
        found = next((each for each in mine if each.pid == pid), None)
        if found is not None:
            found.status = status
            if found.silent_until is not None:
                self._finish(found)
        elif any(not each.pid for each in mine):
            process.ended[pid] = status  # it died so early that its own word of who it is was not read yet

    def _lost(self, process: _Process) -> None:
        self.selector.unregister(process.control)
        process.control.close()
        self.processes.remove(process)
        status = process.process.wait()
        if not process.ready and self.failure is None:
            self.failure = UserCodeError(f"the worker process ended with {status} while importing the project", "")
        for each in [each for each in self.running if each.worker is process]:
            if each.pid:
                _kill_group(each.pid)
            each.why_killed = each.why_killed or f"its worker process ended ({_ending(status)})"
            self._finish(each)
        if self.waiting and self.failure is None:
            self._start()

    def _read_pipe(self, running: _Running, pipe: int) -> None:
        try:
            data = os.read(pipe, _LINE_BYTES)
        except BlockingIOError:
            return
        name, held = running.pipes[pipe]
        if not data and pipe in self.selector.get_map():
            self.selector.unregister(pipe)
        held += data
        *lines, rest = bytes(held).split(b"\n")
        if not data and rest:
            lines, rest = [*lines, rest], b""
        held[:] = rest if len(rest) < _LINE_BYTES else b""
        if len(rest) >= _LINE_BYTES:
            lines.append(rest)
        for line in lines:
            running.job.said(name, line.decode("utf-8", "replace"))

    def _answered(self, running: _Running) -> None:
        try:
            message, _ = wire.receive(running.channel)
        except OSError:
            message = None
        if message is not None and "pid" in message:
            running.pid = message["pid"]
            running.status = running.worker.ended.pop(running.pid, None)
            if running.job.timeout_s is not None:
                running.deadline = time.monotonic() + running.job.timeout_s
            return
        running.answer = message
        if message is None and running.pid and running.status is None and running.worker.forkable:
            # It died: its worker says how in a moment, on a socket that only _heard reads.
            self.selector.unregister(running.channel)
            running.deadline = None
            running.silent_until = time.monotonic() + _ENDING_S
        else:
            self._finish(running)

    def _finish(self, running: _Running) -> None:
        if running not in self.running:
            return
        self.running.remove(running)
        running.worker.busy -= 1
        if running.silent_until is None:
            self.selector.unregister(running.channel)
        running.channel.close()
        for pipe, (_, _held) in running.pipes.items():
            self._read_pipe(running, pipe)
            if pipe in self.selector.get_map():
                self.selector.unregister(pipe)
                _flush_rest(running, pipe)
            os.close(pipe)
        answer = running.answer
        if answer is None:
            ended = f"its process ended without a result ({_ending(running.status)})"
            answer = {"killed": running.why_killed or ended}
        running.job.ended(answer)

    def _kill(self, running: _Running, why: str) -> None:
        running.why_killed = why
        if running.worker.forkable and running.pid:
            _kill_group(running.pid)
        else:
            running.worker.process.kill()

    def close(self) -> None:
        """End every process at once."""
        for each in self.running:
            if each.pid and each.worker.forkable:
                _kill_group(each.pid)
            each.channel.close()
            for pipe in each.pipes:
                os.close(pipe)
        self.running.clear()
        for process in self.processes:
            process.control.close()
            process.process.kill()
            process.process.wait()
        self.processes.clear()
        self.selector.close()


_NATIVE_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS")


def environment(root: Path, project: str) -> dict[str, str]:
    """Return the environment of a run's workers: this process's, with what makes imports and hashes the same."""
    package = str(Path(__file__).resolve().parents[2])
    path = [each for each in os.environ.get("PYTHONPATH", "").split(os.pathsep) if each]
    extra = [
        each for each in sys.path if each and each not in path and not each.startswith((sys.prefix, sys.base_prefix))
    ]
    return {
        # One thread of native code in each worker: two workers of two threads on two CPUs spin against each other
        # (a fit of 2 s took 30), and sums in parallel differ in their last bits. What the user set goes first.
        **dict.fromkeys(_NATIVE_THREADS, "1"),
        **os.environ,
        "PYTHONPATH": os.pathsep.join([*path, *extra, *([] if package in (*path, *extra) else [package])]),
        "PYTHONHASHSEED": "0",
        "HEADWATER_PROJECT": project,
    }


def _flush_rest(running: _Running, pipe: int) -> None:
    name, held = running.pipes[pipe]
    if held:
        running.job.said(name, bytes(held).decode("utf-8", "replace"))


def _kill_group(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        # The child has not made its own group yet.
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return


def _ending(status: int | None) -> str:
    if status is None:
        return "how is not known"
    if status >= 0:
        return f"exit status {status}"
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = f"signal {-status}"
    hint = ": killed by someone, or the machine ran out of memory" if status == -signal.SIGKILL else ""
    return f"{name}{hint}"

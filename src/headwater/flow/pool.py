"""The worker processes of one run: started when the first step has to run, gone when the run ends.

Each task runs in a child that a worker forks (``fork``), or in the worker itself, one after another.
"""

from __future__ import annotations

import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec

from headwater.errors import HeadwaterError, UserCodeError

from . import wire
from .current import environment_now
from .executors import Executor, Job, Setup
from .guarding import EVERY_S, MemoryGuard
from .places import Line, Places, Taken
from .processes import end_marked, end_tree

_LINE_BYTES = 65536
# How long a worker may take to say how a child ended that closed its channel without an answer.
_ENDING_S = 1.0


class _Running:
    def __init__(self, job: Job, taken: Taken, worker: _Process, channel: socket.socket, out: int, err: int) -> None:
        self.job = job
        self.taken = taken
        self.started = time.monotonic()
        self.memory_bytes = job.needs.memory_bytes
        self.peak_bytes = 0
        self.worker = worker
        self.channel = channel
        self.pipes = {out: ("out", bytearray()), err: ("err", bytearray())}
        self.pid = 0
        self.status: int | None = None
        self.answer: dict[str, Any] | None = None
        self.deadline: float | None = None
        self.silent_until: float | None = None
        self.why_killed = ""
        self.killed_as = ""


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
        self.gone = False
        self.forkable = True
        self.threads = setup.threads
        self.busy = 0
        self.ended: dict[int, int] = {}
        wire.send(here, msgspec.to_builtins(setup))


class Pool(Executor):
    """Runs jobs in worker processes, as many at once as places allow."""

    def __init__(self, setup: Setup, environ: dict[str, str], places: Places) -> None:
        self.setup = setup
        self.environ = environ
        self.selector = selectors.DefaultSelector()
        self.line: Line[Job] = Line(places)
        self.running: list[_Running] = []
        self.processes: list[_Process] = []
        self.failure: HeadwaterError | None = None
        self._guard = MemoryGuard()
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)
        self.selector.register(self._wake_read, selectors.EVENT_READ, lambda: os.read(self._wake_read, 4096))

    @property
    def busy(self) -> bool:
        return bool(self.running or self.line)

    @property
    def waiting(self) -> int:
        return len(self.line)

    def add(self, job: Job) -> None:
        self.line.add(job)
        if not self.processes:
            self._start()
        self._hand_out()

    def wake(self) -> None:
        try:
            os.write(self._wake_write, b"!")
        except OSError:  # so many have called that poll returns anyway, or it is closed
            return

    def _start(self) -> None:
        process = _Process(self.setup, self.environ)
        self.processes.append(process)
        self.selector.register(process.control, selectors.EVENT_READ, lambda: self._heard(process))

    def _hand_out(self) -> None:
        while self.line:
            process = self._free()
            found = self.line.take() if process is not None else None
            if process is None or found is None:
                return
            self._launch(process, *found)

    def _free(self) -> _Process | None:
        ready = [each for each in self.processes if each.ready and not each.gone]
        if not ready:
            return None
        if ready[0].forkable or ready[0].threads:
            return ready[0]
        idle = next((each for each in ready if not each.busy), None)
        if idle is None and len(self.processes) < self.line.places.cores:
            self._start()
        return idle

    def _launch(self, process: _Process, job: Job, taken: Taken) -> None:
        here, there = socket.socketpair()
        out, out_there = os.pipe()
        err, err_there = os.pipe()
        try:
            message = {"step": job.step, "code": job.code, "imports": job.imports}
            wire.send(process.control, message, [there.fileno(), out_there, err_there])
        except OSError:
            process.gone = True  # the next poll hears so and starts another
            self.line.places.give_back(taken)
            self.line.put_back(job)
            for each in (out, err):
                os.close(each)
            here.close()
            return
        finally:
            there.close()
            os.close(out_there)
            os.close(err_there)
        running = _Running(job, taken, process, here, out, err)
        process.busy += 1
        self.running.append(running)
        for pipe in running.pipes:
            os.set_blocking(pipe, False)
            self.selector.register(pipe, selectors.EVENT_READ, lambda p=pipe: self._read_pipe(running, p))
        self.selector.register(here, selectors.EVENT_READ, lambda: self._answered(running))
        if taken.gpus:
            job.request["environ"]["CUDA_VISIBLE_DEVICES"] = gpu_names(taken.gpus, self.environ)
        try:
            wire.send(here, job.request)
        except OSError:
            return  # the child is gone already: its closed channel says so next

    def poll(self, timeout_s: float | None) -> None:
        deadlines = [at for each in self.running for at in (each.deadline, each.silent_until) if at is not None]
        if deadlines:
            left = max(0.0, min(deadlines) - time.monotonic())
            timeout_s = left if timeout_s is None else min(timeout_s, left)
        if self.running:
            timeout_s = EVERY_S if timeout_s is None else min(timeout_s, EVERY_S)
        for key, _ in self.selector.select(timeout_s):
            if self.selector.get_map().get(key.fd) is key:  # what came before may have closed it, or opened another
                key.data()
        for greedy, why in self._guard.look(self.running):
            self._kill(greedy, why, "MemoryError")
        for each in list(self.running) if deadlines else ():
            if each.deadline is not None and time.monotonic() >= each.deadline:
                each.deadline = None
                self._kill(each, f"it ran longer than its timeout of {each.job.timeout_s:g} s", "TimeoutError")
            if each.silent_until is not None and time.monotonic() >= each.silent_until:
                self._finish(each)
        self._hand_out()

    def cancel(self, identifier: str, why: str) -> None:
        for each in self.running:
            if each.job.id == identifier and not each.why_killed:
                self._kill(each, why, "CancelledError")
                return
        job = next((each for each in self.line if each.id == identifier), None)
        if job is not None and self.line.remove(job):
            job.ended({"killed": why, "kinds": ["CancelledError"]})

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
        mine = [each for each in self.running if each.worker is process]
        one_killed = any(each.why_killed for each in mine)
        for each in mine:
            if process.threads and one_killed and not each.why_killed:
                self._again(each)  # it ran in a thread beside the one that had to be ended
                continue
            if each.pid:
                end_tree(each.pid)
                end_marked(f"HEADWATER_TASK={each.job.id}")
            each.why_killed = each.why_killed or f"its worker process ended ({_ending(status)})"
            self._finish(each)
        if self.line and self.failure is None:
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
            running.started = time.monotonic()
            running.job.started()
            running.status = running.worker.ended.pop(running.pid, None)
            if running.job.timeout_s is not None:
                running.deadline = time.monotonic() + running.job.timeout_s
            return
        if message is not None and "progress" in message:
            running.job.progressed(*message["progress"])
            return
        running.answer = message
        shared = running.worker.forkable or running.worker.threads
        if message is None and running.pid and running.status is None and shared:
            # It died: its worker says how in a moment, on a socket that only _heard reads.
            self.selector.unregister(running.channel)
            running.deadline = None
            running.silent_until = time.monotonic() + _ENDING_S
        else:
            self._finish(running)

    def _finish(self, running: _Running) -> None:
        if running not in self.running:
            return
        self._let_go(running)
        answer = running.answer
        if answer is None:
            ended = f"its process ended without a result ({_ending(running.status)})"
            answer = {"killed": running.why_killed or ended, "kinds": [running.killed_as or "ChildProcessError"]}
        answer["peak_bytes"] = running.peak_bytes
        running.job.ended(answer)

    def _let_go(self, running: _Running) -> None:
        self.running.remove(running)
        self.line.places.give_back(running.taken)
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

    def _again(self, running: _Running) -> None:
        self._let_go(running)
        self.line.put_back(running.job)

    def _kill(self, running: _Running, why: str, kind: str) -> None:
        if running.why_killed:
            return
        running.why_killed, running.killed_as = why, kind
        forked = running.worker.forkable and running.pid
        end_tree(running.pid if forked else running.worker.process.pid)

    def close(self) -> None:
        # With all that they forked, and before their sockets close: a worker that hears of its end ends by itself.
        for process in self.processes:
            end_tree(process.process.pid)
        for each in self.running:
            each.channel.close()
            for pipe in each.pipes:
                os.close(pipe)
        self.running.clear()
        for process in self.processes:
            process.control.close()
            process.process.wait()
        self.processes.clear()
        self.selector.close()
        os.close(self._wake_read)
        os.close(self._wake_write)


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
        **environment_now(),
        "PYTHONPATH": os.pathsep.join([*path, *extra, *([] if package in (*path, *extra) else [package])]),
        "PYTHONHASHSEED": "0",
        "HEADWATER_PROJECT": project,
    }


def gpu_names(indices: tuple[int, ...], environ: dict[str, str]) -> str:
    """Return CUDA_VISIBLE_DEVICES for GPUs of this run, by the names that the run itself was given."""
    visible = environ.get("CUDA_VISIBLE_DEVICES")
    names = [each.strip() for each in visible.split(",")] if visible else [str(each) for each in range(1024)]
    return ",".join(names[each] for each in indices)


def _flush_rest(running: _Running, pipe: int) -> None:
    name, held = running.pipes[pipe]
    if held:
        running.job.said(name, bytes(held).decode("utf-8", "replace"))


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

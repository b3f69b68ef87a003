"""The process that runs steps: it imports the snapshot once and forks a child for each task.

A child starts from freshly imported modules, so no task sees what another left in memory. Where a library that does
not survive a fork has been imported, tasks run in the process itself, one after another, in several such processes.
Run as ``python -m headwater.flow.worker DESCRIPTOR``; what it is told comes over that socket.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from pathlib import Path

import msgspec

from . import printing, wire
from .closure import Analysis
from .importer import SnapshotLoader, install
from .performing import Performer, failure_of, find_step, summary, users_traceback
from .processes import adopt_orphans, die_with_parent, end_below, end_tree, has_children
from .saving import load, save
from .tree import SourceFile, Tree, make_tree
from .watching import ThreadWatch, Watch

# Their thread pools start on import and are not there in the child of a fork.
_NOT_FORKABLE = ("polars", "tensorflow", "jax", "grpc", "ray")
# Slow to import and safe to import before a fork: what a step imports of them is imported once, for all.
_AHEAD = frozenset({"numpy", "pandas", "pyarrow", "scipy", "sklearn", "skops", "joblib", "duckdb", "onnx", "skl2onnx"})
_FORMAT_OF = {"pandas": "pyarrow.parquet", "sklearn": "skops.io"}


class Worker:
    """One process with the snapshot imported."""

    def __init__(self, control: socket.socket) -> None:
        self.control = control
        self.children: set[int] = set()
        self.closures: dict[str, str] = {}

    def serve(self) -> None:
        """Import the project, say so, then run tasks until the run goes away."""
        setup, _ = wire.receive(self.control)
        if setup is None:
            return
        adopt_orphans()
        self.root = Path(setup["root"])
        self.work = Path(setup["work"])
        self.tree = _read_snapshot(setup["snapshot"], setup["root"])
        self.analysis = Analysis(self.tree)
        self.also = setup["also"]
        self.strict = setup["strict"]
        if self.tree.digest != setup["digest"]:
            wire.send(self.control, {"error": "the snapshot on the disk is not the code that was keyed"})
            return
        install(self.tree)
        threads = setup["threads"]
        self.watch = (ThreadWatch if threads else Watch)(self.root, (str(self.work) + "/",))
        self.watch.start()
        self.performer = Performer(self.tree, self.work, self.watch, thread=bool(threads))
        try:
            for module in setup["modules"]:
                __import__(module)
        except BaseException as error:  # noqa: BLE001  # whatever the user's module raises is shown to the user
            wire.send(self.control, {"error": summary(error), "traceback": users_traceback(error)})
            return
        forkable = setup["fork"] and not any(name in sys.modules for name in _NOT_FORKABLE)
        self.read_before = dict(self.watch.reads)
        self.watch.code_elsewhere()  # looked at once, for all children
        self.watch.on = False
        _warm_up()
        wire.send(self.control, {"ready": os.getpid(), "forkable": forkable, "threads": threads})
        if threads:
            self._loop_of_threads(threads)
        else:
            self._loop(forkable)

    def _loop_of_threads(self, size: int) -> None:
        from concurrent.futures import ThreadPoolExecutor

        signal.signal(signal.SIGINT, signal.SIG_IGN)
        printing.divert()
        with ThreadPoolExecutor(size, thread_name_prefix="headwater-step") as pool:
            while True:
                message, descriptors = wire.receive(self.control, 3)
                if message is None:
                    os._exit(0)  # the run is gone, and a thread cannot be ended
                channel, out, err = descriptors
                refused = self._refusal(message["step"], message["code"])
                pool.submit(self._serve_in_thread, channel, out, err, refused)

    def _loop(self, forkable: bool) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        if forkable:
            signal.signal(signal.SIGCHLD, lambda *_: self._reap())
        while True:
            message, descriptors = wire.receive(self.control, 3)
            if message is None:
                self.end_children()
                return
            channel, out, err = descriptors
            expected = message["code"]
            refused = self._refusal(message["step"], expected)
            if not forkable:
                self._run_here(channel, out, err, refused)
                continue
            self._import_ahead(message["imports"])
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
            parent = os.getpid()
            pid = os.fork()
            if pid == 0:
                self._child(channel, out, err, refused, parent)
            self.children.add(pid)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
            for each in descriptors:
                os.close(each)

    def _import_ahead(self, names: list[str]) -> None:
        """Import others' modules that the next child would import; what fails here fails there, with its error."""
        self.watch.on = False
        wanted = [name for name in names if name.partition(".")[0] in _AHEAD]
        wanted += [
            form for name, form in _FORMAT_OF.items() if name in (*sys.modules, *(n.split(".")[0] for n in wanted))
        ]
        for name in wanted:
            if name not in sys.modules:
                try:
                    __import__(name)
                except Exception:  # noqa: BLE001  # importing runs code of the library's own
                    continue
        self.watch.code_elsewhere()
        self.watch.on = True

    def _refusal(self, step: str, expected: str) -> str:
        """Return why a task may not run here: its code is not what its key was made of."""
        if step not in self.closures:
            module, _, name = step.partition(":")
            self.closures[step] = self.analysis.closure(module, name.partition(".")[0], self.also).digest
        if self.closures[step] == expected:
            return ""
        return f"the code of {step} here is not the code that its key was made of. Run the flow again."

    def _reap(self) -> None:
        while self.children:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            self.children.discard(pid)
            if status:
                end_below(os.getpid(), spare=self.children)  # what it left: a step that ends well sees to it itself
            try:
                wire.send(self.control, {"ended": pid, "status": os.waitstatus_to_exitcode(status)})
            except OSError:
                return

    def end_children(self) -> None:
        """End the tasks that run."""
        for pid in list(self.children):
            end_tree(pid)
        end_below(os.getpid())

    def _child(self, channel: int, out: int, err: int, refused: str, parent: int) -> None:
        code = 70
        try:
            os.setpgid(0, 0)
            die_with_parent(parent)
            adopt_orphans()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
            self.control.close()
            os.dup2(out, 1)
            os.dup2(err, 2)
            os.close(out)
            os.close(err)
            with socket.socket(fileno=channel) as task:
                self._serve_task(task, refused)
            code = 0
        finally:
            try:
                sys.stdout.flush()
                sys.stderr.flush()
                if has_children():
                    end_below(os.getpid())
            finally:
                os._exit(code)

    def _run_here(self, channel: int, out: int, err: int, refused: str) -> None:
        kept = os.dup(1), os.dup(2)
        environ = dict(os.environ)
        try:
            os.dup2(out, 1)
            os.dup2(err, 2)
            os.close(out)
            os.close(err)
            self.watch.reads = dict(self.read_before)
            self.watch.sockets = {}
            with socket.socket(fileno=channel) as task:
                self._serve_task(task, refused)
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os.dup2(kept[0], 1)
            os.dup2(kept[1], 2)
            os.close(kept[0])
            os.close(kept[1])
            os.environ.clear()
            os.environ.update(environ)

    def _serve_task(self, task: socket.socket, refused: str) -> None:
        wire.send(task, {"pid": os.getpid()})
        request, _ = wire.receive(task)
        if request is None:
            return
        answer = self.performer.perform(request, refused, lambda *how_far: wire.send(task, {"progress": how_far}))
        sys.stdout.flush()
        sys.stderr.flush()
        wire.send(task, answer)

    def _serve_in_thread(self, channel: int, out: int, err: int, refused: str) -> None:
        """Run one task in this thread; what it prints goes to its own pipes."""
        self.watch.reads = dict(self.read_before)
        self.watch.sockets = {}
        with socket.socket(fileno=channel) as task, printing.to(out, err):
            try:
                self._serve_task(task, refused)
            except ConnectionError:  # the run gave it up
                return


def _warm_up() -> None:
    """Import what each child would import again."""
    import gc

    import headwater.lake.reading  # noqa: F401

    from . import formats, handles, steps  # noqa: F401  # for their effect on what a fork starts with

    # What a child would load again on its first use: the hash, the coders, the library's own first look.
    saved = save([0, 0.5, "", {"": None}])
    load(saved.parts, lambda part: saved.contents[part.digest], trust=True)
    msgspec.msgpack.decode(msgspec.msgpack.encode(saved.parts))
    gc.collect()
    gc.freeze()


def _read_snapshot(path: str, root: str) -> Tree:
    from headwater.canonical import digest

    pairs = msgspec.msgpack.decode(Path(path).read_bytes(), type=list[tuple[str, str, bytes]])
    files = {module: SourceFile(module, name, source, digest(source)) for module, name, source in pairs}
    return make_tree(root, files)


def main() -> None:
    """Serve the run at the other end of the socket whose number is the one argument."""
    with socket.socket(fileno=int(sys.argv[1])) as control:
        worker = Worker(control)
        try:
            worker.serve()
        except ConnectionError:  # the run is gone, also when it left something unread: nobody is there to be told
            worker.end_children()


if __name__ == "__main__":
    main()

__all__ = ["SnapshotLoader", "Worker", "failure_of", "find_step", "main", "users_traceback"]

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
import time
import traceback
from pathlib import Path
from typing import Any

import msgspec

from . import wire
from .closure import Analysis
from .importer import SnapshotLoader, install, loaded
from .reads import ReadItem
from .saving import Part, load, save, unmask
from .tree import SourceFile, Tree, make_tree
from .watching import Watch

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
        self.watch = Watch(self.root, (str(self.work) + "/",))
        self.watch.start()
        self.before = set(self.watch.reads)
        try:
            for module in setup["modules"]:
                __import__(module)
        except BaseException as error:  # noqa: BLE001  # whatever the user's module raises is shown to the user
            wire.send(self.control, {"error": _summary(error), "traceback": users_traceback(error)})
            return
        forkable = not any(name in sys.modules for name in _NOT_FORKABLE)
        _warm_up()
        wire.send(self.control, {"ready": os.getpid(), "forkable": forkable})
        self._loop(forkable)

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
            if not forkable:
                self._run_here(channel, out, err, expected)
                continue
            refused = self._refusal(message["step"], expected)
            self._import_ahead(message["imports"])
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
            pid = os.fork()
            if pid == 0:
                self._child(channel, out, err, refused)
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
            try:
                wire.send(self.control, {"ended": pid, "status": os.waitstatus_to_exitcode(status)})
            except OSError:
                return

    def end_children(self) -> None:
        """End the tasks that run."""
        for pid in list(self.children):
            try:
                os.killpg(pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                continue

    def _child(self, channel: int, out: int, err: int, refused: str) -> None:
        code = 70
        try:
            os.setpgid(0, 0)
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
            finally:
                os._exit(code)

    def _run_here(self, channel: int, out: int, err: int, expected: str) -> None:
        kept = os.dup(1), os.dup(2)
        try:
            os.dup2(out, 1)
            os.dup2(err, 2)
            os.close(out)
            os.close(err)
            with socket.socket(fileno=channel) as task:
                self._serve_task(task, "")
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os.dup2(kept[0], 1)
            os.dup2(kept[1], 2)
            os.close(kept[0])
            os.close(kept[1])

    def _serve_task(self, task: socket.socket, refused: str) -> None:
        wire.send(task, {"pid": os.getpid()})
        request, _ = wire.receive(task)
        if request is None:
            return
        started = time.perf_counter()
        answer: dict[str, Any]
        try:
            if refused:
                raise RuntimeError(refused)
            answer = self._run(request)
        except BaseException as error:  # noqa: BLE001  # the user's step may raise anything, SystemExit included
            answer = {"error": _summary(error), "kind": type(error).__name__, "traceback": users_traceback(error)}
        answer["seconds"] = time.perf_counter() - started
        answer["sockets"] = sorted(self.watch.sockets)
        sys.stdout.flush()
        sys.stderr.flush()
        wire.send(task, answer)

    def _run(self, request: dict[str, Any]) -> dict[str, Any]:
        os.environ.update(request["environ"])
        contents: dict[str, bytes] = request["contents"]
        paths: dict[str, str] = request["paths"]

        def get(part: Part) -> bytes:
            found = contents.get(part.digest)
            if found is None:
                found = Path(paths[part.digest]).read_bytes()
                return unmask(found) if part.stored else found
            return found

        def value(given: list[Any]) -> Any:
            return load([msgspec.convert(each, Part) for each in given], get, trust=True)

        self.watch.on = False
        args = [value(each) for each in request["args"]]
        kwargs = {name: value(each) for name, each in request["kwargs"].items()}
        step = find_step(request["step"])
        _seed(step.options.seed)
        refs: list[ReadItem] = []
        self.watch.on = True
        with _Hearing(refs):
            result = step.function(*args, **kwargs)
        self.watch.on = False
        current = sys.modules.get("headwater.flow.current")
        logged = current is not None and current.finish()
        return {**self._answer(result, step, refs, request), "logged": logged}

    def _answer(self, result: Any, step: Any, refs: list[ReadItem], request: dict[str, Any]) -> dict[str, Any]:
        from .handles import Handle

        if isinstance(result, Handle):
            raise TypeError("the step returned a handle: return its result(), or call the other step from the flow")
        saved = save(result, f"the result of step '{request['name']}'", step.options.save)
        static = set(request["modules"])
        modules = [
            ReadItem("module", name, self.tree.files[name].digest) for name in loaded(self.tree) if name not in static
        ]
        small, files = {}, {}
        for digest, data in saved.contents.items():
            if len(data) <= wire.INLINE_BYTES:
                small[digest] = data
            else:
                path = self.work / f"{digest}.{os.getpid()}"
                path.write_bytes(data)
                files[digest] = str(path)
        reads = [*refs, *modules, *self.watch.reads.values()]
        return {"parts": [msgspec.to_builtins(part) for part in saved.parts], "contents": small, "files": files,
                "reads": [msgspec.to_builtins(read) for read in reads]}  # fmt: skip


def find_step(name: str) -> Any:
    """Return the step ``module:qualname`` of an imported module."""
    module, _, qualname = name.partition(":")
    __import__(module)
    found: Any = sys.modules[module]
    for part in qualname.split("."):
        found = getattr(found, part)
    return found


def users_traceback(error: BaseException) -> str:
    """Return the traceback as the user's code sees it: frames of Headwater and of importing are cut."""
    own = str(Path(__file__).resolve().parents[1]) + "/"
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        found = cause.__traceback__
        while found is not None and _is_ours(found.tb_frame.f_code.co_filename, own):
            found = found.tb_next
        cause.__traceback__ = found
        cause = cause.__cause__ or cause.__context__
    return "".join(traceback.format_exception(error))


def _is_ours(filename: str, own: str) -> bool:
    return filename.startswith((own, "<frozen importlib", "<frozen runpy"))


def _summary(error: BaseException) -> str:
    text = str(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _seed(seed: int | None) -> None:
    if seed is None:
        return
    import random

    random.seed(seed)
    if "numpy" in sys.modules:
        import numpy as np

        np.random.seed(seed % 2**32)


class _Hearing:
    """Notes versions that the lake is asked for while the block runs, where the lake is imported at all."""

    def __init__(self, reads: list[ReadItem]) -> None:
        self.reads = reads

    def __enter__(self) -> None:
        from headwater.lake.reading import listening

        self._block = listening(self._heard)
        self._block.__enter__()

    def _heard(self, read: Any) -> None:
        item = ReadItem("ref", read.ref, read.root, read.version)
        if item not in self.reads:
            self.reads.append(item)

    def __exit__(self, *_: object) -> None:
        self._block.__exit__(None, None, None)


def _warm_up() -> None:
    """Import what each child would import again."""
    import gc

    import headwater.lake.reading  # noqa: F401

    from . import formats, handles, steps  # noqa: F401  # for their effect on what a fork starts with

    gc.freeze()


def _read_snapshot(path: str, root: str) -> Tree:
    from headwater.canonical import digest

    pairs = msgspec.msgpack.decode(Path(path).read_bytes(), type=list[tuple[str, str, bytes]])
    files = {module: SourceFile(module, name, source, digest(source)) for module, name, source in pairs}
    return make_tree(root, files)


def _die_with_parent() -> None:
    """Ask the kernel to end this process when the run's process ends, however it does."""
    import ctypes

    try:
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)
    except (OSError, AttributeError):
        return


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

__all__ = ["SnapshotLoader", "Worker", "find_step", "main", "users_traceback"]

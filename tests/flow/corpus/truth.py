"""The truth about a version of a project: what each step gives when it is run afresh, without any memory.

Run as ``python -m tests.flow.corpus.truth``: a process that imports nothing of a project itself. For each line on its
input (a folder, as JSON) it forks; the child imports the project's ``flows`` the plain way and forks again for each
step, so that no step sees what another left. The answer says what each step gave, and which functions it ran.
"""

from __future__ import annotations

import gc
import importlib.machinery
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

from headwater.flow.steps import Flow, Step, taking

STEP_S = 3
_compiled: dict[tuple[str, bytes], CodeType] = {}


class Traced:
    """Which functions of a folder's code were called, which names they use, and which files were opened."""

    def __init__(self, folder: str) -> None:
        self.prefix = folder + "/"
        self.codes: set[CodeType] = set()
        self.files: set[str] = set()
        sys.addaudithook(self._heard)

    def hear(self, frame: FrameType, event: str, argument: object) -> None:
        if event == "call":
            self.codes.add(frame.f_code)

    def _heard(self, event: str, args: tuple[Any, ...]) -> None:
        if event in ("open", "os.listdir", "os.scandir") and isinstance(args[0], str):
            path = os.path.realpath(args[0])
            if path.startswith(self.prefix):
                self.files.add(path.removeprefix(self.prefix))

    def ours(self) -> list[CodeType]:
        return [code for code in self.codes if code.co_filename.startswith(self.prefix)]

    def ran(self) -> list[tuple[str, str]]:
        """Return the functions called, as file and name; one within another counts as the outer one."""
        return sorted(
            {(c.co_filename.removeprefix(self.prefix), c.co_qualname.partition(".<locals>")[0]) for c in self.ours()}
        )

    def names(self) -> list[str]:
        return sorted({name for code in self.ours() for name in _names(code)})


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for each in code.co_consts:
        if isinstance(each, CodeType):
            yield from _names(each)


class _Plain:
    """Takes the calls of steps and runs each in a child."""

    def __init__(self, traced: Traced) -> None:
        self.traced = traced
        self.steps: list[dict[str, Any]] = []

    def call(self, step: Step[Any, Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        self.steps.append({**in_child(lambda: self._run(step, args, kwargs), STEP_S), "step": step.__name__})

    def within(self, flow: Flow[Any, Any]) -> AbstractContextManager[None]:
        return nullcontext()

    def _run(self, step: Step[Any, Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        self.traced.codes.clear()
        self.traced.files.clear()
        if step.options.seed is not None:
            import random

            random.seed(step.options.seed)
        taking.set(None)
        answer: dict[str, Any] = {}
        sys.setprofile(self.traced.hear)
        try:
            answer["output"] = repr(step.function(*args, **kwargs))
        except BaseException as error:  # noqa: BLE001  # an edit may make a step raise anything
            answer["error"] = f"{type(error).__name__}: {error}"
        sys.setprofile(None)
        return {**answer, "ran": self.traced.ran(), "names": self.traced.names(), "files": sorted(self.traced.files)}


def _import_and_run(folder: str, environ: dict[str, str], paths: list[str]) -> dict[str, Any]:
    os.environ.update(environ)
    os.chdir(folder)
    sys.path[:0] = [folder, f"{folder}/src", *paths]
    traced = Traced(folder)
    plain = _Plain(traced)
    sys.setprofile(traced.hear)
    try:
        with silence():
            flows = __import__("flows")
    except BaseException as error:  # noqa: BLE001  # an edit may make an import raise anything
        return {"error": f"{type(error).__name__}: {error}", "steps": [], "imported": []}
    finally:
        sys.setprofile(None)
    imported = traced.ran()
    taking.set(plain)
    with silence():
        flows.main.function()
    return {"error": "", "steps": plain.steps, "imported": imported}


def in_child(work: Callable[[], dict[str, Any]], limit_s: int) -> dict[str, Any]:
    """Return what ``work`` gives in a child of this process."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(limit_s)
        try:
            data = json.dumps(work()).encode()
            with os.fdopen(writing, "wb") as pipe:
                pipe.write(data)
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        data = pipe.read()
    os.waitpid(child, 0)
    if not data:
        return {"error": "it did not end", "steps": [], "imported": [], "ran": [], "names": [], "files": []}
    answer: dict[str, Any] = json.loads(data)
    return answer


@contextmanager
def silence() -> Iterator[None]:
    kept = os.dup(1)
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nothing)


def _get_code(self: importlib.machinery.SourceFileLoader, fullname: str) -> CodeType:
    """Compile what the file says now: a cached file would be believed by its time, which edits share."""
    path = self.get_filename(fullname)
    return _code(path, self.get_data(path))


def _code(path: str, source: bytes) -> CodeType:
    found = _compiled.get((path, source))
    if found is None:
        found = _compiled[path, source] = compile(source, path, "exec", dont_inherit=True)
    return found


def _prepare(folder: str) -> None:
    """Compile each file once, for all children to come."""
    for path in Path(folder).rglob("*.py"):
        try:
            _code(str(path), path.read_bytes())
        except (SyntaxError, ValueError, OSError):
            continue


def main() -> None:
    """Answer each line."""
    gc.disable()  # what a collection looks at, a child would copy
    importlib.machinery.SourceFileLoader.get_code = _get_code  # type: ignore[method-assign, assignment]
    for line in sys.stdin:
        request = json.loads(line)
        folder = request["folder"]
        _prepare(folder)
        answer = in_child(lambda: _import_and_run(folder, request["environ"], request["paths"]), 20)  # noqa: B023
        print(json.dumps(answer), flush=True)  # noqa: T201  # the answer


if __name__ == "__main__":
    import headwater.flow  # noqa: F401  # imported once, for all children

    main()

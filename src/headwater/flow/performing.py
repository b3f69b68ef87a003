"""Running one task where its code is imported: arguments loaded, the step called, its result saved."""

from __future__ import annotations

import os
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import msgspec

from headwater.errors import ConflictError, HeadwaterError, InvalidInputError, UserCodeError

from . import current, telling, wire
from .binding import bind
from .importer import loaded
from .reads import ReadItem
from .saving import Part, load, save, unmask
from .steps import kinds_of
from .tree import Tree
from .watching import Watch

if TYPE_CHECKING:
    from .cards import Card


class Performer:
    """Runs tasks of one snapshot in this process. ``thread``: others run in other threads meanwhile."""

    def __init__(self, tree: Tree, work: Path, watch: Watch, *, thread: bool = False) -> None:
        self.tree = tree
        self.work = work
        self.watch = watch
        self.thread = thread

    def perform(self, request: dict[str, Any], refused: str, tell: Callable[..., None]) -> dict[str, Any]:
        """Return the answer to a request; whatever the step raises is one too. ``refused``: why it may not run."""
        started = time.perf_counter()
        answer: dict[str, Any]
        told = telling.begin(tell, thread=self.thread)
        try:
            if refused:
                raise ConflictError(refused)
            answer = self._run(request)
        except BaseException as error:  # noqa: BLE001  # the user's step may raise anything, SystemExit included
            answer = failure_of(error)
        finally:
            self.watch.on = False
        told.close()
        if told.cards:
            self._answer_cards(told.cards, answer)
        answer["seconds"] = time.perf_counter() - started
        answer["sockets"] = sorted(self.watch.sockets)
        return answer

    def _run(self, request: dict[str, Any]) -> dict[str, Any]:
        current.enter(request["environ"], thread=self.thread)
        contents: dict[str, bytes] = request["contents"]
        paths: dict[str, str] = request["paths"]

        def get(part: Part) -> bytes | Path:
            found = contents.get(part.digest)
            if found is None:
                place = Path(paths[part.digest])
                return unmask(place.read_bytes()) if part.stored else place
            return found

        def value(given: list[Any]) -> Any:
            return load([msgspec.convert(each, Part) for each in given], get, trust=True)

        self.watch.on = False
        args = [value(each) for each in request["args"]]
        kwargs = {name: value(each) for name, each in request["kwargs"].items()}
        step = find_step(request["step"])
        if request.get("strict"):
            from .contracts import check_arguments

            check_arguments(step.__name__, step.function, bind(step.function, tuple(args), kwargs))
        seed_generators(step.options.seed)
        refs: list[ReadItem] = []
        self.watch.on = True
        with _Hearing(refs):
            result = step.function(*args, **kwargs)
        self.watch.on = False
        if request.get("strict"):
            from .contracts import check_result

            check_result(step.__name__, step.function, result)
        logged = current.finish()
        return {**self._answer(result, step, refs, request), "logged": logged}

    def _answer(self, result: Any, step: Any, refs: list[ReadItem], request: dict[str, Any]) -> dict[str, Any]:
        from .handles import Handle

        if isinstance(result, Handle):
            raise InvalidInputError(
                "the step returned a handle: return its result(), or call the other step from the flow"
            )
        saved = save(result, f"the result of step '{request['name']}'", step.options.save, folder=self.work)
        static = set(request["modules"])
        modules = [
            ReadItem("module", name, self.tree.files[name].digest) for name in loaded(self.tree) if name not in static
        ]
        small: dict[str, bytes] = {}
        files = dict(saved.files)
        for digest, data in saved.contents.items():
            self._hand_on(digest, data, small, files)
        reads = [*refs, *modules, *self.watch.code_elsewhere(), *self.watch.reads.values()]
        return {"parts": [msgspec.to_builtins(part) for part in saved.parts], "contents": small, "files": files,
                "reads": [msgspec.to_builtins(read) for read in reads]}  # fmt: skip

    def _hand_on(self, digest: str, data: bytes, small: dict[str, bytes], files: dict[str, str]) -> None:
        if len(data) <= wire.INLINE_BYTES:
            small[digest] = data
        else:
            path = self.work / f"{digest}.{os.urandom(6).hex()}"
            path.write_bytes(data)
            files[digest] = str(path)

    def _answer_cards(self, cards: list[Card], answer: dict[str, Any]) -> None:
        small, files = answer.setdefault("contents", {}), answer.setdefault("files", {})
        answer["cards"] = [[card.kind, card.title, card.media, card.digest, len(card.data)] for card in cards]
        for card in cards:
            self._hand_on(card.digest, card.data, small, files)


def failure_of(error: BaseException) -> dict[str, Any]:
    """Return the answer of a step that raised. ``refused``: running it again would end the same way."""
    refused = isinstance(error, HeadwaterError) and error.exit_code != 3 and not isinstance(error, UserCodeError)
    return {
        "error": summary(error), "kinds": kinds_of(type(error)), "refused": refused,
        "traceback": users_traceback(error),
    }  # fmt: skip


def find_step(name: str) -> Any:
    """Return the step ``module:qualname`` of an imported module."""
    module, _, qualname = name.partition(":")
    __import__(module)
    found: Any = sys.modules[module]
    for part in qualname.split("."):
        found = getattr(found, part)
    return found


def users_traceback(error: BaseException) -> str:
    """Return the traceback as the user's code sees it: frames of Headwater and of importing are cut.

    At both ends where the error is one of ours: what lies behind the user's last line is ours too.
    """
    own = str(Path(__file__).resolve().parents[1]) + "/"
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        found = cause.__traceback__
        while found is not None and _is_ours(found.tb_frame.f_code.co_filename, own):
            found = found.tb_next
        cause.__traceback__ = found
        if isinstance(cause, HeadwaterError):
            _end_with_the_users(found, own)
        cause = cause.__cause__ or cause.__context__
    return "".join(traceback.format_exception(error))


def _end_with_the_users(first: TracebackType | None, own: str) -> None:
    frame, last = first, first
    while frame is not None:
        if not _is_ours(frame.tb_frame.f_code.co_filename, own):
            last = frame
        frame = frame.tb_next
    if last is not None:
        last.tb_next = None


def _is_ours(filename: str, own: str) -> bool:
    return filename.startswith((own, "<frozen importlib", "<frozen runpy"))


def summary(error: BaseException) -> str:
    """Return an error in a line: its class and what it says."""
    text = str(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def seed_generators(seed: int | None) -> None:
    """Seed ``random`` and, where it is imported, NumPy's global generator; None leaves them as they are."""
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

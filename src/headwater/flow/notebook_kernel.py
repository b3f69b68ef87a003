"""What runs in the kernel of a notebook step before the first cell and after the last."""

from __future__ import annotations

import ctypes
import signal
import sys
from pathlib import Path
from typing import Any

import msgspec

from .reads import ReadItem
from .saving import Part, load, save

GIVEN, READS, OUTPUTS = "given.msgpack", "reads.msgpack", "outputs.msgpack"
_DIE_WITH_PARENT = 1
_heard: list[ReadItem] = []
_listening: list[Any] = []


class Kept(msgspec.Struct, frozen=True):
    """A value as parts with their bytes, on its way between the step and its kernel."""

    parts: list[Part]
    contents: dict[str, bytes]


def keep(value: Any, what: str, path: Path) -> None:
    """Write a value to a file."""
    saved = save(value, what)
    path.write_bytes(msgspec.msgpack.encode(Kept(list(saved.parts), saved.contents)))


def kept(path: Path) -> Any:
    """Return the value that ``keep`` wrote."""
    found = msgspec.msgpack.decode(path.read_bytes(), type=Kept)
    return load(found.parts, lambda part: found.contents[part.digest], trust=True)


def begin(folder: str, root: str, seed: int | None) -> dict[str, Any]:
    """Return the values that the flow gave; from here on, what the cells read is noted."""
    from headwater.lake.reading import listening

    from .watching import Watch

    ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)
    if seed is not None:
        import random

        import numpy as np

        random.seed(seed)
        np.random.seed(seed % 2**32)
    given: dict[str, Any] = kept(Path(folder) / GIVEN)
    block = listening(lambda read: _heard.append(ReadItem("ref", read.ref, read.root, read.version)))
    block.__enter__()
    watch = Watch(Path(root), (f"{folder}/",))
    _listening[:] = [block, watch]
    watch.start()
    return given


def end(folder: str, names: list[str], variables: dict[str, Any]) -> None:
    """Write down what the cells read, and the variables that the step declares.

    Raises:
        NameError: the notebook left none of that name.
    """
    from .current import finish

    block, watch = _listening
    watch.on = False
    block.__exit__(None, None, None)
    reads = list(dict.fromkeys([*_heard, *watch.reads.values()]))
    (Path(folder) / READS).write_bytes(msgspec.msgpack.encode(reads))
    finish()
    missing = [name for name in names if name not in variables]
    if missing:
        raise NameError(f"the notebook left no variable '{missing[0]}', which the step declares in outputs")
    keep({name: variables[name] for name in names}, "the notebook's variables", Path(folder) / OUTPUTS)
    sys.stdout.flush()

"""What threads print, each to its own pipes."""

from __future__ import annotations

import io
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

_mine = threading.local()


class _Routed(io.TextIOBase):
    """Stands for ``sys.stdout`` or ``sys.stderr``: writes go to the thread's own stream, else where they went."""

    def __init__(self, name: str, otherwise: TextIO) -> None:
        self._name = name
        self._otherwise = otherwise

    def _stream(self) -> Any:
        return getattr(_mine, self._name, None) or self._otherwise

    def write(self, text: str) -> int:
        return int(self._stream().write(text))

    def flush(self) -> None:
        self._stream().flush()

    def writable(self) -> bool:
        return True

    @property
    def encoding(self) -> str:  # type: ignore[override]  # the base declares an attribute
        return "utf-8"


def divert() -> None:
    """Let threads of this process print apart from now on."""
    sys.stdout = _Routed("out", sys.stdout)
    sys.stderr = _Routed("err", sys.stderr)


@contextmanager
def to(out: int, err: int) -> Iterator[None]:
    """Print to these file descriptors in this thread while the block lasts; they are closed at its end."""
    with open(out, "w", buffering=1, encoding="utf-8") as _mine.out, open(err, "w", buffering=1) as _mine.err:
        try:
            yield
        finally:
            _mine.out.flush()
            _mine.err.flush()
            _mine.__dict__.clear()

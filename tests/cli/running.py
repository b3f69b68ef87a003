"""A command run as a person runs it, in this process: what it printed on both streams and its exit code."""

from __future__ import annotations

import contextlib
import io
import sys
from dataclasses import dataclass
from typing import Any
from unittest import mock

import msgspec

from headwater.cli import main


@dataclass(frozen=True, slots=True)
class Done:
    """A command that ended."""

    code: int
    out: str
    err: str

    @property
    def answer(self) -> Any:
        """The JSON that it printed."""
        return msgspec.json.decode(self.out)


def hw(*words: str) -> Done:
    """Run ``hw`` with these words."""
    out, err = io.StringIO(), io.StringIO()
    code: Any = None
    with (
        mock.patch.object(sys, "argv", ["hw", *words]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            main()
        except SystemExit as stop:
            code = stop.code
    return Done(code=code or 0, out=out.getvalue(), err=err.getvalue())


def done(*words: str) -> Done:
    """Run ``hw`` with these words, which must end with 0."""
    found = hw(*words)
    assert found.code == 0, f"hw {' '.join(words)} ended with {found.code}:\n{found.out}\n{found.err}"
    return found

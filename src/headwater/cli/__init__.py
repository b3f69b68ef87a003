"""The command line: parse, call one operation, show the answer.

``hw --help`` imports click and this package's table of commands, nothing else; each command's module is
imported when the command is used.
"""

from __future__ import annotations

import gc
import sys

__all__ = ["main"]

# Python looks for cycles after 700 new objects, which a start makes a hundred times over, and finds none worth it.
_GARBAGE_AFTER = 20_000


def main() -> None:
    """Run the command line and end the process with the exit code of what happened."""
    gc.set_threshold(_GARBAGE_AFTER, 10, 10)
    from .root import main as run

    try:
        run()
    finally:
        if "duckdb" not in sys.modules:  # which reports what is not taken down with the process as leaked
            gc.freeze()  # the process ends: what is left needs no last look

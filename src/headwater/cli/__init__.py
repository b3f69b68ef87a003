"""The command line: parse, call one operation, show the answer.

``hw --help`` imports click and this package's table of commands, nothing else; each command's module is
imported when the command is used.
"""

from __future__ import annotations

from .root import main

__all__ = ["main"]

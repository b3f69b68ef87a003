"""The measures by name, in the order in which they are shown. Each is a block that yields its comparisons.

What a measure needs through all rounds (inputs, running servers) lives as long as its block.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

from bench.setting import Setting
from bench.values import Comparison

from .flow import flow
from .help import command_help
from .metrics import metrics
from .prediction import prediction
from .server import server
from .size import size
from .small_files import small_files

Measure = Callable[[Setting], AbstractContextManager[list[Comparison]]]

MEASURES: dict[str, Measure] = {
    "small-files": small_files,
    "flow": flow,
    "metrics": metrics,
    "prediction": prediction,
    "server": server,
    "help": command_help,
    "size": size,
}

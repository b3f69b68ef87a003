"""The measures by name, in the order in which they are shown. Each is a block that yields its comparisons.

What a measure needs through all rounds (inputs, running servers) lives as long as its block.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

from bench.setting import Setting
from bench.values import Comparison

from .flow import flow
from .flow_scale import flow_scale
from .growth import growth
from .help import command_help
from .incremental import incremental
from .large_file import large_file
from .memory_corpus import memory_corpus
from .metrics import metrics
from .prediction import prediction
from .replay import replay
from .server import server
from .serving import served
from .size import size
from .small_files import small_files
from .small_files_s3 import small_files_s3
from .swaps import swaps
from .tracking import tracking
from .writers import writers

Measure = Callable[[Setting], AbstractContextManager[list[Comparison]]]

MEASURES: dict[str, Measure] = {
    "small-files": small_files,
    "small-files-s3": small_files_s3,
    "large-file": large_file,
    "growth": growth,
    "writers": writers,
    "flow": flow,
    "flow-scale": flow_scale,
    "incremental": incremental,
    "memory-corpus": memory_corpus,
    "metrics": metrics,
    "tracking": tracking,
    "prediction": prediction,
    "replay": replay,
    "swaps": swaps,
    "server": server,
    "serving": served,
    "help": command_help,
    "size": size,
}

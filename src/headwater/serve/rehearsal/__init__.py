"""Rehearsal: what a version would do with what a channel was asked before, recorded as evidence that gates read.

Backtests on recorded traffic, replays of consumers' recorded calls, and the latency and memory of a fresh process.
Nothing here answers anybody or moves a channel.
"""

from .backtest import backtest
from .budget import measure_budget
from .consumers import (
    Caller,
    Consumer,
    list_callers,
    list_consumers,
    read_consumers,
    register_consumer,
    remove_consumer,
)
from .kinds import REHEARSALS
from .replaying import replay_calls

__all__ = [
    "REHEARSALS",
    "Caller",
    "Consumer",
    "backtest",
    "list_callers",
    "list_consumers",
    "measure_budget",
    "read_consumers",
    "register_consumer",
    "remove_consumer",
    "replay_calls",
]

"""Events: append-only columnar streams for what is too many to be facts.

Metric points, log lines, predictions, outcomes. Rooms above declare their streams and give them
meaning; here rows become durable, are sealed into Parquet, and are read with SQL.
"""

from __future__ import annotations

from .log import EventLog, open_events
from .query import Result
from .schema import STREAMS, ColumnType, Schema, declare_stream
from .tail import Seal

__all__ = ["STREAMS", "ColumnType", "EventLog", "Result", "Schema", "Seal", "declare_stream", "open_events"]

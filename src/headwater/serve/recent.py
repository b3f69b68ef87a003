"""The ids of predictions that this process made durable lately: most outcomes are of these."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from headwater.events import EventLog

KEPT = 65_536


class RecentIds:
    """At least the last half of ``kept`` ids, and never more than ``kept``. Safe to use from many threads."""

    def __init__(self, kept: int = KEPT) -> None:
        self._half = kept // 2
        self._lock = threading.Lock()
        self._newer: set[str] = set()
        self._older: set[str] = set()

    def add(self, ids: Iterable[str]) -> None:
        """Take in ids whose predictions are durable."""
        with self._lock:
            for each in ids:
                if len(self._newer) >= self._half:
                    self._older, self._newer = self._newer, set()
                self._newer.add(each)

    def among(self, ids: Iterable[str]) -> set[str]:
        """Return those of some ids that are here."""
        with self._lock:
            return {each for each in ids if each in self._newer or each in self._older}


_recent: weakref.WeakKeyDictionary[EventLog, RecentIds] = weakref.WeakKeyDictionary()
_lock = threading.Lock()


def recent_ids(events: EventLog) -> RecentIds:
    """Return the ids of one event log that this process wrote."""
    found = _recent.get(events)
    if found is None:
        with _lock:
            found = _recent.setdefault(events, RecentIds())
    return found

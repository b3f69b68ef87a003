"""Waiting for a database or a store that does not answer for a while, instead of failing a run that took hours."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from headwater.errors import CorruptError, StorageError, UnavailableError

T = TypeVar("T")

PATIENCE_S = 60.0
_FIRST_S, _LONGEST_S = 0.1, 2.0


def patiently(act: Callable[[], T], *, give_up: Callable[[], bool] = lambda: False) -> T:
    """Return what ``act`` returns; while the ledger or the store does not answer, try again for ``PATIENCE_S``.

    ``act`` may have been done when it raised: it has to be one that can be done twice. ``give_up`` ends the waiting.
    What damaged bytes raise is raised at once.
    """
    until = time.monotonic() + PATIENCE_S
    pause = _FIRST_S
    while True:
        try:
            return act()
        except (UnavailableError, StorageError) as error:
            if isinstance(error, CorruptError) or give_up() or time.monotonic() + pause >= until:
                raise
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST_S)

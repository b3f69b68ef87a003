"""A lane: calls that run one after the other in a thread of its own, beside whoever hands them over."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable


class Lane:
    """Runs calls in the order given. At most ``most`` wait; after one that raised, none is run any more."""

    def __init__(self, most: int, name: str) -> None:
        self._most = most
        self._waiting: deque[Callable[[], None]] = deque()
        self._changed = threading.Condition()
        self._busy = False
        self._closed = False
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def run(self, act: Callable[[], None]) -> None:
        """Hand over a call, as soon as there is room; raises what an earlier one raised."""
        with self._changed:
            while len(self._waiting) >= self._most and self._error is None:
                self._changed.wait()
            self._raise()
            self._waiting.append(act)
            self._changed.notify_all()

    def wait(self) -> None:
        """Wait until all calls have ended; raises what one of them raised."""
        with self._changed:
            while (self._waiting or self._busy) and self._error is None:
                self._changed.wait()
            self._raise()

    def close(self) -> None:
        """Drop the calls that wait, and return when the one that runs has ended and the thread is gone."""
        with self._changed:
            self._closed = True
            self._waiting.clear()
            self._changed.notify_all()
        self._thread.join()

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error

    def _work(self) -> None:
        while (act := self._next()) is not None:
            error: BaseException | None = None
            try:
                act()
            except BaseException as caught:  # noqa: BLE001  # whatever it is, it is raised where the calls come from
                error = caught
            with self._changed:
                self._busy = False
                if error is not None:
                    self._error = error
                    self._waiting.clear()
                self._changed.notify_all()

    def _next(self) -> Callable[[], None] | None:
        with self._changed:
            while not self._waiting and not self._closed:
                self._changed.wait()
            if not self._waiting:
                return None
            self._busy = True
            self._changed.notify_all()
            return self._waiting.popleft()

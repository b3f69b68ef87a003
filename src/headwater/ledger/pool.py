"""A small pool of connections: each is used by one thread at a time, and kept for the next."""

from __future__ import annotations

import contextlib
import os
import threading
from typing import Any

from .dialect import Connection, Dialect, busy

_KEPT = 8
# A forked child must neither use nor close its parent's connections: closing one of SQLite's files drops the
# parent's locks, closing a socket says goodbye to Postgres. They are kept here, untouched, until the child ends.
_inherited: list[Any] = []


class Pool:
    """Connections of one kind; a thread that already holds one is never made to wait for another."""

    def __init__(self, dialect: Dialect, *, writing: bool) -> None:
        self._dialect = dialect
        self._writing = writing
        self._idle: list[Connection] = []
        self._used = 0
        self._changed = threading.Condition()
        self._process = os.getpid()
        self._closed = False

    def take(self, *, holding: bool) -> Connection:
        """Return a connection for this thread alone; ``holding`` says that it already has one.

        Raises:
            UnavailableError: the database does not answer, or all connections stayed in use.
        """
        if self._process != os.getpid():
            self._forget_parent()
        with self._changed:
            if not (holding or self._changed.wait_for(self._has_room, self._dialect.timeout_s)):
                raise busy(self._dialect.shown, self._dialect.timeout_s)
            self._used += 1
            if self._idle:
                return self._idle.pop()
        try:
            return self._dialect.connect(writing=self._writing)
        except BaseException as error:
            self._lost()
            if isinstance(error, self._dialect.errors):
                raise self._dialect.error(error) from error
            raise

    def give_back(self, connection: Connection, *, broken: bool = False) -> None:
        """Take a connection back; a broken one is closed, and so is one too many."""
        with self._changed:
            self._used -= 1
            keep = not broken and not self._closed and len(self._idle) < _KEPT
            if keep:
                self._idle.append(connection)
            self._changed.notify()
        if not keep:
            _close(connection)

    def clear(self) -> None:
        """Close the connections that nobody uses: after one was found dead, the others are too."""
        with self._changed:
            idle, self._idle = self._idle, []
        for connection in idle:
            _close(connection)

    def close(self) -> None:
        """Close what is idle now, and each other one when it comes back."""
        self._closed = True
        if self._process == os.getpid():
            self.clear()

    def _has_room(self) -> bool:
        return bool(self._idle) or self._used < self._dialect.most_connections

    def _lost(self) -> None:
        with self._changed:
            self._used -= 1
            self._changed.notify()

    def _forget_parent(self) -> None:
        _inherited.extend(self._idle)
        self._idle, self._used, self._process = [], 0, os.getpid()
        self._changed = threading.Condition()  # the parent's may have been held at the moment of the fork


def _close(connection: Connection) -> None:
    with contextlib.suppress(Exception):  # whatever a dead connection says on closing, it is closed
        connection.close()

"""Ending a flow's function that does not come to a step: it computes, or sleeps, in its own thread."""

from __future__ import annotations

import ctypes
import signal
import threading

from .engine import RunCancelled


class Interruption:
    """Interrupts the thread of a flow's function, only while that runs.

    The main thread gets a Ctrl-C of its own, which ends a sleep or a read as well; another thread gets the exception
    at its next instruction.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._thread: int | None = None

    def arm(self) -> None:
        """Say that the function runs from now on, in this thread."""
        with self._lock:
            self._thread = threading.get_ident()

    def disarm(self) -> None:
        """Say that it does not any more."""
        with self._lock:
            self._thread = None

    def interrupt(self) -> None:
        """Interrupt it, if it runs; once."""
        with self._lock:
            if self._thread is None:
                return
            thread, self._thread = self._thread, None
            main = threading.main_thread().ident
            if thread == main and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
                signal.pthread_kill(thread, signal.SIGINT)
            else:
                ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(RunCancelled))

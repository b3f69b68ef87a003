"""Group commit: rows given by many threads go to the disk together, with one sync for each stream.

Whoever finds nobody writing writes for all who wait, then names one of those who came meanwhile to
be next. So a lone caller pays for its own sync and nothing else, and needs no thread. Only
``append_soon``, whose caller does not wait, starts one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial

from headwater.errors import StorageError, UnavailableError

from .schema import Payload
from .tail import Part, Tail

MOST_QUEUED_BYTES = 256 << 20
MOST_FRAME_BYTES = 64 << 20


class _Waiting:
    """Rows in the queue. ``signal`` wakes the thread that waits for them: they are done, or it is its turn."""

    __slots__ = ("done", "leads", "part", "signal")

    def __init__(self, part: Part | None, *, waits: bool) -> None:
        self.part = part
        self.done: Future[None] = Future()
        self.signal = threading.Event() if waits else None
        self.leads = False

    @property
    def size(self) -> int:
        return 0 if self.part is None else len(self.part.payload.data)


class Committer:
    """Queues rows and writes them to a tail in groups. Thread-safe."""

    def __init__(self, tail: Tail) -> None:
        self._tail = tail
        self._queue: list[_Waiting] = []
        self._queued_bytes = 0
        self._lock = threading.Lock()
        self._led = False  # somebody writes, or was woken to write
        self._wake = threading.Semaphore(0)
        self._thread: threading.Thread | None = None
        self._closed = False

    def commit(self, part: Part) -> None:
        """Write rows; durable on return.

        Raises:
            StorageError: they are not.
            UnavailableError: the log is closed, or too much waits for the disk.
        """
        self.queue(part)()

    def queue(self, part: Part) -> Callable[[], None]:
        """Queue rows and return what waits until they are durable, and raises as ``commit`` does.

        The caller must wait: it may be the one that writes for all.
        """
        return partial(self._await, self._enqueue(part, waits=True))

    def commit_soon(self, part: Part) -> Future[None]:
        """Queue rows for the committer thread; the future resolves when they are durable."""
        waiting = self._enqueue(part, waits=False)
        if waiting.leads:
            self._wake.release()
        return waiting.done

    def commit_here(self, part: Part) -> bool:
        """Write rows in this thread, durable on return, if nobody else writes or waits; False: nothing was done.

        Raises as ``commit`` does.
        """
        leader = _Waiting(part, waits=False)
        with self._lock:
            self._admit(leader.size)
            if self._led or self._queue:
                return False
            self._led = leader.leads = True
        try:
            (outcome,) = self._tail.write([part])
        except OSError as error:
            raise _as_storage_error(error) from error
        finally:
            self._hand_over(leader)
        if outcome is not None:
            raise outcome
        return True

    def flush(self) -> None:
        """Wait until all that is queued was written; whose writing failed learns it from its own future."""
        self._await(self._enqueue(None, waits=True))

    def close(self) -> None:
        """Write what is queued and refuse more."""
        with self._lock:
            closed, self._closed = self._closed, True
        if closed:
            return
        self.flush()
        if self._thread is not None:
            self._wake.release()
            self._thread.join()

    def _enqueue(self, part: Part | None, *, waits: bool) -> _Waiting:
        waiting = _Waiting(part, waits=waits)
        with self._lock:
            if part is not None:
                self._admit(waiting.size)
            if not waits and self._thread is None:
                self._thread = threading.Thread(target=self._run, name="headwater-events", daemon=True)
                self._thread.start()
            self._queue.append(waiting)
            self._queued_bytes += waiting.size
            if not self._led:
                self._led = waiting.leads = True
        return waiting

    def _admit(self, size: int) -> None:
        if self._closed:
            raise UnavailableError("the event log is closed. Open the project again to append.")
        if self._queued_bytes and self._queued_bytes + size > MOST_QUEUED_BYTES:
            raise UnavailableError(
                f"{self._queued_bytes:,} bytes of events wait for the disk, which does not keep up. "
                "Append less at once, or wait for the earlier appends.",
                queued_bytes=self._queued_bytes,
            )

    def _await(self, waiting: _Waiting) -> None:
        assert waiting.signal is not None
        try:
            while not waiting.done.done():
                if waiting.leads:
                    self._write_group()
                else:
                    waiting.signal.wait()
        finally:
            self._hand_over(waiting)
        waiting.done.result()

    def _hand_over(self, waiting: _Waiting) -> None:
        """Stop leading, if it leads, and wake the next; a thread that is interrupted while it waits comes here too."""
        with self._lock:
            if not waiting.leads:
                waiting.signal = None  # an interrupted thread is not there to lead
                return
            waiting.leads = False
            follower = next((each for each in self._queue if each.signal is not None and each is not waiting), None)
            if follower is not None:
                follower.leads = True
            elif self._queue and self._thread is not None:
                self._wake.release()
            else:
                self._led = False
        signal = None if follower is None else follower.signal
        if signal is not None:
            signal.set()

    def _take(self) -> list[_Waiting]:
        """Return the head of the queue, as much as makes a frame of reasonable size."""
        with self._lock:
            taken, size = 0, 0
            while taken < len(self._queue) and (taken == 0 or size < MOST_FRAME_BYTES):
                size += self._queue[taken].size
                taken += 1
            group, self._queue = self._queue[:taken], self._queue[taken:]
            self._queued_bytes -= size
        return group

    def _write_group(self) -> None:
        group = self._take()
        streams: dict[str, list[_Waiting]] = {}
        for waiting in group:
            if waiting.part is not None:
                streams.setdefault(waiting.part.schema.name, []).append(waiting)
        try:
            members = list(streams.values())
            outcomes = self._tail.write([_merge(same) for same in members]) if members else []
            for same, outcome in zip(members, outcomes, strict=True):
                for waiting in same:
                    _resolve(waiting, outcome)
        except BaseException as error:  # whoever waits must learn of it, whatever it is
            for waiting in group:
                _resolve(waiting, _as_storage_error(error))
            if not isinstance(error, Exception):
                raise
        for waiting in group:
            _resolve(waiting, None)  # those without rows, which only waited for the others

    def _run(self) -> None:
        while True:
            self._wake.acquire()
            if self._closed and not self._queue:
                return
            leader = _Waiting(None, waits=False)
            leader.leads = True
            self._write_group()
            self._hand_over(leader)


def _merge(group: list[_Waiting]) -> Part:
    parts = [waiting.part for waiting in group if waiting.part is not None]
    if len(parts) == 1:
        return parts[0]
    payloads = [part.payload for part in parts]
    return Part(
        schema=parts[0].schema,
        payload=Payload(
            data=b"".join(payload.data for payload in payloads),
            rows=sum(payload.rows for payload in payloads),
            first_at=min(payload.first_at for payload in payloads),
            last_at=max(payload.last_at for payload in payloads),
        ),
    )


def _resolve(waiting: _Waiting, outcome: BaseException | None) -> None:
    if not waiting.done.done():
        if outcome is None:
            waiting.done.set_result(None)
        else:
            waiting.done.set_exception(outcome)
    signal = waiting.signal  # read once: the thread may leave at any moment
    if signal is not None:
        signal.set()


def _as_storage_error(error: BaseException) -> BaseException:
    if isinstance(error, OSError):
        return StorageError(f"events were not written: {error}. Nothing acknowledged is lost; append them again.")
    return error

"""What requests of one event loop ask, computed and kept: together where that is quicker, and never late for nothing.

A version that answers in less than ``IN_LOOP_US`` is computed in the loop: requests that arrive in one turn of the
loop are one batch if the version allows it, and one write to the disk. A slower version, or one in a process of its
own, is computed by threads, and what arrives meanwhile is the next batch. So a batch is as large as the load makes it,
and nobody waits for one to fill.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from headwater.events import EventLog

from .answering import Ask, Done, compute
from .isolation import Isolated
from .keeping import Keeping
from .limits import too_late
from .recent import recent_ids
from .recording import SharedWriter, keep_soon

if TYPE_CHECKING:
    from collections.abc import Callable

    from .deployments import Deployment
    from .settings import ModelSettings
    from .values import Answer

IN_LOOP_US = 1000.0
"""What takes less than this is computed in the event loop itself: handing it to a thread and back costs about 100 µs,
and beside Python's lock two threads compute little more than one."""

AT_ONCE = 2
"""So many batches of one version are computed at the same time."""

LONGEST_BATCH_US = 50_000.0
"""A batch gathers no more rows than take so long."""


Batch = list[tuple[Ask, "asyncio.Future[Done]"]]


class Lot:
    """The requests that wait for one version, and how it is served."""

    def __init__(self, deployment: Deployment, settings: ModelSettings, keeping: Keeping) -> None:
        self.deployment = deployment
        self.keeping = keeping
        self.events = settings.events
        self.joins = settings.batching == "on" or (settings.batching == "auto" and deployment.joins)
        self.most_rows = settings.most_batch_rows
        # A process of its own may hang for answer_s: that must be a thread's time, never the loop's.
        self.outside = isinstance(deployment.loaded, Isolated)
        self.waiting: Batch = []
        self.computing = 0
        self.rows = self.batches = self.computed_us = self.left_out = 0  # so many since it was loaded

    def count(self, batch: Sequence[Done]) -> None:
        """Count a batch that was computed."""
        events = [event for done in batch for event in done.events]
        self.batches += 1
        self.rows += len(events)
        self.computed_us += events[0]["latency_us"]
        if not self.keeping.whole:
            self.left_out += sum(1 for event in events if event.get("left_out"))

    def take(self) -> Batch:
        """Return the requests of the next batch, in the order they came; those whose time is over are refused."""
        now, taken, rows = time.monotonic(), 0, 0
        batch: Batch = []
        for ask, done in self.waiting:
            more = len(ask.rows)
            full = rows + more > self.most_rows or self.deployment.expected_us(rows + more) > LONGEST_BATCH_US
            if batch and (not self.joins or full):
                break
            taken += 1
            if done.done():  # the client went away
                continue
            if ask.deadline_s < now:
                done.set_exception(too_late())
                continue
            batch.append((ask, done))
            rows += more
        del self.waiting[:taken]
        return batch


class Desk:
    """Answers the requests of one event loop."""

    def __init__(self, events: EventLog, clock: Callable[[], int], threads: Callable[[], ThreadPoolExecutor]) -> None:
        self._events = events
        self._clock = clock
        self._threads = threads
        self._loop = asyncio.get_running_loop()
        self._writer = SharedWriter(events)
        self._one_by_one = asyncio.Lock()
        self._recent = recent_ids(events)
        self._turn: list[Lot] = []

    async def answer(self, lot: Lot, ask: Ask, *, alone: bool) -> Answer:
        """Return the answer to a request; what its policy keeps is durable by then.

        ``alone``: no other request is under way, so there is nobody to wait for.

        Raises:
            DeadlineError: its time was over before it was computed.
            StorageError: the answer could not be kept, so it is not given.
        """
        quick = not lot.outside and lot.deployment.expected_us(len(ask.rows)) < IN_LOOP_US
        if quick and alone and not lot.waiting:
            done = compute(lot.deployment, [ask], self._clock(), lot.keeping)[0]
            lot.count([done])
        else:
            future: asyncio.Future[Done] = self._loop.create_future()
            lot.waiting.append((ask, future))
            if quick:
                self._at_end_of_turn(lot)
            elif lot.computing < AT_ONCE:
                self._begin(lot)
            done = await (future if quick else self._in_time(future, ask.deadline_s))
        await self._keep(lot, done, alone)
        self._recent.add(done.ids)
        return done.answer

    async def _keep(self, lot: Lot, done: Done, alone: bool) -> None:
        events = done.events
        if lot.events == "sampled":
            left_out = [each for each in events if each["inputs"] is None]
            if left_out:
                events = [each for each in events if each["inputs"] is not None]
                keep_soon(self._events, "predictions", left_out)
                if not events:
                    return
        if lot.events == "sync":
            async with self._one_by_one:  # appended side by side, requests would share a sync
                if not self._writer.write_alone(events):
                    await self._loop.run_in_executor(self._threads(), self._events.append, "predictions", events)
        elif not alone or not self._writer.write_alone(events):
            await self._writer.write(events)

    # ---- computing

    def _at_end_of_turn(self, lot: Lot) -> None:
        if not self._turn:
            self._loop.call_soon(self._close_turn)
        if lot not in self._turn:
            self._turn.append(lot)

    def _close_turn(self) -> None:
        lots, self._turn = self._turn, []
        for lot in lots:
            while lot.waiting:
                batch = lot.take()
                _settle(batch, _attempt(lot, batch, self._clock()))

    def _begin(self, lot: Lot) -> None:
        """Let a thread compute the next batch; what waits when it is done is computed next."""
        batch = lot.take()
        if not batch:
            return
        lot.computing += 1
        working = self._threads().submit(_attempt, lot, batch, self._clock())
        working.add_done_callback(lambda each: self._loop.call_soon_threadsafe(self._finish, lot, batch, each.result()))

    def _finish(self, lot: Lot, batch: Batch, outcomes: list[Done | Exception]) -> None:
        lot.computing -= 1
        _settle(batch, outcomes)
        while lot.waiting and lot.computing < AT_ONCE:
            self._begin(lot)

    async def _in_time(self, future: asyncio.Future[Done], deadline_s: float) -> Done:
        """Wait for an answer that a thread computes, until the request's time is over."""
        left_s = deadline_s - time.monotonic()
        if left_s == float("inf"):
            return await future
        timer = self._loop.call_later(max(left_s, 0.0), _give_up, future)
        try:
            return await future
        finally:
            timer.cancel()


def _attempt(lot: Lot, batch: Batch, now: int) -> list[Done | Exception]:
    """Compute a batch; where it fails, each of its requests for itself: one may be what the model fails at."""
    asks = [ask for ask, _ in batch]
    try:
        computed = compute(lot.deployment, asks, now, lot.keeping) if asks else []
    except Exception as error:  # noqa: BLE001  # the user's own model may raise anything; who asked learns of it
        if len(batch) == 1:
            return [error]
    else:
        if computed:
            lot.count(computed)
        return [*computed]
    return [each for one in batch for each in _attempt(lot, [one], now)]


def _settle(batch: Batch, outcomes: Sequence[Done | Exception]) -> None:
    for (_, future), outcome in zip(batch, outcomes, strict=True):
        if future.done():  # the client went away
            continue
        if isinstance(outcome, Exception):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)


def _give_up(future: asyncio.Future[Done]) -> None:
    if not future.done():
        future.set_exception(too_late())

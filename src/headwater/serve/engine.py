"""The engine: answers for every model with a channel, keeps each answer before giving it, and follows releases."""

from __future__ import annotations

import asyncio
import logging
import threading
import weakref
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Self

from headwater.model import ContractError

from .answering import compute, validate
from .deployments import FOLLOW_S, Deployment, Fleet, heads
from .recent import recent_ids
from .recording import SharedWriter, record_refusal
from .values import Answer, Served

if TYPE_CHECKING:
    from headwater.ledger import Ledger
    from headwater.project import LocalProject, Project

IN_LOOP_US = 1000.0
"""What takes less than this is computed in the event loop itself: handing it to a thread and back costs about 100 µs,
and beside Python's lock two threads compute little more than one."""

_POOL_THREADS = 2
_log = logging.getLogger("headwater.serve")
_fleets: weakref.WeakKeyDictionary[Ledger, Fleet] = weakref.WeakKeyDictionary()
_fleets_lock = threading.Lock()


def fleet_of(project: Project) -> Fleet:
    """Return the deployments of this process for a project: engines and operations share what is loaded."""
    with _fleets_lock:
        return _fleets.setdefault(project.ledger, Fleet())


class Engine:
    """Answers for every model of a project that has a channel; follows releases while started.

    Safe to use from many threads and from an event loop. Without ``start`` a version is loaded at its first request,
    and each request looks for releases if nobody did lately.
    """

    def __init__(self, project: LocalProject, *, models: Sequence[str] | None = None) -> None:
        self.project = project
        self.models = None if models is None else frozenset(models)
        self.under_way = 0
        """How many requests an event loop has begun to receive; one that is alone need not wait for others to join."""
        self._fleet = fleet_of(project)
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        self._pool: ThreadPoolExecutor | None = None
        self._writers: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, SharedWriter] = weakref.WeakKeyDictionary()

    def start(self, *, load: bool = True) -> Self:
        """Follow releases in a background thread; ``load`` first loads and warms what the channels point to."""
        if load:
            self._fleet.load_all(self.project, None if self.models is None else sorted(self.models))
        # A release made in this very process wakes the follower at once; others are seen within FOLLOW_S.
        self.project.ledger.after_commit.append(self._wake.set)
        self._thread = threading.Thread(target=self._follow, name="headwater-serve", daemon=True)
        self._thread.start()
        return self

    def predict(
        self, model: str, rows: Sequence[dict[str, Any]], *, occurred_at: int | None = None, channel: str = "production"
    ) -> Answer:
        """Return the answer to some rows; its events are durable when it returns.

        ``occurred_at`` (UTC microseconds, now unless given) is when what the rows describe happened.

        Raises:
            NotFoundError: there is no such model, or nothing was released to the channel.
            ContractError: rows do not keep the contract; it lists every problem. The refusal is kept as an event.
            InvalidInputError: there is no row, or too many for one request.
            StorageError: the answer could not be kept, so it is not given.
        """
        deployment = self._deployment(model, channel)
        now = self.project.clock()
        good = self._validated(deployment, rows, now if occurred_at is None else occurred_at)
        answer, events = compute(deployment, good, now if occurred_at is None else occurred_at, now)
        self.project.events.append("predictions", events)
        recent_ids(self.project.events).add(each["prediction"] for each in events)
        return answer

    async def answer(
        self, model: str, rows: Sequence[dict[str, Any]], *, occurred_at: int | None = None, channel: str = "production"
    ) -> Answer:
        """As ``predict``, for an event loop: requests under way share one sync to the disk."""
        deployment = self._fleet.ready(model, channel) if self._thread is not None else None
        if deployment is None or not self._serves(model):
            deployment = await asyncio.get_running_loop().run_in_executor(
                self._threads(), self._deployment, model, channel
            )
        now = self.project.clock()
        when = now if occurred_at is None else occurred_at
        good = self._validated(deployment, rows, when)
        if deployment.expected_us(len(good)) < IN_LOOP_US:
            answer, events = compute(deployment, good, when, now)
        else:
            answer, events = await asyncio.get_running_loop().run_in_executor(
                self._threads(), compute, deployment, good, when, now
            )
        writer = self._writer()
        if self.under_way > 1 or not writer.write_alone(events):
            await writer.write(events)
        recent_ids(self.project.events).add(each["prediction"] for each in events)
        return answer

    def deployment(self, model: str, channel: str = "production") -> Deployment:
        """Return what answers for a model on a channel.

        Raises:
            NotFoundError: there is no such model, or nothing was released to the channel.
        """
        return self._deployment(model, channel)

    def served(self) -> list[Served]:
        """Return what the channels point to, by model and channel."""
        return [each for each in served_by(self.project, self._fleet) if self._serves(each.model)]

    def close(self) -> None:
        """Stop following releases; requests under way are answered."""
        self._stop.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
            self.project.ledger.after_commit.remove(self._wake.set)
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    def _serves(self, model: str) -> bool:
        return self.models is None or model in self.models

    def _deployment(self, model: str, channel: str) -> Deployment:
        if not self._serves(model):
            from headwater.errors import NotFoundError

            raise NotFoundError(f"this server answers for {', '.join(sorted(self.models or ()))}, not for '{model}'.")
        if self._thread is None:
            self._fleet.follow_if_due(self.project)
        return self._fleet.find(self.project, model, channel)

    def _validated(
        self, deployment: Deployment, rows: Sequence[dict[str, Any]], occurred_at: int
    ) -> list[dict[str, Any]]:
        try:
            return validate(deployment, rows)
        except ContractError as error:
            record_refusal(self.project.events, deployment, len(rows), error, occurred_at)
            raise

    def _writer(self) -> SharedWriter:
        loop = asyncio.get_running_loop()
        writer = self._writers.get(loop)
        if writer is None:
            writer = self._writers[loop] = SharedWriter(self.project.events)
        return writer

    def _threads(self) -> ThreadPoolExecutor:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(_POOL_THREADS, thread_name_prefix="headwater-serve")
        return self._pool

    def _follow(self) -> None:
        while not self._stop.is_set():
            self._wake.wait(FOLLOW_S)
            self._wake.clear()
            if self._stop.is_set():
                return
            try:
                self._fleet.follow(self.project)
            except Exception:  # noqa: BLE001  # the ledger may be away for a while; what is loaded goes on answering
                _log.exception("looking for releases failed; it will be tried again")
                self._stop.wait(1.0)


def served_by(project: Project, fleet: Fleet) -> list[Served]:
    """Return what the channels of all models point to, and which of it this process has loaded."""
    from headwater.model.registry import read_version

    found = []
    for (model, channel), head in sorted(heads(project).items()):
        with project.ledger.read() as tx:
            version = read_version(tx, head)
        deployed = fleet.ready(model, channel)
        mine = deployed is not None and deployed.version.id == head
        found.append(
            Served(
                model=model,
                channel=channel,
                version=head,
                number=version.number,
                loaded=mine,
                flavour=version.flavour,
                latency_us=int(deployed.row_us) if deployed is not None and mine else None,
            )
        )
    return found

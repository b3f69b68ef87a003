"""The engine: answers for every model with a channel, keeps each answer before giving it, and follows releases."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import weakref
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Self

import msgspec

from headwater.errors import InvalidInputError, NotFoundError
from headwater.model import ContractError

from .answering import MOST_ROWS, Ask, Done, compute, validate
from .deployments import FOLLOW_S, Deployment, Fleet, heads
from .desk import Desk, Lot
from .failures import is_fault, record_failure
from .keeping import Keeping, commitment_key, masked_fields
from .limits import Gate, checked_moment
from .meters import GROUP, Meter, Numbers, leave, together
from .reading import json_reader
from .recent import recent_ids
from .recording import record_refusal
from .settings import read_settings
from .shadowing import Shadower
from .values import Answer, Served

if TYPE_CHECKING:
    from pathlib import Path

    from headwater.ledger import Ledger
    from headwater.project import LocalProject, Project

PRODUCTION = "production"
_POOL_THREADS = 4
_LOTS_KEPT = 3  # of one channel: stable, candidate, and the one before
_any_rows = msgspec.json.Decoder(list[dict[str, Any]])
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
        """``models`` limits what is answered: a name, or ``NAME@CHANNEL``, whose channel is then the usual one."""
        self.project = project
        self.settings = read_settings(project.settings)
        self.offers = None if models is None else dict(_offer(each) for each in models)
        self.gate = Gate(self.settings)
        self.meter = Meter()
        self._fleet = fleet_of(project)
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        self._pool: ThreadPoolExecutor | None = None
        self._desks: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Desk] = weakref.WeakKeyDictionary()
        self._lots: dict[tuple[str, str, str], Lot] = {}
        self._key: bytes | None = None
        self._shadower = Shadower(project.events)

    def start(self, *, load: bool = True) -> Self:
        """Follow releases in a background thread; ``load`` first loads and warms what the channels point to."""
        if load:
            self._fleet.load_all(self.project, None if self.offers is None else sorted(self.offers))
        # A release made in this very process wakes the follower at once; others are seen within FOLLOW_S.
        self.project.ledger.after_commit.append(self._wake.set)
        self._thread = threading.Thread(target=self._follow, name="headwater-serve", daemon=True)
        self._thread.start()
        return self

    def predict(
        self,
        model: str,
        rows: Sequence[dict[str, Any]],
        *,
        occurred_at: int | None = None,
        channel: str = "",
        caller: str = "",
        key: str = "",
    ) -> Answer:
        """Return the answer to some rows; what the model's policy keeps of it is durable when it returns.

        ``occurred_at`` (UTC microseconds, now unless given) is when what the rows describe happened; ``channel`` is the
        usual one unless given; ``caller`` is who asks. Requests of the same ``key`` are answered by the same version
        while a canary grows (``Fleet.find``).

        Raises:
            NotFoundError: there is no such model, or nothing was released to the channel.
            ContractError: rows do not keep the contract; it lists every problem. The refusal is kept as an event.
            InvalidInputError: there is no row, or too many for one request.
            StorageError: the answer could not be kept, so it is not given.
        """
        deployment = self._deployment(model, channel or self.channel_of(model), key)
        now = self.project.clock()
        when = now if occurred_at is None else checked_moment(occurred_at)

        def answer_by(chosen: Deployment) -> Done:
            good = self._validated(chosen, rows, when, caller)
            lot = self._lot(chosen)
            made = compute(chosen, [Ask(good, when, caller)], now, lot.keeping)
            lot.count(made)
            return made[0]

        try:
            done = answer_by(deployment)
        except Exception as error:  # noqa: BLE001  # the user's own model may raise anything
            stable = self._instead_of(deployment, error)
            done = answer_by(stable)
            self._record_failure(deployment, error, now, answered_by=stable.version.id)
        self.project.events.append("predictions", done.events)
        recent_ids(self.project.events).add(done.ids)
        return self._given(done.answer, rows)

    async def answer(
        self,
        model: str,
        rows: Sequence[dict[str, Any]] | bytes,
        *,
        occurred_at: int | None = None,
        channel: str = "",
        caller: str = "",
        key: str = "",
        deadline_s: float = float("inf"),
        alone: bool = False,
        deployment: Deployment | None = None,
        only: bool = False,
    ) -> Answer:
        """As ``predict``, for an event loop: requests under way share batches and syncs to the disk.

        ``rows`` may be the JSON of a list of objects. ``deadline_s`` (``time.monotonic``) is until when the answer is
        of use. ``alone``: no other request is under way. ``deployment`` is what answers, where it was chosen before (it
        is of this engine); with ``only``, nothing answers in its place when it fails.

        Raises:
            DeadlineError: there was no answer by then.
        """
        where = channel or self.channel_of(model)
        if deployment is None and self._thread is not None and self.offered(model):
            deployment = self._fleet.ready(model, where, key)
        if deployment is None:
            deployment = await asyncio.get_running_loop().run_in_executor(
                self._threads(), self._deployment, model, where, key
            )
        now = self.project.clock()
        when = now if occurred_at is None else checked_moment(occurred_at)
        try:
            good = self._read(deployment, rows, when, caller)
            ask = Ask(good, when, caller, deadline_s)
            answer = await self._desk().answer(self._lot(deployment), ask, alone=alone)
        except Exception as error:  # noqa: BLE001  # the user's own model may raise anything
            stable = self._instead_of(deployment, error, only=only)
            ask = Ask(self._read(stable, rows, when, caller), when, caller, deadline_s)
            answer = await self._desk().answer(self._lot(stable), ask, alone=alone)
            self._record_failure(deployment, error, now, answered_by=stable.version.id)
        return self._given(answer, rows)

    def channel_of(self, model: str) -> str:
        """Return the channel that answers for a model where a request names none."""
        return (self.offers or {}).get(model) or PRODUCTION

    def only_model(self) -> str:
        """Return the model that a request without a model's name is for.

        Raises:
            InvalidInputError: this server answers for several, or for none.
        """
        here = self._fleet.channels(self.project)
        known = sorted(self.offers or {model for model, channel in here if channel == PRODUCTION})
        if len(known) != 1:
            raise InvalidInputError(
                f"this server answers for {', '.join(known) or 'no model yet'}: name the model in the path, as in "
                f"/v1/models/{known[0] if known else 'NAME'}/predict, or start it with one ('hw serve NAME@CHANNEL')."
            )
        return known[0]

    def deployment(self, model: str, channel: str = "", key: str = "") -> Deployment:
        """Return what answers a request of a key for a model on a channel, the usual one unless given.

        Raises:
            NotFoundError: there is no such model, or nothing was released to the channel.
        """
        return self._deployment(model, channel or self.channel_of(model), key)

    def answered_by(self, answer: Answer) -> Deployment:
        """Return what gave an answer of this engine a moment ago.

        Raises:
            NotFoundError: it was let go meanwhile.
        """
        lot = self._lots.get((answer.model, answer.channel, answer.model_version))
        if lot is None:
            raise NotFoundError(f"{answer.version} of '{answer.model}' answers no longer: send the request again.")
        return lot.deployment

    def waiting_for(self) -> list[str]:
        """Return the channels, of those this engine was told to answer for, that nothing answers for yet."""
        wanted = [(model, self.channel_of(model)) for model in self.offers or ()]
        return [f"{model}@{channel}" for model, channel in wanted if self._fleet.ready(model, channel) is None]

    @property
    def stopping(self) -> bool:
        """Whether it was told to close: what was begun is answered still."""
        return self._stop.is_set()

    def numbers(self) -> Numbers:
        """Return what this process counted, with what other workers of the same server left lately."""
        mine = self.meter.numbers(
            list(self._lots.values()),
            under_way=self.gate.under_way,
            turned_away=self.gate.turned_away,
            away=bool(self.notice()),
        )
        group = os.environ.get(GROUP)
        return together(self._numbers_folder, group, mine) if group else mine

    @property
    def _numbers_folder(self) -> Path:
        return self.project.state / "serving"

    def _leave_numbers(self) -> None:
        group = os.environ.get(GROUP)
        if group:
            lots = list(self._lots.values())
            gate = self.gate
            leave(
                self._numbers_folder,
                group,
                self.meter.numbers(lots, under_way=gate.under_way, turned_away=gate.turned_away, away=False),
            )

    def served(self) -> list[Served]:
        """Return what the channels point to, by model and channel."""
        return [each for each in served_by(self.project, self._fleet) if self.offered(each.model)]

    def close(self) -> None:
        """Stop following releases; requests under way are answered."""
        self._stop.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
            self.project.ledger.after_commit.remove(self._wake.set)
            self._fleet.close()  # who never followed loads nothing behind the back of the fleet's other users
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None
        self._shadower.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    def offered(self, model: str) -> bool:
        """Tell whether this engine answers for a model."""
        return self.offers is None or model in self.offers

    def notice(self) -> str:
        """Return what callers should know while the ledger is away; empty while it answers."""
        return self._fleet.notice()

    def _instead_of(self, deployment: Deployment, error: Exception, *, only: bool = False) -> Deployment:
        """Return what answers in place of a canary that failed a request; what cannot be helped is raised.

        The whole request is answered again, so that its answer is by one version.
        """
        stable = None if only else self._fleet.beside(deployment)
        if not is_fault(error) or (stable is None and isinstance(error, ContractError)):
            raise error
        if stable is None:
            self._record_failure(deployment, error, self.project.clock())
            raise error
        return stable

    def _record_failure(self, deployment: Deployment, error: Exception, now: int, *, answered_by: str = "") -> None:
        masked = masked_fields(self.settings.of(deployment.model), deployment.version.contract)
        record_failure(self.project.events, deployment, error, now, answered_by=answered_by, masked=masked)

    def _given(self, answer: Answer, rows: Sequence[dict[str, Any]] | bytes) -> Answer:
        """Return an answer as it is given: with a notice while the ledger is away. A shadow gets a copy."""
        lane = self._fleet.lane(answer.model, answer.channel)
        if lane is not None and (shadow := lane.shadow) is not None:
            self._shadower.copy(shadow, rows, answer, self._keeping(shadow))
        notice = self._fleet.notice()
        return msgspec.structs.replace(answer, notice=notice) if notice else answer

    def _deployment(self, model: str, channel: str, key: str = "") -> Deployment:
        if not self.offered(model):
            raise NotFoundError(f"this server answers for {', '.join(sorted(self.offers or ()))}, not for '{model}'.")
        if self._thread is None:
            self._fleet.follow_if_due(self.project)
        return self._fleet.find(self.project, model, channel, key)

    def _read(
        self, deployment: Deployment, rows: Sequence[dict[str, Any]] | bytes, occurred_at: int, caller: str
    ) -> list[dict[str, Any]]:
        if not isinstance(rows, bytes):
            return self._validated(deployment, rows, occurred_at, caller)
        read = json_reader(deployment.loaded.contract)
        good = read(rows) if read is not None else None
        if good is not None and 0 < len(good) <= MOST_ROWS:
            return good
        try:
            given = _any_rows.decode(rows)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise InvalidInputError(f"'inputs' cannot be read: {error}. Send a list of objects.") from error
        except RecursionError as error:
            raise InvalidInputError(
                "'inputs' hold lists or objects nested too deeply to be read: send flatter values."
            ) from error
        return self._validated(deployment, given, occurred_at, caller)

    def _validated(
        self, deployment: Deployment, rows: Sequence[dict[str, Any]], occurred_at: int, caller: str
    ) -> list[dict[str, Any]]:
        try:
            return validate(deployment, rows)
        except ContractError as error:
            self.meter.refused_rows += len(rows)
            masked = masked_fields(self.settings.of(deployment.model), deployment.version.contract)
            record_refusal(self.project.events, deployment, len(rows), error, occurred_at, caller, masked)
            raise

    def _lot(self, deployment: Deployment) -> Lot:
        key = (deployment.model, deployment.channel, deployment.version.id)
        lot = self._lots.get(key)
        if lot is None or lot.deployment is not deployment:
            settings = self.settings.of(deployment.model)
            keeping = self._keeping(deployment)
            if lot is not None:
                self.meter.forget(lot)
            for old in [each for each in self._lots if each[:2] == key[:2]][:-_LOTS_KEPT]:
                self.meter.forget(self._lots.pop(old))
            lot = self._lots[key] = Lot(deployment, settings, keeping)
        return lot

    def _keeping(self, deployment: Deployment) -> Keeping:
        if self._key is None:
            self._key = commitment_key(self.project)
        return Keeping(self.settings.of(deployment.model), deployment.version.contract, self._key)

    def _desk(self) -> Desk:
        loop = asyncio.get_running_loop()
        desk = self._desks.get(loop)
        if desk is None:
            desk = self._desks[loop] = Desk(self.project.events, self.project.clock, self._threads)
        return desk

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
                self._leave_numbers()
                self.project.events.let_go()
            except Exception:  # noqa: BLE001  # the ledger may be away for a while; what is loaded goes on answering
                _log.exception("looking for releases failed; it will be tried again")
                self._stop.wait(1.0)


def _offer(text: str) -> tuple[str, str]:
    model, _, channel = text.partition("@")
    return model, channel


def served_by(project: Project, fleet: Fleet) -> list[Served]:
    """Return what the channels of all models point to, and which of it this process has loaded."""
    from headwater.model.registry import read_version

    found = []
    for (model, channel), head in sorted(heads(project).items()):
        with project.ledger.read() as tx:
            version = read_version(tx, head)
        lane = fleet.lane(model, channel)
        deployed = None if lane is None else lane.stable
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

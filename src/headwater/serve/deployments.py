"""What is deployed: versions that channels point to, loaded and warmed; a new release takes over when it is ready.

A request holds the deployment it was given, and a deployment never changes: so one answer is by one version, and a
version that was replaced lives until its last request is answered. What is answered by what is decided in ``traffic``;
here versions are loaded, and lanes are replaced as a whole. While the ledger is away, the last known lanes answer.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from headwater.errors import InvalidInputError, NotFoundError, UnavailableError
from headwater.model import example_row, get_model, get_model_version

from .invariance import same_in_batches
from .keeping import check_mask
from .opening import open_version
from .recording import record_execution
from .settings import read_settings
from .traffic import WHOLE, Following, Key, Route, changed_over, missing, picked, read_routes, told

if TYPE_CHECKING:
    from headwater.model import Loaded, ModelVersion
    from headwater.project import LocalProject, Project

FOLLOW_S = 0.25
RETRY_S = 5.0
AWAY_S = 2.0
"""A ledger that has not answered for so long is away."""

KEEP_S = 900.0
"""A version that was replaced stays loaded for so long: going back to it takes no loading."""

_WARM_ROWS = 16
_MOST_LOADS = 5
_log = logging.getLogger("headwater.serve")


class Deployment:
    """One version on a channel, ready to answer. ``row_us`` is what one row took, ``more_us`` each row more."""

    def __init__(self, model: str, channel: str, loaded: Loaded, execution: str) -> None:
        self.model = model
        self.channel = channel
        self.loaded = loaded
        self.version: ModelVersion = loaded.version
        self.label = f"v{self.version.number}"
        self.execution = execution
        self.row_us, self.more_us = _warm(loaded)
        self.joins = self.more_us < self.row_us / 2 and same_in_batches(loaded)
        """Whether it gains from rows of several requests in one batch, and gives each the same bytes in it."""

    def expected_us(self, rows: int) -> float:
        """Return how long computing some rows should take."""
        return self.row_us + self.more_us * (rows - 1)


@dataclass(frozen=True, slots=True)
class Lane:
    """What answers on one channel now; replaced as a whole, never changed."""

    route: Route
    stable: Deployment
    candidate: Deployment | None = None

    def pick(self, key: str = "") -> Deployment:
        """Return what answers a request; without a key, chance decides by the candidate's share."""
        if self.candidate is None or self.route.kind != "canary":
            return self.stable
        if key:
            return self.candidate if picked(self.route, key) == self.route.candidate else self.stable
        return self.candidate if random.random() * WHOLE < self.route.share else self.stable

    @property
    def shadow(self) -> Deployment | None:
        """What computes a copy of each request, for nobody."""
        return self.candidate if self.route.kind == "shadow" else None


class Fleet:
    """The deployments of one process, by model and channel. Safe to use from many threads."""

    def __init__(self) -> None:
        self._lanes: dict[Key, Lane] = {}  # replaced as a whole, never changed in place
        self._following: dict[Key, Following] = {}
        self._loaded: dict[tuple[Key, str], Deployment] = {}
        self._left_at: dict[tuple[Key, str], float] = {}
        self._failed_at: dict[tuple[Key, str], float] = {}
        self._turn = threading.RLock()  # whoever changes what is above
        self._loading = threading.Lock()  # one version is loaded at a time
        self._loader: ThreadPoolExecutor | None = None
        self._seq = -1
        self._looked_at = 0.0
        self._asking_since: float | None = None
        self._away_because = ""
        self._heard_at = 0

    # ---- answering

    def find(self, project: Project, model: str, channel: str, key: str = "") -> Deployment:
        """Return what answers a request for a model on a channel, loading it if this is the first.

        Ask once per request and hold what came back. Requests of the same ``key`` get the same version while a canary
        grows; without one chance decides.

        Raises:
            NotFoundError: there is no such model, or nothing was released to the channel.
        """
        lane = self._lanes.get((model, channel))
        return (lane if lane is not None else self._load_first(project, model, channel)).pick(key)

    def ready(self, model: str, channel: str, key: str = "") -> Deployment | None:
        """Return what answers a request, as ``find`` does, or None when nothing is loaded yet."""
        lane = self._lanes.get((model, channel))
        return None if lane is None else lane.pick(key)

    def lane(self, model: str, channel: str) -> Lane | None:
        """Return what a channel is answered by, whole, or None when nothing is loaded yet."""
        return self._lanes.get((model, channel))

    def beside(self, deployment: Deployment) -> Deployment | None:
        """Return the stable deployment of a canary's channel, or None for what is no canary."""
        lane = self._lanes.get((deployment.model, deployment.channel))
        return None if lane is None or lane.stable.version.id == deployment.version.id else lane.stable

    def channels(self, project: Project) -> list[Key]:
        """Return the models and channels that point to a version, as last known."""
        if self._seq < 0:
            self._look(project)
        return sorted(key for key, following in self._following.items() if following.wanted is not None)

    def notice(self) -> str:
        """Return what callers should know while the ledger is away; empty while it answers."""
        asking = self._asking_since
        if self._away_because:
            why = self._away_because
        elif asking is not None and time.monotonic() - asking > AWAY_S:
            why = f"it has not answered for {time.monotonic() - asking:.0f} s"
        else:
            return ""
        return f"the ledger is away ({why}): this is the last known release"

    @property
    def heard_at(self) -> int:
        """When the ledger last answered, UTC microseconds; 0 before it was ever asked."""
        return self._heard_at

    # ---- following

    def load_all(self, project: Project, models: Sequence[str] | None = None) -> None:
        """Load what the channels point to, of all models or some; what cannot be loaded is logged and left out."""
        self._look(project)
        for model, channel in list(self._following):
            if models is None or model in models:
                self._load_missing(project, (model, channel))

    def follow_if_due(self, project: Project) -> None:
        """Look for releases, unless somebody did within ``FOLLOW_S`` seconds; new versions are loaded on return."""
        if time.monotonic() - self._looked_at >= FOLLOW_S:
            self.follow(project, wait=True)

    def follow(self, project: Project, *, wait: bool = False) -> None:
        """Look for releases, and let each new version take over when it is loaded and warm.

        What is loaded already takes over at once, even while another version loads; loading is waited for only with
        ``wait``. A version that cannot be loaded leaves the one before in place; it is tried again after ``RETRY_S``.
        """
        self._look(project)
        for key in self._to_load():
            if wait:
                self._load_missing(project, key)
            else:
                self._in_background(project, key)

    def close(self) -> None:
        """Wait for the version that is being loaded, if any."""
        loader, self._loader = self._loader, None
        if loader is not None:
            loader.shutdown(cancel_futures=True)

    def _look(self, project: Project) -> None:
        """Take in the routes that the ledger tells, if anything was announced; an absent ledger changes nothing."""
        self._looked_at = self._asking_since = time.monotonic()
        try:
            with project.ledger.read() as tx:
                seq = self._seq if self._seq >= 0 else int(tx.value("SELECT MAX(seq) FROM announcements") or 0)
                news = tx.announcements_since(seq, ["release", "rollout"])
                routes = read_routes(tx) if news or self._seq < 0 else None
        except Exception as error:  # noqa: BLE001  # whatever keeps the ledger away, what is loaded goes on answering
            if not self._away_because:
                _log.warning("the ledger is away (%s); what was released last goes on answering", error)
            self._away_because = str(error).partition("\n")[0][:200] or type(error).__name__
            return
        finally:
            self._asking_since = None
        if self._away_because:
            _log.warning("the ledger answers again")
            self._away_because = ""
        self._heard_at = project.clock()
        if routes is not None:
            with self._turn:
                self._seq = max(self._seq, news[-1].seq if news else seq)
                for key in {*routes, *self._following}:
                    self._following[key] = told(self._following.get(key, Following()), routes.get(key))
                    self._change_over(key)
        self._unload()

    def _change_over(self, key: Key) -> None:
        """Answer by what the route wants as far as it is loaded; with the turn held."""
        loaded = {version for other, version in self._loaded if other == key}
        before = self._following[key]
        after = self._following[key] = changed_over(before, loaded)
        route, lane = after.answering, self._lanes.get(key)
        if route is None:
            self._lanes = {other: each for other, each in self._lanes.items() if other != key}
        elif lane is None or lane.route != route:
            candidate = self._loaded[(key, route.candidate)] if route.candidate else None
            self._lanes = {**self._lanes, key: Lane(route, self._loaded[(key, route.stable)], candidate)}

    def _to_load(self) -> list[Key]:
        """Return the channels that answer already and wait for a version that is due to be loaded."""
        with self._turn:
            return [key for key in self._lanes if self._missing(key)]

    def _missing(self, key: Key) -> list[str]:
        loaded = {version for other, version in self._loaded if other == key}
        now = time.monotonic()
        wanted = missing(self._following.get(key, Following()), loaded)
        return [each for each in wanted if now - self._failed_at.get((key, each), -RETRY_S) >= RETRY_S]

    def _in_background(self, project: Project, key: Key) -> None:
        if self._loading.locked():
            return  # it is looked for again at the next turn
        if self._loader is None:
            self._loader = ThreadPoolExecutor(1, thread_name_prefix="headwater-load")
        self._loader.submit(self._load_missing, project, key)

    def _load_missing(self, project: Project, key: Key) -> None:
        """Load what a channel waits for, one version after the other; each takes its part when it is warm."""
        with self._loading:
            while waiting := self._missing(key):
                try:
                    self._take_in(key, self._deploy(project, key, waiting[0]))
                except Exception:  # noqa: BLE001  # the version before goes on, whatever is wrong with the new one
                    self._failed_at[(key, waiting[0])] = time.monotonic()
                    _log.exception(
                        "%s on %s: version %s cannot be loaded; the one before goes on answering", *key, waiting[0]
                    )

    def _take_in(self, key: Key, deployed: Deployment) -> None:
        with self._turn:
            self._loaded[(key, deployed.version.id)] = deployed
            self._failed_at.pop((key, deployed.version.id), None)
            self._change_over(key)

    def _unload(self) -> None:
        """Let go of versions that no route names since ``KEEP_S`` seconds, and of all but the last of those."""
        now = time.monotonic()
        with self._turn:
            for key, version in list(self._loaded):
                following = self._following.get(key, Following())
                routes = [each for each in (following.wanted, following.answering) if each is not None]
                if any(version in (each.stable, each.candidate) for each in routes):
                    self._left_at.pop((key, version), None)
                else:
                    self._left_at.setdefault((key, version), now)
            for key, version in list(self._left_at):
                newest = max(at for (other, _), at in self._left_at.items() if other == key)
                left = self._left_at[(key, version)]
                if now - left > KEEP_S or left < newest:
                    del self._left_at[(key, version)], self._loaded[(key, version)]

    def _load_first(self, project: Project, model: str, channel: str) -> Lane:
        key = (model, channel)
        _route_of(project, key)  # what is not released does not wait while another version loads
        with self._loading:
            for _ in range(_MOST_LOADS):
                lane = self._lanes.get(key)
                if lane is not None:
                    return lane
                route = _route_of(project, key)
                with self._turn:
                    self._following[key] = told(self._following.get(key, Following()), route)
                # A release that is noticed meanwhile wants another version: then that one is loaded.
                self._take_in(key, self._deploy(project, key, route.stable))
            lane = self._lanes.get(key)
        if lane is None:
            raise UnavailableError(
                f"'{model}' on '{channel}' was released again and again while it was loaded: ask again in a second.",
                retry_after_s=1,
            )
        return lane

    def _deploy(self, project: Project, key: Key, head: str) -> Deployment:
        for other in list(self._loaded.values()):
            if other.version.id == head:
                return Deployment(*key, other.loaded, other.execution)
        version = get_model_version(project, head)
        reserved = [field.name for field in version.contract.outputs if field.name == "id"]
        if reserved:
            raise InvalidInputError(
                f"{version.label} has an output called 'id', which answers use for the prediction's own id. "
                "Register it with another name for that output."
            )
        check_mask(project, read_settings(cast("LocalProject", project).settings).of(version.model), version)
        loaded = open_version(project, version)
        return Deployment(*key, loaded, record_execution(project, loaded.execution))


def heads(project: Project, model: str = "") -> dict[Key, str]:
    """Return the id of the version that each channel points to, by model and channel."""
    with project.ledger.read() as tx:
        return {key: route.stable for key, route in read_routes(tx, model).items()}


def _route_of(project: Project, key: Key) -> Route:
    with project.ledger.read() as tx:
        route = read_routes(tx, key[0]).get(key)
    if route is None:
        raise _nothing_released(project, *key)
    return route


def _nothing_released(project: Project, model: str, channel: str) -> NotFoundError:
    known = get_model(project, model).channels  # raises where there is no such model
    offered = ", ".join(sorted(known)) or "none yet"
    return NotFoundError(
        f"nothing of '{model}' was released to '{channel}'. Its channels are: {offered}. "
        f"Run 'hw release {model}@vN {channel}' to release a version.",
        model=model,
        channel=channel,
    )


def _warm(loaded: Loaded) -> tuple[float, float]:
    """Return how long one row takes and how much each row more, in microseconds, after a few answers to warm up.

    A model that refuses the contract's example row is taken for a slow one; so is an API, which is asked nothing: its
    answers cost money.
    """
    if loaded.version.flavour == "api":
        return 1e6, 1e6
    row = example_row(loaded.contract)
    try:
        one = min(_timed(loaded, [row]) for _ in range(5))
        many = min(_timed(loaded, [row] * _WARM_ROWS) for _ in range(3))
    except Exception:  # noqa: BLE001  # the user's own model may raise anything at a made-up row
        _log.warning("%s does not answer to an example row of its contract", loaded.version.label, exc_info=True)
        return 1e6, 1e6
    return one, max(many - one, 0.0) / (_WARM_ROWS - 1)


def _timed(loaded: Loaded, rows: list[dict[str, Any]]) -> float:
    start = time.perf_counter_ns()
    loaded.predict(rows, validated=True)
    return (time.perf_counter_ns() - start) / 1000

"""What is deployed: versions that channels point to, loaded and warmed; a new release takes over when it is ready.

A request holds the deployment it began with, and a deployment never changes: so one answer is by one version, and a
version that was replaced lives until its last request is answered.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from headwater.errors import InvalidInputError, NotFoundError
from headwater.model import example_row, get_model, get_model_version, load_version

from .recording import record_execution

if TYPE_CHECKING:
    from headwater.model import Loaded, ModelVersion
    from headwater.project import Project

FOLLOW_S = 0.25
RETRY_S = 5.0
_WARM_ROWS = 16
_log = logging.getLogger("headwater.serve")
Key = tuple[str, str]


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

    def expected_us(self, rows: int) -> float:
        """Return how long computing some rows should take."""
        return self.row_us + self.more_us * (rows - 1)


class Fleet:
    """The deployments of one process, by model and channel. Safe to use from many threads."""

    def __init__(self) -> None:
        self._ready: dict[Key, Deployment] = {}  # replaced as a whole, never changed in place
        self._loading = threading.Lock()
        self._seq = -1
        self._looked_at = 0.0
        self._failed_at: dict[Key, float] = {}

    def find(self, project: Project, model: str, channel: str) -> Deployment:
        """Return what answers for a model on a channel, loading it if this is the first request.

        Raises:
            NotFoundError: there is no such model, or nothing was released to the channel.
        """
        found = self._ready.get((model, channel))
        return found if found is not None else self._load_first(project, model, channel)

    def ready(self, model: str, channel: str) -> Deployment | None:
        """Return what answers for a model on a channel, or None when it is not loaded yet."""
        return self._ready.get((model, channel))

    def load_all(self, project: Project, models: Sequence[str] | None = None) -> None:
        """Load what the channels point to, of all models or some; what cannot be loaded is logged and left out."""
        self.follow(project)
        for model, channel in heads(project):
            if models is None or model in models:
                try:
                    self.find(project, model, channel)
                except Exception:  # noqa: BLE001  # a model that does not load must not keep the others from answering
                    _log.exception("%s on %s cannot be loaded", model, channel)

    def follow_if_due(self, project: Project) -> None:
        """Look for releases, unless somebody did within ``FOLLOW_S`` seconds."""
        if time.monotonic() - self._looked_at >= FOLLOW_S:
            self.follow(project)

    def follow(self, project: Project) -> None:
        """Look for releases, and let each new version take over when it is loaded and warm.

        A version that cannot be loaded leaves the one before in place; it is tried again after ``RETRY_S`` seconds.
        """
        self._looked_at = time.monotonic()
        with project.ledger.read() as tx:
            news = tx.announcements_since(self._seq, ["release"])
        retry = any(time.monotonic() - at >= RETRY_S for at in self._failed_at.values())
        if not news and not retry:
            return
        with self._loading:
            self._renew(project)
            if news:
                self._seq = max(self._seq, news[-1].seq)

    def _renew(self, project: Project) -> None:
        current = heads(project)
        for key, deployed in self._ready.items():
            head = current.get(key)
            if head is None:
                self._ready = {other: each for other, each in self._ready.items() if other != key}
            elif head != deployed.version.id:
                self._replace(project, key, head)

    def _replace(self, project: Project, key: Key, head: str) -> None:
        try:
            self._ready = {**self._ready, key: self._deploy(project, key, head)}
            self._failed_at.pop(key, None)
        except Exception:  # noqa: BLE001  # the version before goes on answering, whatever is wrong with the new one
            self._failed_at[key] = time.monotonic()
            _log.exception("%s on %s: version %s cannot be loaded; the one before goes on answering", *key, head)

    def _load_first(self, project: Project, model: str, channel: str) -> Deployment:
        with self._loading:
            key = (model, channel)
            if key in self._ready:
                return self._ready[key]
            head = heads(project, model).get(key)
            if head is None:
                raise _nothing_released(project, model, channel)
            deployed = self._deploy(project, key, head)
            self._ready = {**self._ready, key: deployed}
            return deployed

    def _deploy(self, project: Project, key: Key, head: str) -> Deployment:
        for other in self._ready.values():
            if other.version.id == head:
                return Deployment(*key, other.loaded, other.execution)
        version = get_model_version(project, head)
        reserved = [field.name for field in version.contract.outputs if field.name == "id"]
        if reserved:
            raise InvalidInputError(
                f"{version.label} has an output called 'id', which answers use for the prediction's own id. "
                "Register it with another name for that output."
            )
        loaded = load_version(project, version)
        return Deployment(*key, loaded, record_execution(project, loaded.execution))


def heads(project: Project, model: str = "") -> dict[Key, str]:
    """Return the id of the version that each channel points to, by model and channel."""
    with project.ledger.read() as tx:
        found = tx.pointers("channel", f"{model}/" if model else "")
    pairs = (pointer.name.rpartition("/") for pointer in found)
    return {(name, channel): pointer.head for (name, _, channel), pointer in zip(pairs, found, strict=True)}


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

    A model that refuses the contract's example row is taken for a slow one.
    """
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

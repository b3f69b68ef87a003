"""A model as data: the version that a channel points to, in the caller's own process, kept up to date.

The version is loaded, warmed and kept on this machine's disk before it takes over, in one assignment: each answer is
by one version and says which. While the project cannot be reached, the last known version answers, also in a process
that starts meanwhile; predictions wait on the disk and are sent when it can be reached again.
"""

from __future__ import annotations

import logging
import os
import shutil
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, Self

import msgspec

from headwater import canonical
from headwater.durable import make_directory, sync_directory, sync_file
from headwater.errors import CorruptError, HeadwaterError, InvalidInputError, NotFoundError, UnavailableError
from headwater.ids import new_id
from headwater.model import Execution, Loaded, ModelVersion, example_row, get_model_version
from headwater.project import Project
from headwater.project.base import utc_now_us

from .exporting.packaged import ABOUT, Package, about_version
from .limits import SlowRequestError, checked_moment
from .receiving import MadePrediction, receive_predictions
from .spool import Spool
from .values import Answer

EVERY_S = 1.0
PATIENCE_S = 5.0
"""A start waits so long for the project before it goes on with the version that is kept."""

MOST_AT_ONCE = 1_000
"""A record that waits holds at most so many predictions, and so many are sent at once."""

_KEPT_VERSIONS = 3
_HEAD = "head.json"
_log = logging.getLogger("headwater.serve")


class _Record(msgspec.Struct, frozen=True, kw_only=True):
    """What waits to be sent: predictions of one answer, and what computed them."""

    predictions: list[MadePrediction]
    execution: Execution


class _Head(msgspec.Struct, frozen=True, kw_only=True):
    """Which version was the channel's when the project was last reached, UTC microseconds."""

    version: str
    seen_at: int


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Record).decode


class FollowedModel:
    """The version of a channel, ready to answer; follows releases until it is closed or dropped.

    ``connect`` opens the project, which may fail; ``place`` is the project's folder or URL, by which versions are kept
    below ``home``. Safe to use from several threads.

    Raises:
        NotFoundError: there is no such model, or nothing was released to the channel.
        UnavailableError: the project cannot be reached, and no version is kept here.
    """

    def __init__(
        self,
        ref: str,
        connect: Callable[[], Project],
        place: str,
        *,
        home: Path | None = None,
        every_s: float = EVERY_S,
        patience_s: float = PATIENCE_S,
        record: bool = True,
    ) -> None:
        self.ref = ref.removeprefix("model:")
        self.problem = ""
        """Why the last look at the channel failed; empty when it did not."""
        self.checked_at = 0
        """When the project last said what the channel points to (UTC microseconds), maybe in an earlier process."""
        base = home or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "headwater" / "followed"
        own = base / canonical.digest(place.encode())[:20]
        self._folder = own / self.ref
        self._spool = Spool(own / "predictions") if record else None
        self._connect = connect
        self._project: Project | None = None
        self._loaded: Loaded | None = None
        self._stop = threading.Event()
        first = threading.Event()
        self._failed: Exception | None = None
        arguments = (weakref.ref(self), self._stop, first, every_s)
        threading.Thread(target=_follow, args=arguments, name=f"headwater-follow-{self.ref}", daemon=True).start()
        first.wait(patience_s)
        if self._loaded is None:
            self._take_kept()

    @property
    def version(self) -> ModelVersion:
        """The version that answers now."""
        return self._ready.version

    def predict(self, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return one dict of outputs per row, each with the ``id`` of the prediction; see ``answer``."""
        return self.answer(rows).predictions

    def answer(self, rows: Sequence[dict[str, Any]], *, occurred_at: int | None = None) -> Answer:
        """Return the answer to some rows, by one version; its predictions are durable here and are sent soon.

        ``occurred_at`` (UTC microseconds, now unless given) is when what the rows describe happened.

        Raises:
            ContractError: rows do not keep the contract; it names every problem of every row.
            InvalidInputError: ``occurred_at`` is no time.
            StorageError: the predictions could not be kept, so the answer is not given.
        """
        loaded = self._ready  # taken once: a release meanwhile is the next answer's business
        good = loaded.contract.validate(rows)
        start = time.perf_counter_ns()
        outputs = loaded.predict(good, validated=True)
        latency_us = (time.perf_counter_ns() - start) // 1000
        now = utc_now_us()
        when = now if occurred_at is None else checked_moment(occurred_at)
        ids = [new_id(now) for _ in good] or [new_id(now)]
        channel = self.ref.partition("@")[2]
        if self._spool is not None and good:
            made = [
                MadePrediction(
                    prediction=ids[position],
                    batch=ids[0],
                    position=position,
                    batch_size=len(good),
                    version=loaded.version.id,
                    channel=channel,
                    occurred_at=when,
                    inputs=canonical.encode(good[position]),
                    outputs=canonical.encode(outputs[position]),
                    latency_us=latency_us,
                )
                for position in range(len(good))
            ]
            parts = [made[first : first + MOST_AT_ONCE] for first in range(0, len(made), MOST_AT_ONCE)]
            self._spool.append(*(_encode(_Record(predictions=part, execution=loaded.execution)) for part in parts))
        return Answer(
            id=ids[0],
            model=loaded.version.model,
            version=f"v{loaded.version.number}",
            model_version=loaded.version.id,
            channel=channel,
            occurred_at=when,
            predictions=[{"id": each, **output} for each, output in zip(ids, outputs, strict=False)],
        )

    def look(self) -> None:
        """Look at the channel now, change over if it points elsewhere, and send what waits.

        Raises:
            HeadwaterError: the project cannot be reached, or the version cannot be loaded; the one before stays.
        """
        try:
            if self._project is None:
                self._project = self._connect()
            version = get_model_version(self._project, self.ref)
            if self._loaded is None or self._loaded.version.id != version.id:
                try:
                    self._take(self._kept(version))
                except CorruptError:
                    # What is kept here may be damaged; what the project gives is verified anew.
                    shutil.rmtree(self._folder / version.id, ignore_errors=True)
                    self._take(self._kept(version))
            self.checked_at = utc_now_us()
            self._note_head(version.id)
            self._send()
            self.problem = ""
        except Exception as error:
            self.problem = str(error).partition("\n")[0] or type(error).__name__
            raise

    def close(self) -> None:
        """Stop following, after one try to send what waits; the version goes on answering."""
        self._stop.set()
        try:
            if self._project is not None:
                self._send()
        except HeadwaterError as error:
            _log.warning("%s: predictions wait in %s: %s", self.ref, self._folder.parent, error.message)
        if self._spool is not None:
            self._spool.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        since = f", the project is away: {self.problem}" if self.problem else ""
        return f"<{self.ref}: {self.version.label}{since}>"

    @property
    def _ready(self) -> Loaded:
        if self._loaded is None:
            raise UnavailableError(
                f"no version of {self.ref} is loaded: {self.problem or 'it is still being fetched'}."
            )
        return self._loaded

    def _take(self, package: Package) -> None:
        loaded = package.open()
        row = example_row(loaded.contract)
        # To warm up; an API is asked nothing, its answers cost money.
        if loaded.version.flavour != "api" and not loaded.contract.problems([row]):
            loaded.predict([row], validated=True)
        self._loaded = loaded

    def _kept(self, version: ModelVersion) -> Package:
        """Return a version kept on this machine's disk, fetched if it is not there."""
        place = self._folder / version.id
        if not (place / ABOUT).is_file():
            assert self._project is not None
            get = self._project.objects.get
            files = {each.digest: get(each.digest) for each in version.files if each.flavour == version.flavour}
            about = about_version(self._project.id, version, files, f"headwater {metadata.version('headwater')}")
            contents = {file.name: files[file.digest] for file in about.files}
            _write_folder(place, {**contents, ABOUT: msgspec.json.encode(about)})
        return Package(place)

    def _take_kept(self) -> None:
        """Take the version that was the channel's when the project was last reached, in an earlier process."""
        failed = self._failed
        try:
            head = msgspec.json.decode((self._folder / _HEAD).read_bytes(), type=_Head)
            if isinstance(failed, NotFoundError):
                raise failed
            self._take(Package(self._folder / head.version))
            self.checked_at = head.seen_at
        except (OSError, msgspec.DecodeError, CorruptError) as error:
            self._stop.set()
            raise failed or UnavailableError(
                f"{self.ref} cannot be followed: the project did not answer in time, and no version is kept in "
                f"'{self._folder}' ({error}). Start the server, then try again."
            ) from error
        _log.warning("%s: the project cannot be reached (%s); %s answers", self.ref, failed, self.version.label)

    def _note_head(self, version: str) -> None:
        data = msgspec.json.encode(_Head(version=version, seen_at=self.checked_at))
        beside = self._folder / f".{_HEAD}.{os.getpid()}.{threading.get_ident()}"
        beside.write_bytes(data)
        beside.replace(self._folder / _HEAD)
        kept = [each for each in self._folder.iterdir() if each.is_dir() and each.name != version]
        for old in sorted(kept, key=lambda each: each.stat().st_mtime_ns)[: -_KEPT_VERSIONS + 1]:
            shutil.rmtree(old, ignore_errors=True)

    def _send(self) -> None:
        if self._spool is not None and self._project is not None:
            project, spool = self._project, self._spool

            def take(data: bytes) -> None:
                try:
                    _receive(project, _decode(data))
                except SlowRequestError:
                    raise  # the way there is slow: it is sent again
                except (InvalidInputError, NotFoundError, msgspec.DecodeError) as error:
                    # It would be refused for ever, and everything behind it would wait.
                    kept = spool.refuse(data)
                    _log.error("%s: predictions were refused (%s); they are kept in %s", self.ref, error, kept)

            spool.send(take)


def _receive(project: Project, record: _Record) -> None:
    # An earlier Headwater kept the predictions of a long answer as one record.
    for first in range(0, len(record.predictions), MOST_AT_ONCE):
        receive_predictions(project, record.predictions[first : first + MOST_AT_ONCE], record.execution)


def _follow(
    followed: weakref.ref[FollowedModel], stop: threading.Event, first: threading.Event, every_s: float
) -> None:
    """Look at the channel from time to time, until told to stop or until nobody holds the model any longer."""
    said = ""
    while True:
        model = followed()
        if model is None or stop.is_set():
            return
        try:
            model.look()
            said = ""
        except Exception as error:  # noqa: BLE001  # whatever it is, the version before goes on answering
            model._failed = error
            if model.problem != said and first.is_set():
                _log.warning("%s: %s; the version before goes on answering", model.ref, model.problem)
            said = model.problem
        first.set()
        del model
        stop.wait(every_s)


def _write_folder(place: Path, files: dict[str, bytes]) -> None:
    """Write a folder of files beside its name, sync, and give it the name; nothing where somebody was first."""
    make_directory(place.parent, "follow")
    beside = place.parent / f".{place.name}.{os.getpid()}.{threading.get_ident()}"
    try:
        for name, data in files.items():
            path = beside / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as file:
                file.write(data)
                file.flush()
                sync_file(file.fileno(), "follow")
        if not place.exists():
            beside.rename(place)
        sync_directory(place.parent, "follow")
    finally:
        shutil.rmtree(beside, ignore_errors=True)

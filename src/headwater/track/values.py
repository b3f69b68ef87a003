"""What tracking speaks in: runs, metric summaries and series, artefacts, pages and comparisons."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

Status = Literal["running", "waiting", "done", "failed", "killed", "cancelled"]


class MetricSummary(msgspec.Struct, frozen=True, kw_only=True):
    """A series in short. ``least`` and ``greatest`` leave NaN out and are None when every point is NaN."""

    key: str
    points: int
    last: float
    last_step: int
    last_at: int
    least: float | None
    greatest: float | None


class Artefact(msgspec.Struct, frozen=True, kw_only=True):
    """A file that a run left: the digest of its bytes, its size in bytes and its media type."""

    run: str
    name: str
    digest: str
    size: int
    media: str
    recorded_at: int


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One execution. ``flow`` is empty unless ``kind`` is ``flow``; ``code`` is a snapshot's digest or empty.

    ``environment`` holds ``commit``, ``branch``, ``diff`` (digest of uncommitted changes), ``python`` and ``packages``
    (digest of the list of installed distributions), as far as each is known.
    """

    id: str
    kind: str
    name: str
    flow: str
    status: Status
    started_at: int
    ended_at: int | None
    author: str
    parent: str | None
    code: str
    error: str
    traceback: str
    host: str
    heartbeat_at: int
    environment: dict[str, str]
    params: dict[str, Any]
    tags: dict[str, str]
    metrics: dict[str, MetricSummary]
    artefacts: tuple[Artefact, ...] = ()
    archived: bool = False

    @property
    def ref(self) -> str:
        """The text that names this run everywhere: ``run:<id>``."""
        return f"run:{self.id}"

    @property
    def seconds(self) -> float | None:
        """How long it took, None while it runs."""
        return None if self.ended_at is None else (self.ended_at - self.started_at) / 1e6


class RunPage(msgspec.Struct, frozen=True, kw_only=True):
    """Some runs in the order asked for; ``after`` asks for the next page, None at the end.

    ``told`` says of each run in a phrase what tells it from the run of that name before it: ``depth 8 → 12``.
    """

    runs: tuple[Run, ...]
    after: str | None
    told: tuple[str, ...] = ()


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """One point of a series. NaN and the infinities are values like others."""

    key: str
    value: float
    step: int = 0
    occurred_at: int | None = None


class SeriesPoint(msgspec.Struct, frozen=True, array_like=True):
    """One point of a series as charts take it."""

    step: int
    occurred_at: int
    value: float


class Series(msgspec.Struct, frozen=True, kw_only=True):
    """Points by step; fewer than ``total`` when downsampled, the least and greatest of each stretch kept."""

    run: str
    key: str
    total: int
    points: tuple[SeriesPoint, ...]


class LogLine(msgspec.Struct, frozen=True, kw_only=True):
    """One line that a run or one of its tasks wrote."""

    task: str
    level: str
    occurred_at: int
    text: str


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a comparison: a value for each run, None where a run has none."""

    key: str
    values: tuple[Any, ...]
    differs: bool


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """Runs side by side: parameters, last values of metrics, tags and where they came from."""

    runs: tuple[Run, ...]
    params: tuple[Row, ...]
    metrics: tuple[Row, ...]
    tags: tuple[Row, ...]
    facts: tuple[Row, ...]

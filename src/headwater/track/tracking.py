"""``with track(...) as run``: the user's own code as a run.

Points, lines and heartbeats are sent in batches by one thread; all of them are durable when the block ends, and
at most ``FLUSH_S`` old while it runs.
"""

from __future__ import annotations

import mimetypes
import os
import threading
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headwater.errors import HeadwaterError

from .artefacts import add_artefact
from .capture import EnvironmentCapture
from .liveness import BEAT_S, heartbeat, host, process_mark
from .logs import log_lines
from .metrics import log_metrics
from .runs import end_run, log_params, set_tags, start_run
from .values import Artefact, LogLine, Point

if TYPE_CHECKING:
    from headwater.project import Project

FLUSH_S = 0.25
FLUSH_POINTS = 20_000


class ActiveRun:
    """A run while it runs: what the block logs to. Thread-safe."""

    def __init__(self, project: Project, identifier: str, name: str) -> None:
        self.project = project
        self.id = identifier
        self.name = name
        self._points: list[Point] = []
        self._lines: list[LogLine] = []
        self._step = -1
        self._lock = threading.Lock()
        self._sending = threading.Lock()
        self._wake = threading.Event()
        self._closed = False
        self._failure: HeadwaterError | None = None
        self._thread = threading.Thread(target=self._work, name="headwater-run", daemon=True)
        self._thread.start()

    @property
    def ref(self) -> str:
        """The text that names this run everywhere: ``run:<id>``."""
        return f"run:{self.id}"

    def log(
        self,
        values: Mapping[str, float] | None = None,
        /,
        *,
        step: int | None = None,
        at: int | None = None,
        **more: float,
    ) -> None:
        """Add one point to each named series. Without ``step`` the next whole number is used.

        ``at`` is when it happened, UTC microseconds (now when left out). NaN and the infinities are kept.
        """
        now = self.project.clock() if at is None else at
        with self._lock:
            self._step = self._step + 1 if step is None else int(step)
            for key, value in {**(values or {}), **more}.items():
                self._points.append(Point(key=key, value=float(value), step=self._step, occurred_at=now))
            full = len(self._points) >= FLUSH_POINTS
        if full:
            self._wake.set()
            self._raise_failure()

    def log_series(self, key: str, values: Sequence[float], *, steps: Sequence[int] | None = None) -> None:
        """Add many points to one series at once; ``steps`` counts from 0 when left out."""
        now = self.project.clock()
        numbers = range(len(values)) if steps is None else steps
        points = [
            Point(key=key, value=float(value), step=int(step), occurred_at=now)
            for step, value in zip(numbers, values, strict=True)
        ]
        with self._lock:
            self._points.extend(points)
        self.flush()

    def param(self, **params: Any) -> None:
        """Add parameters; one that has another value already raises ConflictError."""
        log_params(self.project, self.id, params)

    def tag(self, **tags: str) -> None:
        """Set tags."""
        set_tags(self.project, self.id, {key: str(value) for key, value in tags.items()})

    def say(self, text: str, level: str = "info") -> None:
        """Add a line to the run's log."""
        with self._lock:
            self._lines.append(LogLine(task="", level=level, occurred_at=self.project.clock(), text=text))

    def artefact(
        self, content: bytes | str | os.PathLike[str], name: str | None = None, *, media: str = ""
    ) -> Artefact:
        """Keep bytes, or the file at a path, as an artefact of the run."""
        if isinstance(content, bytes):
            if name is None:
                raise TypeError("bytes kept as an artefact need a name")
            digest = self.project.objects.put(content)
        else:
            path = Path(content)
            name = name or path.name
            digest, _ = self.project.objects.put_file(path)
        kind = media or mimetypes.guess_type(name)[0] or "application/octet-stream"
        return add_artefact(self.project, self.id, name, digest, kind)

    def flush(self) -> None:
        """Return when everything logged so far is durable."""
        with self._sending:
            with self._lock:
                points, self._points = self._points, []
                lines, self._lines = self._lines, []
            for start in range(0, len(points), FLUSH_POINTS):
                log_metrics(self.project, self.id, points[start : start + FLUSH_POINTS])
            if lines:
                log_lines(self.project, self.id, lines)
        self._raise_failure()

    def close(self) -> None:
        """Send what is left and stop the thread."""
        self._closed = True
        self._wake.set()
        self._thread.join()
        self.flush()

    def _raise_failure(self) -> None:
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure

    def _work(self) -> None:
        quiet = 0.0
        while not self._closed:
            woken = self._wake.wait(FLUSH_S)
            self._wake.clear()
            quiet += 0 if woken else FLUSH_S
            try:
                self.flush()
                if quiet >= BEAT_S:
                    quiet = 0.0
                    heartbeat(self.project, self.id)
            except HeadwaterError as error:
                self._failure = error


@contextmanager
def track(
    project: Project,
    name: str,
    params: Mapping[str, Any] | None = None,
    *,
    tags: Mapping[str, str] | None = None,
    kind: str = "track",
    parent: str | None = None,
    folder: Path | None = None,
) -> Iterator[ActiveRun]:
    """Record the block as a run: done at its end, failed with the traceback when it raises, killed when interrupted.

    Raises what the block raises.
    """
    capture = EnvironmentCapture(folder or project.root or Path.cwd())
    started = start_run(
        project,
        name,
        dict(params or {}),
        kind=kind,
        tags=dict(tags or {}),
        parent=parent,
        environment=_kept(capture, project),
        where=f"{host()}|{process_mark()}",
    )
    run = ActiveRun(project, started.id, name)
    try:
        yield run
        run.close()
    except BaseException as error:
        _end_badly(run, error)
        raise
    end_run(project, run.id, "done")


def _kept(capture: EnvironmentCapture, project: Project) -> dict[str, str]:
    capture.put(project)
    return capture.result()


def _end_badly(run: ActiveRun, error: BaseException) -> None:
    status = "failed" if isinstance(error, Exception) else "killed"
    text = "".join(traceback.format_exception(type(error), error, _users(error)))
    summary = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    try:
        run.close()
    finally:
        end_run(run.project, run.id, "failed" if status == "failed" else "killed", summary, text)


def _users(error: BaseException) -> Any:
    """Return the traceback from the user's block on, without the frames of this module."""
    found = error.__traceback__
    while found is not None and found.tb_frame.f_code.co_filename == __file__:
        found = found.tb_next
    return found or error.__traceback__

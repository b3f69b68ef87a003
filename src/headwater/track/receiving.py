"""Points and lines of a run that was made in another project, taken in without counting any twice."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import msgspec

from headwater.errors import ConflictError
from headwater.ledger import release_lease, take_lease
from headwater.operation import operation

from .logs import STREAM as LOGS
from .logs import row_of
from .metrics import STREAM as METRICS
from .values import LogLine

if TYPE_CHECKING:
    from headwater.project import Project

LARGEST_BATCH = 20_000
_LEASE_S = 60.0


class WrittenPoint(msgspec.Struct, frozen=True, array_like=True):
    """A point as its writer numbered it."""

    key: str
    step: int
    occurred_at: int
    value: float
    writer: str
    seq: int


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """How far the streams of a run are here: the last number of each writer, and how many lines there are."""

    writers: dict[str, int]
    lines: int


@operation("run.taken", needs="run:read")
def taken_of(project: Project, run: str) -> Taken:
    """Return how far the points and lines of a run are in this project; a run that is not known has none."""
    points = "SELECT writer, max(seq) FROM metrics WHERE run = ? GROUP BY writer"
    lines = "SELECT count(*) FROM logs WHERE run = ?"
    return Taken(
        writers=dict(project.events.query(points, [run], streams=[METRICS]).fetchall()),
        lines=project.events.query(lines, [run], streams=[LOGS]).fetchall()[0][0],
    )


@operation("run.receive_points", needs="run:write", audited=False)
def receive_points(project: Project, run: str, points: list[WrittenPoint]) -> None:
    """Append points of a run with the numbers that they have; durable on return.

    Raises:
        ConflictError: a point is here already, or another process takes points in just now.
    """
    rows: list[dict[str, Any]] = [{"run": run, **msgspec.structs.asdict(point)} for point in points]
    with _alone(project, run):
        taken = taken_of(project, run).writers
        for point in points:
            if point.seq <= taken.get(point.writer, 0):
                raise _merged_by_another(run)
            taken[point.writer] = point.seq
        project.events.append(METRICS, rows)


@operation("run.receive_lines", needs="run:write", audited=False)
def receive_lines(project: Project, run: str, after: int, lines: list[LogLine]) -> None:
    """Append the lines of a run that follow the first ``after``; durable on return.

    Raises:
        ConflictError: another number of lines is here.
    """
    with _alone(project, run):
        if taken_of(project, run).lines != after:
            raise _merged_by_another(run)
        project.events.append(LOGS, [row_of(run, line) for line in lines])


@contextmanager
def _alone(project: Project, run: str) -> Iterator[None]:
    """Let one process at a time look at what is here and append what follows."""
    with project.ledger.write() as tx:
        lease = take_lease(tx, f"merge:{run}", project.actor.name, ttl_s=_LEASE_S)
    if lease is None:
        raise _merged_by_another(run)
    try:
        yield
    finally:
        with project.ledger.write() as tx:
            release_lease(tx, lease)


def _merged_by_another(run: str) -> ConflictError:
    return ConflictError(f"somebody else merges run {run} just now. Run it again when they have ended.", run=run)

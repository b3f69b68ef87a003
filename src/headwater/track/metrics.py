"""Metric points: a stream of events, and the summaries that are derived from it.

Each process that writes points has a writer id and numbers its points. A summary takes in a writer's points from
its mark on, and moves the mark in the same transaction, so that no point counts twice and none is lost: what a
process knows of its own points is added without reading the stream, and what a dead process left is read from it.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from headwater.canonical import float_bits, float_from_bits, orderable
from headwater.errors import ConflictError
from headwater.events.schema import declare_stream
from headwater.ids import new_id
from headwater.operation import operation

from .params import check_key
from .values import Point

if TYPE_CHECKING:
    from headwater.ledger import Tx, WriteTx
    from headwater.project import Project

STREAM = "metrics"
declare_stream(
    STREAM,
    {
        "run": "VARCHAR",
        "key": "VARCHAR",
        "step": "BIGINT",
        "occurred_at": "BIGINT",
        "value": "DOUBLE",
        "writer": "VARCHAR",
        "seq": "BIGINT",
    },
    order=("run", "key", "step", "seq"),
)
_FOLD_AT_ONCE = 500


class Part:
    """What some points of one series add to its summary."""

    __slots__ = ("greatest", "last", "last_at", "last_step", "least", "points")

    def __init__(self) -> None:
        self.points = 0
        self.last = 0.0
        self.last_step = -(2**63)
        self.last_at = -(2**63)
        self.least: float | None = None
        self.greatest: float | None = None

    def add(self, step: int, at: int, value: float) -> None:
        """Take in one point."""
        self.points += 1
        if (at, step) >= (self.last_at, self.last_step):
            self.last, self.last_step, self.last_at = value, step, at
        if value == value:
            if self.least is None or value < self.least:
                self.least = value
            if self.greatest is None or value > self.greatest:
                self.greatest = value


class Writer:
    """The points that this process wrote to one project and has not yet added to the summaries."""

    def __init__(self, now_us: int) -> None:
        self.id = new_id(now_us)
        self.pid = os.getpid()
        self.lock = threading.Lock()
        self.next_seq: dict[str, int] = {}
        self.marks: dict[str, int] = {}
        self.parts: dict[str, dict[str, Part]] = {}

    def rows(self, run: str, points: Iterable[Point], now: int) -> list[dict[str, Any]]:
        """Return the events of the points, numbered, and remember what they add. Call it under ``lock``."""
        seq = self.next_seq.get(run, 1)
        parts = self.parts.setdefault(run, {})
        rows = []
        for point in points:
            part = parts.get(point.key)
            if part is None:
                part = parts[check_key(point.key)] = Part()
            at = now if point.occurred_at is None else point.occurred_at
            value = float(point.value)
            part.add(point.step, at, value)
            rows.append(
                {
                    "run": run, "key": point.key, "step": point.step, "occurred_at": at, "value": value,
                    "writer": self.id, "seq": seq,
                }
            )  # fmt: skip
            seq += 1
        self.next_seq[run] = seq
        return rows

    def take(self, run: str) -> tuple[int, int, dict[str, Part]]:
        """Return the mark that the parts begin after, the last number, and the parts; they are handed over."""
        with self.lock:
            before, last = self.marks.get(run, 0), self.next_seq.get(run, 1) - 1
            self.marks[run] = last
            return before, last, self.parts.pop(run, {})


_writers: dict[str, Writer] = {}
_writers_lock = threading.Lock()


def writer_of(project: Project) -> Writer:
    """Return this process's writer for a project; a forked child gets its own."""
    with _writers_lock:
        found = _writers.get(project.id)
        if found is None or found.pid != os.getpid():
            found = _writers[project.id] = Writer(project.clock())
        return found


os.register_at_fork(after_in_child=lambda: globals().update(_writers={}, _writers_lock=threading.Lock()))


@operation("run.metrics", needs="run:write", audited=False, brief=True)
def log_metrics(project: Project, run: str, points: list[Point]) -> None:
    """Append points to the series of a run; durable on return. NaN and the infinities are kept.

    Raises:
        InvalidInputError: a key cannot be kept, or a value is no number.
    """
    if not points:
        return
    writer = writer_of(project)
    with writer.lock:
        # The events are queued under the lock, so that a writer's numbers rise in the order in which they are durable.
        wait = project.events.queue(STREAM, writer.rows(run, points, project.clock()))
    wait()


def fold_metrics(project: Project, runs: Sequence[str]) -> None:
    """Bring the summaries of these runs up to date: this process's own points, and what dead writers left."""
    for start in range(0, len(runs), _FOLD_AT_ONCE):
        batch = runs[start : start + _FOLD_AT_ONCE]
        _fold_own(project, batch)
        _fold_from_stream(project, [run for run in batch if _has_others(project, run)])


def _fold_own(project: Project, runs: Sequence[str]) -> None:
    """Add what this process wrote of these runs and has not added yet."""
    writer = writer_of(project)
    taken = [(run, *writer.take(run)) for run in runs if run in writer.parts]
    if not any(parts for *_, parts in taken):
        return
    try:
        with project.ledger.write() as tx:
            for run, before, last, parts in taken:
                if parts:
                    if not _move_mark(tx, run, writer.id, before, last):
                        raise ConflictError(f"the summaries of run {run} were rebuilt meanwhile")
                    for key, part in parts.items():
                        merge(tx, run, key, part)
    except BaseException:
        # What was taken is not added: under a new writer it is read from the stream, like a dead process's points.
        _retire(project, writer)
        raise


def _retire(project: Project, writer: Writer) -> None:
    with _writers_lock:
        if _writers.get(project.id) is writer:
            del _writers[project.id]


def _has_others(project: Project, run: str) -> bool:
    """Tell whether processes other than this one may have written points of a run."""
    writer = writer_of(project)
    if run not in writer.next_seq:
        return True
    with project.ledger.read() as tx:
        row = tx.one("SELECT kind FROM runs WHERE id = ?", (run,))
        others = tx.value("SELECT COUNT(*) FROM metric_marks WHERE run = ? AND writer <> ?", (run, writer.id))
    return bool(others) or row is None or row.kind == "flow"


def _fold_from_stream(project: Project, runs: Sequence[str]) -> None:
    if not runs:
        return
    marks = _marks(project, runs)
    names = ", ".join("?" * len(runs))
    mine = writer_of(project)
    sql = (
        "SELECT run, writer, key, count(*), max(seq), "
        "arg_max(value::BIT::BIGINT, (occurred_at, step, seq)), arg_max(step, (occurred_at, step, seq)), "
        "max(occurred_at), min(value) FILTER (WHERE NOT isnan(value)), max(value) FILTER (WHERE NOT isnan(value)) "
        f"FROM metrics WHERE run IN ({names}) AND NOT (writer = ?)"
    )
    params: list[Any] = [*runs, mine.id]
    for (run, writer), seq in marks.items():
        sql += " AND NOT (run = ? AND writer = ? AND seq <= ?)"
        params += [run, writer, seq]
    found = project.events.query(sql + " GROUP BY run, writer, key", params, streams=[STREAM]).fetchall()
    if not found:
        return
    last: dict[tuple[str, str], int] = {}
    for run, writer, _, _, seq, *_ in found:
        last[run, writer] = max(seq, last.get((run, writer), 0))
    with project.ledger.write() as tx:
        moved = {
            pair: _move_mark(tx, *pair, before=marks.get(pair, 0), last=seq) for pair, seq in last.items()
        }  # a mark that another process moved meanwhile: its points are in
        for run, writer, key, points, _, bits, step, at, least, greatest in found:
            if moved[run, writer]:
                part = Part()
                part.points, part.last, part.last_step, part.last_at = points, float_from_bits(bits), step, at
                part.least, part.greatest = least, greatest
                merge(tx, run, key, part)


def _marks(project: Project, runs: Sequence[str]) -> dict[tuple[str, str], int]:
    names = ", ".join("?" * len(runs))
    with project.ledger.read() as tx:
        rows = tx.all(f"SELECT run, writer, seq FROM metric_marks WHERE run IN ({names})", runs)
    return {(row.run, row.writer): row.seq for row in rows}


def _move_mark(tx: WriteTx, run: str, writer: str, before: int, last: int) -> bool:
    if before == 0:
        sql = "INSERT INTO metric_marks (run, writer, seq) VALUES (?, ?, ?) ON CONFLICT (run, writer) DO NOTHING"
        return tx.execute(sql, (run, writer, last)) == 1
    sql = "UPDATE metric_marks SET seq = ? WHERE run = ? AND writer = ? AND seq = ?"
    return tx.execute(sql, (last, run, writer, before)) == 1


def merge(tx: WriteTx, run: str, key: str, part: Part) -> None:
    """Add a part to the summary of a series."""
    row = tx.one("SELECT * FROM metric_summary WHERE run = ? AND key = ?", (run, key))
    if row is not None:
        part.points += row.points
        if (row.last_at, row.last_step) > (part.last_at, part.last_step):
            part.last, part.last_step, part.last_at = float_from_bits(row.last_bits), row.last_step, row.last_at
        part.least = min((each for each in (row.least, part.least) if each is not None), default=None)
        part.greatest = max((each for each in (row.greatest, part.greatest) if each is not None), default=None)
        tx.execute("DELETE FROM metric_summary WHERE run = ? AND key = ?", (run, key))
    tx.insert(
        "metric_summary",
        run=run,
        key=key,
        points=part.points,
        last=orderable(part.last),
        last_bits=float_bits(part.last),
        last_step=part.last_step,
        last_at=part.last_at,
        least=part.least,
        greatest=part.greatest,
    )


@operation("run.metrics.rebuild", needs="run:admin")
def rebuild_summaries(project: Project, runs: list[str]) -> None:
    """Derive the summaries of these runs from the stream again, from its first point on."""
    writer = writer_of(project)
    fold_metrics(project, runs)
    with project.ledger.write() as tx:
        for run in runs:
            tx.execute("DELETE FROM metric_summary WHERE run = ?", (run,))
            tx.execute("DELETE FROM metric_marks WHERE run = ?", (run,))
    # Points written from here on have a new writer; those of the old one are read from the stream like others'.
    _retire(project, writer)
    _fold_from_stream(project, runs)


def fold_live(project: Project) -> None:
    """Bring up to date what this process wrote of any run; cheap, for before a list is shown."""
    writer = writer_of(project)
    with writer.lock:
        waiting = [run for run, parts in writer.parts.items() if parts][:_FOLD_AT_ONCE]
    _fold_own(project, waiting)


def marks_of(tx: Tx, run: str) -> dict[str, int]:
    """Return how far each writer's points are in the summaries of a run."""
    return {row.writer: row.seq for row in tx.all("SELECT writer, seq FROM metric_marks WHERE run = ?", (run,))}

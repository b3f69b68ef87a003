"""What a run writes down: gathered, and written together. Bytes first, then one transaction."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from headwater.ledger.values import escape_text
from headwater.track.logs import STREAM, row_of
from headwater.track.runs import finish_run
from headwater.track.values import LogLine

from .memory import Result, mark_broken, record
from .saving import mask

if TYPE_CHECKING:
    from .engine import Engine
    from .tasks import TaskState

_LATE_S = 0.5


class Recorder:
    """Gathers a run's facts and lines. Its flush is called by the scheduler's thread and at the end."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.begun = False
        self._lock = threading.RLock()
        self._made: list[tuple[TaskState, Result, dict[str, Any]]] = []
        self._ended: list[TaskState] = []
        self._broken: list[str] = []
        self._lines: list[LogLine] = []
        self._written = 0.0

    def task_ended(self, task: TaskState) -> None:
        """Note that a task's row is to be written; that of a task that ran was written with its result."""
        if not self.engine.dry and task.outcome != "ran":
            with self._lock:
                self._ended.append(task)

    def result_made(self, task: TaskState, answer: dict[str, Any]) -> None:
        """Note that a task made a result; the task succeeds when it is durable."""
        assert task.result is not None
        with self._lock:
            self._made.append((task, task.result, answer))

    def broken(self, identifier: str) -> None:
        """Note that a remembered result is damaged."""
        with self._lock:
            self._broken.append(identifier)

    def line(self, task: str, level: str, text: str) -> None:
        """Note a line that a task wrote."""
        with self._lock:
            self._lines.append(LogLine(task=task, level=level, occurred_at=self.engine.project.clock(), text=text))

    def settle(self) -> None:
        """Write what a question to the memory must see: results found damaged."""
        if self._broken:
            self.flush()

    def begin(self) -> None:
        """Write the run's row, if it is not written yet."""
        with self._lock:
            if not self.begun and not self.engine.dry:
                self._write(end=None)

    def flush(self) -> None:
        """Write everything gathered: bytes, then facts, then lines; tasks whose results are durable succeed."""
        with self._lock:
            made = self._made
            late = self._ended and time.monotonic() - self._written > _LATE_S
            if made or self._broken or late:
                self._put_bytes(made)
                self._write(end=None)
            lines, self._lines = self._lines, []
        if lines:
            self.engine.project.events.append(STREAM, [row_of(self.engine.run_id, line) for line in lines])
        if made:
            with self.engine.lock:
                for task, _, _ in made:
                    self.engine.succeed(task, "ran")

    def end(self, status: str, error: str, traceback: str) -> None:
        """Write everything gathered and how the run ended, in one transaction."""
        with self._lock:
            self._put_bytes(self._made)
            lines, self._lines = self._lines, []
            if lines:
                self.engine.project.events.append(STREAM, [row_of(self.engine.run_id, line) for line in lines])
            self._write(end=(status, error, traceback))

    def _put_bytes(self, made: list[tuple[TaskState, Result, dict[str, Any]]]) -> None:
        if not made:
            return
        objects = self.engine.project.objects
        with objects.batch() as batch:
            for number, (task, result, answer) in enumerate(made):
                if task.forced:
                    made[number] = (task, _put_apart(batch, result, answer), answer)
                    task.result = made[number][1]
                    continue
                for data in answer["contents"].values():
                    batch.put(data)
                for path in answer["files"].values():
                    batch.put_file(Path(path))
        for _, _, answer in made:
            for path in answer["files"].values():
                Path(path).unlink(missing_ok=True)

    def _write(self, end: tuple[str, str, str] | None) -> None:
        engine = self.engine
        made, ended = self._made, self._ended
        manifest = None if self.begun else self._put_snapshot()
        with engine.project.ledger.write() as tx:
            if not self.begun:
                engine.begin_run(tx)
                if manifest is not None:
                    self._write_snapshot(tx, manifest)
            for identifier in self._broken:
                mark_broken(tx, identifier)
            for task, result, _ in made:
                assert task.call is not None and task.ingredients is not None
                inputs = [each.result.id for each in task.dependencies if each.result is not None]
                record(tx, result, slot=task.slot, ingredients=task.ingredients, call=task.call, inputs=inputs)
            for task, _, _ in made:
                task.outcome, task.ended_at = "ran", tx.now
            for task in [*ended, *(task for task, _, _ in made)]:
                self._write_task(tx, task)
            if end is not None:
                for read in {(read.name, read.version) for read in engine.reads}:
                    tx.edge(f"run:{engine.run_id}", "read", f"version:{read[1]}")
                finish_run(tx, engine.run_id, *end)
                tx.announce("flow", f"run:{engine.run_id}")
        self.begun = True
        self._written = time.monotonic()
        self._made, self._ended, self._broken = [], [], []

    def _write_task(self, tx: Any, task: TaskState) -> None:
        report = task.report()
        row = {
            "run": self.engine.run_id, "position": report.position, "step": report.step, "outcome": report.outcome,
            "why": escape_text(report.why), "result": report.result, "started_at": report.started_at,
            "ended_at": report.ended_at, "seconds": report.seconds,
            "warnings": msgspec.json.encode(report.warnings).decode(), "error": escape_text(report.error[:20_000]),
            "traceback": escape_text(report.traceback[-20_000:]),
        }  # fmt: skip
        # A task whose remembered result proved damaged ends twice: the second end is what stays.
        tx.execute("DELETE FROM tasks WHERE id = ?", (report.id,))
        tx.insert("tasks", id=report.id, **row)
        tx.edge(f"run:{self.engine.run_id}", "task", f"task:{report.id}")
        if report.result is not None:
            tx.edge(f"task:{report.id}", "result", f"result:{report.result}")

    def _put_snapshot(self) -> str | None:
        """Keep the code as objects, and return the digest of the list of files; None when it is kept already."""
        tree, project = self.engine.found.tree, self.engine.project
        with project.ledger.read() as tx:
            if tx.one("SELECT digest FROM snapshots WHERE digest = ?", (tree.digest,)) is not None:
                return None
        with project.objects.batch() as batch:
            for file in tree.files.values():
                batch.put(file.source)
            listed = sorted([file.path, file.digest] for file in tree.files.values())
            return batch.put(msgspec.json.encode(listed))

    def _write_snapshot(self, tx: Any, manifest: str) -> None:
        tree = self.engine.found.tree
        tx.execute(
            "INSERT INTO snapshots (digest, manifest, files, created_at) VALUES (?, ?, ?, ?) "
            "ON CONFLICT (digest) DO NOTHING",
            (tree.digest, manifest, len(tree.files), tx.now),
        )
        tx.edge(f"run:{self.engine.run_id}", "code", f"object:{manifest}")


def _put_apart(batch: Any, result: Result, answer: dict[str, Any]) -> Result:
    """Put the parts of a result that proved damaged under other digests: the store would keep the damaged ones."""
    parts = []
    for part in result.parts:
        data = answer["contents"].get(part.digest)
        if data is None:
            data = Path(answer["files"][part.digest]).read_bytes()
        stored = batch.put(mask(data, 1 + os.urandom(1)[0] % 255))
        parts.append(msgspec.structs.replace(part, stored=stored))
    return msgspec.structs.replace(result, parts=tuple(parts))

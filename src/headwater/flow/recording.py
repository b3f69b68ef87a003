"""What a run writes down: gathered, and written together. Bytes first, then one transaction."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from headwater.ledger.values import escape_text
from headwater.track.logs import STREAM, row_of
from headwater.track.runs import finish_run
from headwater.track.values import LogLine

from .code_kept import put_files, write_files
from .items import items_in
from .memory import Remembered, Result, mark_broken, record_many
from .patience import patiently
from .remaking import note_remade
from .saving import OBJECT, mask

if TYPE_CHECKING:
    from .engine import Engine
    from .tasks import TaskState

_LATE_S = 0.5
_COLUMNS = (
    "id", "run", "position", "step", "outcome", "why", "result", "started_at", "ended_at", "seconds", "warnings",
    "error", "traceback", "within", "attempts", "peak_bytes",
)  # fmt: skip


class Recorder:
    """Gathers a run's facts and lines. Its flush is called by the scheduler's thread and at the end."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.begun = False
        self._lock = threading.RLock()
        self._made: list[tuple[TaskState, Result, dict[str, Any]]] = []
        self._ended: list[TaskState] = []
        self._left: list[tuple[TaskState, dict[str, Any]]] = []
        self._broken: list[str] = []
        self._files: list[tuple[str, str, int]] = []
        self._lines: list[LogLine] = []
        self._written = 0.0
        self._oldest = -1.0

    def task_ended(self, task: TaskState) -> None:
        """Note that a task's row is to be written; that of a task that ran was written with its result."""
        if not self.engine.dry and task.outcome != "ran":
            with self._lock:
                self._ended.append(task)

    def result_made(self, task: TaskState, answer: dict[str, Any]) -> None:
        """Note that a task made a result; the task succeeds when it is durable."""
        assert task.result is not None
        with self._lock:
            if not self._made:
                self._oldest = time.monotonic()
            self._made.append((task, task.result, answer))

    def cards_left(self, task: TaskState, answer: dict[str, Any]) -> None:
        """Note that a task that gave no result left cards."""
        if task.cards:
            with self._lock:
                self._left.append((task, answer))

    def oldest_s(self) -> float:
        """Return for how long the oldest result waits to be written, negative when none does."""
        return time.monotonic() - self._oldest if self._oldest >= 0 else -1.0

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
            if made or self._broken or self._left or late or self.engine.live.due(len(self.engine.tasks)):
                patiently(lambda: self._put_bytes(made))
                self._write(end=None)
            lines, self._lines = self._lines, []
        self._append(lines)
        if made:
            with self.engine.lock:
                for task, _, _ in made:
                    self.engine.succeed(task, "ran")

    def end(self, status: str, error: str, traceback: str) -> None:
        """Write everything gathered and how the run ended, in one transaction."""
        with self._lock:
            patiently(lambda: self._put_bytes(self._made))
            lines, self._lines = self._lines, []
            self._append(lines)
            self._files = patiently(lambda: put_files(self.engine))
            self._write(end=(status, error, traceback))

    def _append(self, lines: list[LogLine]) -> None:
        if lines:
            rows = [row_of(self.engine.run_id, line) for line in lines]
            patiently(lambda: self.engine.project.events.append(STREAM, rows))

    def _put_bytes(self, made: list[tuple[TaskState, Result, dict[str, Any]]]) -> None:
        answers = [answer for _, _, answer in made] + [answer for _, answer in self._left]
        if not answers:
            return
        objects = self.engine.project.objects
        with objects.batch() as batch:
            for number, (task, result, answer) in enumerate(made):
                if task.forced:
                    made[number] = (task, _put_apart(batch, result, answer), answer)
                    task.result = made[number][1]
            for task, result, answer in made:
                apart = {part.digest for part in result.parts} if task.forced else set()
                _put_contents(batch, answer, apart)
            for _, answer in self._left:
                _put_contents(batch, answer, set())
        for answer in answers:
            for path in answer["files"].values():
                Path(path).unlink(missing_ok=True)

    def _write(self, end: tuple[str, str, str] | None) -> None:
        manifest = None if self.begun else patiently(self._put_snapshot)
        tried = False

        def act() -> None:
            nonlocal tried
            if tried:
                self.engine.live.forget()
            if not (tried and self._landed(end)):
                tried = True
                self._transact(end, manifest)

        patiently(act)
        for task in [*self._ended, *(task for task, _, _ in self._made)]:
            task.recorded = True
        self.begun = True
        self._written = time.monotonic()
        self._made, self._ended, self._broken, self._left, self._oldest = [], [], [], [], -1.0

    def _landed(self, end: tuple[str, str, str] | None) -> bool:
        """Tell whether a transaction whose answer was lost had been committed, by the facts that it alone writes."""
        new = next((task.id for task in self._ended if not task.recorded and not self._of_before(task)), None)
        with self.engine.project.ledger.read() as tx:
            status = tx.value("SELECT status FROM runs WHERE id = ?", (self.engine.run_id,))
            if end is not None:
                return status not in (None, "running")
            if self._made:
                return tx.one("SELECT id FROM results WHERE id = ?", (self._made[0][1].id,)) is not None
            if new is not None:
                return tx.one("SELECT id FROM tasks WHERE id = ?", (new,)) is not None
        return not self.begun and status is not None

    def _transact(self, end: tuple[str, str, str] | None, manifest: str | None) -> None:
        engine = self.engine
        made, ended = self._made, [task for task in self._ended if not self._of_before(task)]
        with engine.project.ledger.write() as tx:
            if not self.begun:
                engine.begin_run(tx)
                if manifest is not None:
                    self._write_snapshot(tx, manifest)
            for identifier in self._broken:
                mark_broken(tx, identifier)
            self._record_results(tx)
            for task, _, _ in made:
                task.outcome, task.ended_at = "ran", tx.now
            self._write_tasks(tx, [*ended, *(task for task, _, _ in made)])
            self._write_cards(tx)
            engine.live.write(tx, engine.run_id, len(engine.tasks))
            if end is not None:
                for read in {(read.name, read.version) for read in engine.reads}:
                    tx.edge(f"run:{engine.run_id}", "read", f"version:{read[1]}")
                engine.live.end(tx, engine.run_id)
                write_files(tx, engine.run_id, self._files)
                finish_run(tx, engine.run_id, *end)
                engine.end_run(tx)
                tx.announce("flow", f"run:{engine.run_id}")

    def _of_before(self, task: TaskState) -> bool:
        """Tell whether the run has this task from before it waited: going on, it only remembers what it did."""
        found = task.result.id if task.result is not None and task.outcome == "remembered" else ""
        return (task.position, found) in self.engine.before_waiting

    def _record_results(self, tx: Any) -> None:
        made = [_remembered(task, result) for task, result, _ in self._made]
        otherwise = note_remade(tx, made) if made else {}
        for task, result, _ in self._made:
            if result.id in otherwise and otherwise[result.id] not in task.warnings:
                task.warnings.append(otherwise[result.id])
        record_many(tx, made)

    def _write_cards(self, tx: Any) -> None:
        owners = [(f"result:{result.id}", task.cards) for task, result, _ in self._made if task.cards]
        owners += [(f"task:{task.id}", task.cards) for task, _ in self._left]
        if owners:
            from .cards import write_cards

            for owner, cards in owners:
                write_cards(tx, owner, cards)

    def _write_tasks(self, tx: Any, tasks: list[TaskState]) -> None:
        # A task whose remembered result proved damaged ends twice: the second end is what stays.
        tasks = list(dict.fromkeys(tasks))
        again = [(task.id,) for task in tasks if task.recorded]
        if again:
            tx.executemany("DELETE FROM tasks WHERE id = ?", again)
        tx.insert_many("tasks", _COLUMNS, (self._row(task) for task in tasks))
        tx.edges(self._edges(tasks))

    def _row(self, task: TaskState) -> tuple[Any, ...]:
        result = task.result.id if task.result else None
        warnings = msgspec.json.encode(task.warnings).decode() if task.warnings else "[]"
        return (
            task.id, self.engine.run_id, task.position, task.name, task.outcome, escape_text(task.why), result,
            task.started_at, task.ended_at, task.seconds, warnings, escape_text(task.error[:20_000]),
            escape_text(task.traceback[-20_000:]), task.within,
            escape_text(msgspec.json.encode(task.failures).decode()) if task.failures else "[]", task.peak_bytes,
        )  # fmt: skip

    def _edges(self, tasks: list[TaskState]) -> Iterator[tuple[str, str, str]]:
        run = f"run:{self.engine.run_id}"
        for task in tasks:
            yield run, "task", f"task:{task.id}"
            if task.result is not None:
                yield f"task:{task.id}", "result", f"result:{task.result.id}"

    def _put_snapshot(self) -> str | None:
        """Keep the code as objects, and return the digest of the list of files; None when it is kept already."""
        tree, project = self.engine.found.tree, self.engine.project
        self.engine.keep_environment()
        with project.ledger.read() as tx:
            known = tx.value("SELECT manifest FROM snapshots WHERE digest = ?", (tree.digest,))
        if known is not None and not project.objects.missing([str(known)]):  # bytes of old code may be collected
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


def _remembered(task: TaskState, result: Result) -> Remembered:
    assert task.call is not None and task.ingredients is not None
    inputs = [each.result.id for each in task.dependencies if each.result is not None]
    versions = [item.version for item in items_in(task.bound) if item.version]
    return Remembered(result, task.slot, task.ingredients, task.call, inputs, versions)


def _put_contents(batch: Any, answer: dict[str, Any], apart: set[str]) -> None:
    """Put what an answer brought, except for digests that were put apart."""
    for digest, data in answer["contents"].items():
        if digest not in apart:
            batch.put(data)
    for digest, path in answer["files"].items():
        if digest not in apart:
            batch.put_file(Path(path))


def _put_apart(batch: Any, result: Result, answer: dict[str, Any]) -> Result:
    """Put the parts of a result that proved damaged under other digests: the store would keep the damaged ones."""
    parts = []
    for part in result.parts:
        if part.format == OBJECT:  # of the lake, not of this result
            parts.append(part)
            continue
        data = answer["contents"].get(part.digest)
        if data is None:
            data = Path(answer["files"][part.digest]).read_bytes()
        stored = batch.put(mask(data, 1 + os.urandom(1)[0] % 255))
        parts.append(msgspec.structs.replace(part, stored=stored))
    return msgspec.structs.replace(result, parts=tuple(parts))

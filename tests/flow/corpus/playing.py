"""Plays edits of a project: what the memory says to each version, beside what each version really gives."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from headwater.errors import HeadwaterError
from headwater.flow import execute_flow, explain
from headwater.project import LocalProject

from .edits import Edit, apply
from .touching import mentioned_by_name, relation, touched

Call = tuple[str, int]
"""A step's name, and which call of it."""

ROOT = Path(__file__).resolve().parents[3]


class Truth:
    """The process that tells what a version really gives."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.flow.corpus.truth"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"},
        )

    def ask(self, folder: Path, environ: Mapping[str, str] | None = None) -> dict[str, Any]:
        """Return what the steps of the project in a folder give now."""
        assert self.process.stdin is not None and self.process.stdout is not None
        request = {"folder": str(folder), "environ": dict(environ or {}), "paths": [str(folder.parent / "site")]}
        print(json.dumps(request), file=self.process.stdin, flush=True)
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return answer

    def close(self) -> None:
        """End it."""
        self.process.communicate()


@contextmanager
def telling() -> Iterator[Truth]:
    """Yield the truth, and end its process after."""
    truth = Truth()
    try:
        yield truth
    finally:
        truth.close()


class Case(NamedTuple):
    """One step in one version: whether it was remembered, whether it should have been, and what the edit touched."""

    edit: Edit
    step: str
    remembered: bool
    same: bool
    relation: str
    why: str

    @property
    def verdict(self) -> str:
        """``stale``, ``hit``, ``rerun`` (the output is another), or why an equal output was computed again."""
        if self.remembered:
            return "hit" if self.same else "stale"
        if not self.same:
            return "rerun"
        return {"ran": "unseen", "named": "reachable", "imported": "imported", "apart": "needless"}[self.relation]


class Score:
    """What came out of all cases. ``broken`` are edits after which the project cannot be imported."""

    def __init__(self) -> None:
        self.cases: list[Case] = []
        self.broken: list[Edit] = []

    def add(self, other: Score) -> None:
        self.cases += other.cases
        self.broken += other.broken

    def of(self, verdict: str) -> list[Case]:
        return [case for case in self.cases if case.verdict == verdict]

    @property
    def edits(self) -> int:
        return len({case.edit for case in self.cases})

    @property
    def equal(self) -> int:
        """How many cases gave the same output as before, so that a hit would have been right."""
        return sum(case.same for case in self.cases)

    def share(self, *verdicts: str) -> float:
        """Return the share of the cases with equal output that have one of these verdicts."""
        return sum(len(self.of(each)) for each in verdicts) / max(1, self.equal)

    def summary(self) -> str:
        kinds = {case.edit.kind for case in self.cases}
        counts = ", ".join(
            f"{each} {len(self.of(each))}"
            for each in ("hit", "rerun", "stale", "needless", "imported", "reachable", "unseen")
        )
        return (
            f"{self.edits} edits of {len(kinds)} kinds ({len(self.broken)} more broke the import), "
            f"{len(self.cases)} cases, {self.equal} with equal output: {counts}"
        )


class Memory(Protocol):
    """What remembers: it is asked about a version of a project, which it may have run before."""

    def begin(self) -> None:
        """Run the project as it is, and remember."""

    def ask(self) -> dict[Call, tuple[bool, str]]:
        """Return for each call of a step in the version that is there now whether it is remembered, and why."""


class Ours:
    """Headwater: a run to begin with, then explanations."""

    def __init__(self, project: LocalProject) -> None:
        self.project = project

    def begin(self) -> None:
        outcome = execute_flow(self.project, "main", workers=1)
        assert outcome.status == "done", (outcome.run.error, outcome.run.traceback)

    def ask(self) -> dict[Call, tuple[bool, str]]:
        tasks = explain(self.project, "main").tasks
        return {
            call: (task.outcome == "remembered", task.why)
            for call, task in _by_name((task.step.rpartition(":")[2], task) for task in tasks).items()
        }


def play(project: LocalProject, edits: Iterable[Edit], files: Mapping[str, str], truth: Truth) -> Score:
    """Run the project once, then ask the memory about each edited version, and find what it really gives."""
    assert project.root is not None
    return play_with(Ours(project), project.root, edits, files, truth)


def play_with(memory: Memory, folder: Path, edits: Iterable[Edit], files: Mapping[str, str], truth: Truth) -> Score:
    """Play edits with any memory of the project in a folder."""
    base = truth.ask(folder)
    assert not base["error"] and all("output" in step for step in base["steps"]), base
    memory.begin()
    mentioned = mentioned_by_name(files)
    score = Score()
    for edit in edits:
        undo = apply(folder, edit)
        try:
            environ = {path[1:]: new for path, _, new in edit.changes if path.startswith("$")}
            now = truth.ask(folder, environ)
            if now["error"]:
                score.broken.append(edit)
                continue
            score.cases += _cases(memory.ask(), edit, base, now, files, mentioned)
        finally:
            undo()
    return score


def _cases(
    said: Mapping[Call, tuple[bool, str]],
    edit: Edit,
    base: dict[str, Any],
    now: dict[str, Any],
    files: Mapping[str, str],
    mentioned: Mapping[str, set[str]],
) -> Iterator[Case]:
    what = touched(edit, files)
    before = _by_name((step["step"], step) for step in base["steps"])
    imported = [*base["imported"], *now["imported"]]
    for call, step in _by_name((step["step"], step) for step in now["steps"]).items():
        if call not in before or call not in said:
            continue  # the edit made the flow another: fewer or more calls of this step
        was, (remembered, why) = before[call], said[call]
        both = {key: [*was[key], *step[key]] for key in ("ran", "names", "files")}
        near = "apart" if what.nothing else relation(what, both, imported, mentioned)
        same = "output" in step and step["output"] == was["output"]
        yield Case(edit, call[0], remembered, same, near, why)


def _by_name(pairs: Iterable[tuple[str, Any]]) -> dict[tuple[str, int], Any]:
    """Return what stands behind each call of a step: by its name, and which call of it it is."""
    found: dict[tuple[str, int], Any] = {}
    for name, value in pairs:
        found[name, sum(1 for each, _ in found if each == name)] = value
    return found


def play_for_real(project: LocalProject, edits: Iterable[Edit], truth: Truth) -> list[tuple[Edit, str, str]]:
    """Run each version with the memory growing, and return where it gave something else than the truth."""
    folder = project.root
    assert folder is not None
    wrong = []
    for edit in edits:
        undo = apply(folder, edit)
        try:
            environ = {path[1:]: new for path, _, new in edit.changes if path.startswith("$")}
            now = truth.ask(folder, environ)
            if now["error"]:
                continue
            try:
                outcome = execute_flow(project, "main", workers=1)
            except HeadwaterError as error:
                wrong.append((edit, "", str(error)))
                continue
            for step, task in zip(now["steps"], outcome.tasks, strict=True):
                given = _given(project, task)
                if given != step.get("output"):
                    wrong.append((edit, task.step, f"{task.outcome}: {given} instead of {step.get('output')}"))
        finally:
            undo()
    return wrong


def _given(project: LocalProject, task: Any) -> str | None:
    from headwater.flow import load_result

    return repr(load_result(project, f"result:{task.result}")) if task.result else None

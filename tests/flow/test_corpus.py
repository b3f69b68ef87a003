"""Small edits of two projects: no stale hit, few needless reruns, and a key with a hole in it is caught."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from headwater.canonical import digest_of
from headwater.flow import execute_flow
from headwater.flow.closure import Analysis
from headwater.flow.engine import Engine
from headwater.flow.importer import install, remove
from headwater.flow.steps import Step, taking
from headwater.flow.tree import read_tree
from headwater.project import LocalProject, create_project

from .corpus_projects import EDITS, PROJECTS, Edit


class Plain:
    """Runs steps at once and notes what each gave: the truth about a version of the code."""

    def __init__(self) -> None:
        self.given: list[Any] = []

    def call(self, step: Step[Any, Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if step.options.seed is not None:
            import random

            random.seed(step.options.seed)
        token = taking.set(None)
        try:
            self.given.append(step.function(*args, **kwargs))
        finally:
            taking.reset(token)


def truth(folder: Path) -> list[str]:
    """Return the digest of what each step gives, run here and without memory."""
    plain = Plain()
    install(read_tree(folder))
    token = taking.set(plain)
    try:
        __import__("flows").main.function()
    finally:
        taking.reset(token)
        remove()
    return [digest_of(value) for value in plain.given]


def write_project(folder: Path, name: str) -> None:
    for path, text in PROJECTS[name].items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)


def apply(folder: Path, edit: Edit) -> Callable[[], None]:
    """Make an edit and return what undoes it."""
    if edit.path.startswith("$"):
        os.environ[edit.path[1:]] = edit.new
        return lambda: os.environ.pop(edit.path[1:], None)  # type: ignore[return-value]  # what pop returns is nobody's
    target = folder / edit.path
    before = target.read_text() if target.exists() else None
    if before is None:
        target.write_text(edit.new)
        return target.unlink
    assert before.count(edit.old) == 1, edit
    target.write_text(before.replace(edit.old, edit.new))
    return lambda: target.write_text(before)  # type: ignore[return-value]  # nor what write_text returns


class Score:
    def __init__(self) -> None:
        self.stale: list[tuple[Edit, str]] = []
        self.needless: list[tuple[Edit, str, str]] = []
        self.calls = 0


def play(project: LocalProject, edits: list[Edit], score: Score) -> None:
    folder = project.root
    assert folder is not None
    base = truth(folder)
    outcome = execute_flow(project, "main", workers=1)
    assert outcome.status == "done", outcome.run.traceback
    for edit in edits:
        undo = apply(folder, edit)
        try:
            now = truth(folder)
            outcome = execute_flow(project, "main", workers=1)
            assert outcome.status == "done", (edit, outcome.run.traceback)
            for place, task in enumerate(outcome.tasks):
                score.calls += 1
                kept = digest_of(outcome.returned[place])
                if kept != now[place]:
                    score.stale.append((edit, task.step))
                elif task.outcome == "ran" and now[place] == base[place]:
                    score.needless.append((edit, task.step, task.why))
        finally:
            undo()


@pytest.fixture
def projects(tmp_path: Path) -> Iterator[dict[str, LocalProject]]:
    made = {}
    for name in PROJECTS:
        folder = tmp_path / name
        folder.mkdir()
        write_project(folder, name)
        made[name] = create_project(folder, name=name, actor="ann")
    yield made
    for project in made.values():
        project.close()


def test_the_corpus_is_broad() -> None:
    assert len(EDITS) >= 40
    assert len({edit.kind for edit in EDITS}) >= 15


@pytest.mark.parametrize("name", list(PROJECTS))
def test_no_edit_gives_a_stale_hit_and_few_rerun_needlessly(projects: dict[str, LocalProject], name: str) -> None:
    score = Score()
    play(projects[name], [edit for edit in EDITS if edit.project == name], score)

    assert score.stale == []
    assert len(score.needless) <= 0.03 * score.calls, score.needless


HOLES = {
    "helpers": "helper body",
    "effects": "registry",
    "lazy": "lazy import",
    "reads": "undeclared file",
    "modules": "module named at run time",
    "seed": "seed",
    "constants": "constant",
}


def plant(monkeypatch: pytest.MonkeyPatch, hole: str) -> None:
    """Leave one ingredient out of the keys."""
    from headwater.flow import closure, keys, reads

    walk, analysis = closure._Walk, closure.Analysis
    if hole == "helpers":
        monkeypatch.setattr(walk, "_spread", lambda self: self.waiting.clear())
    elif hole == "effects":
        monkeypatch.setattr(walk, "_add_effects", lambda self: False)
    elif hole == "lazy":
        plain = analysis.resolve
        monkeypatch.setattr(analysis, "resolve", lambda s, m, c: () if c.startswith("@") else plain(s, m, c))
        monkeypatch.setattr(reads.Now, "changed", lambda self, given: None)
    elif hole in ("reads", "modules"):
        monkeypatch.setattr(reads.Now, "changed", lambda self, given: None)
    elif hole == "seed":
        plain_walk = walk._closed
        monkeypatch.setattr(walk, "_closed", lambda s: _without_labels(plain_walk(s), "noisy"))
        plain_call = keys.Call.digest
        monkeypatch.setattr(keys.Call, "digest", lambda s: plain_call(_replaced(s, seed=None)))
    elif hole == "constants":
        add = walk._add
        monkeypatch.setattr(walk, "_add", lambda s, place: None if _is_constant(s, place) else add(s, place))


def whole_closures(project: LocalProject, edits: list[Edit]) -> dict[tuple[str, str], str]:
    """Return the digest of each step's closure in each version of the code, by the digest of its tree."""
    folder = project.root
    assert folder is not None
    found: dict[tuple[str, str], str] = {}
    for edit in (None, *edits):
        undo = apply(folder, edit) if edit is not None else lambda: None
        tree = read_tree(folder)
        undo()
        analysis = Analysis(tree)
        for name, numbers in analysis.facts("flows").bindings.items():
            if numbers:
                found[tree.digest, f"flows:{name}"] = analysis.closure("flows", name, ["flows"]).digest
    return found


def _is_constant(walk: Any, place: tuple[str, int]) -> bool:
    return bool(walk.analysis.facts(place[0]).statements[place[1]].constant)


def _replaced(given: Any, **changes: Any) -> Any:
    import msgspec

    return msgspec.structs.replace(given, **changes)


def _without_labels(given: Any, name: str) -> Any:
    items = [item for item in given.items if name not in item.label]
    return _replaced(given, items=items, digest=digest_of([item.digest for item in items]))


@pytest.mark.parametrize("hole", list(HOLES))
def test_a_key_that_leaves_something_out_is_caught(
    projects: dict[str, LocalProject], monkeypatch: pytest.MonkeyPatch, hole: str
) -> None:
    edits = [edit for edit in EDITS if edit.kind == HOLES[hole]]
    name = edits[0].project
    edits = [edit for edit in edits if edit.project == name]
    # A worker makes the key of the code itself and refuses another: here it is told the whole one.
    whole = whole_closures(projects[name], edits)
    plain = Engine.job_of

    def told(engine: Engine, task: Any, ended: Any) -> Any:
        job = plain(engine, task, ended)
        job.code = whole[engine.found.tree.digest, task.name]
        return job

    monkeypatch.setattr(Engine, "job_of", told)
    plant(monkeypatch, hole)
    score = Score()
    play(projects[name], edits, score)

    assert score.stale, f"the corpus does not see that '{hole}' is missing"

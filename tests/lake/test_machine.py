"""The lake against a model of it that a person can read: dictionaries of paths, by version.

Random acts (commit, branch, tag, merge, delete, collect, erase) are done to a real project and to the model; after each
the two must agree on what every version holds, or on that it is gone, and everything must verify.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from headwater.errors import ConflictError, GoneError, InvalidInputError, NotFoundError, RefusedError
from headwater.lake import collecting as lake_collecting
from headwater.lake import commit, create_branch, find_head, merge, read_bytes, set_branch, tag
from headwater.lake import verify as verify_lake
from headwater.lake.collecting import delete, hold
from headwater.lake.erasing import Subject
from headwater.project import LocalProject, create_project
from headwater.trace import verify
from headwater.trace.collecting import collect
from headwater.trace.erasing import erase
from tests.lake.test_versions import entry

PATHS = ("a", "b", "c")
BRANCHES = ("main", "other")
Files = dict[str, str]


class Lake(RuleBasedStateMachine):
    """A project and its model: ``held`` are the files of each version, None where its bytes were collected."""

    def __init__(self) -> None:
        super().__init__()
        self.place = Path(tempfile.mkdtemp(prefix="headwater-machine-"))
        self.project: LocalProject = create_project(self.place, name="machine", actor="ann")
        self.held: dict[str, Files | None] = {}
        self.parents: dict[str, tuple[str, ...]] = {}
        self.order: list[str] = []
        self.heads: dict[str, str] = {}
        self.tags: dict[str, str] = {}
        self.deleted: set[str] = set()
        self.kept: set[str] = set()

    def teardown(self) -> None:
        try:
            assert [each.message for each in verify(self.project) if each.severity == "error"] == []
        finally:
            self.project.close()
        shutil.rmtree(self.place, ignore_errors=True)

    @initialize()
    def begin(self) -> None:
        self._commit("main", {"a": "first"}, [])

    def _commit(self, branch: str, put: Files, remove: list[str]) -> None:
        base = self.heads.get(branch)
        made = commit(
            self.project,
            "d",
            put=[entry(self.project, path, text) for path, text in put.items()],
            remove=remove,
            base=base,
            allow_empty=True,
        )
        before = dict((self.held[base] if base else {}) or {})
        self._made(made.id, {**{k: v for k, v in before.items() if k not in remove}, **put}, (base,) if base else ())
        set_branch(self.project, "d", branch, made.id, expected=base)
        self.heads[branch] = made.id

    def _made(self, identifier: str, files: Files, parents: tuple[str, ...]) -> None:
        self.held[identifier] = files
        self.parents[identifier] = parents
        self.order.append(identifier)

    @rule(branch=st.sampled_from(BRANCHES), path=st.sampled_from(PATHS), text=st.sampled_from(["x", "y", "z"]))
    def commit_a_file(self, branch: str, path: str, text: str) -> None:
        if branch in self.heads:
            self._commit(branch, {path: f"{path} holds {text}"}, [])

    @rule(branch=st.sampled_from(BRANCHES), path=st.sampled_from(PATHS))
    def remove_a_file(self, branch: str, path: str) -> None:
        if path in (self.held.get(self.heads.get(branch, ""), None) or {}):
            self._commit(branch, {}, [path])

    @rule(text=st.sampled_from(["x", "y"]))
    def commit_without_a_name(self, text: str) -> None:
        made = commit(self.project, "d", put=[entry(self.project, "c", f"unnamed {text}")])
        if made.id not in self.held:
            self._made(made.id, {"c": f"unnamed {text}"}, ())

    @precondition(lambda self: "other" not in self.heads)
    @rule(which=st.integers(0, 50))
    def branch_off(self, which: int) -> None:
        chosen = self.order[which % len(self.order)]
        self._named(chosen, lambda: create_branch(self.project, "d", "other", chosen), self.heads, "other")

    @rule(which=st.integers(0, 50))
    def tag_one(self, which: int) -> None:
        chosen, name = self.order[which % len(self.order)], f"t{len(self.tags)}"
        self._named(chosen, lambda: tag(self.project, "d", name, chosen), self.tags, name)

    def _named(self, chosen: str, act: Callable[[], Any], names: dict[str, str], name: str) -> None:
        if self.held[chosen] is None:
            with pytest.raises(ConflictError):
                act()
        else:
            act()
            names[name] = chosen

    @rule()
    def merge_branches(self) -> None:
        ours, theirs = self.heads.get("main"), self.heads.get("other")
        if ours is None or theirs is None:
            return
        base = self._common(ours, theirs)
        if base is not None and self.held[base] is None and base not in (ours, theirs):
            with pytest.raises(NotFoundError):  # what both came from is gone: there is nothing to compare with
                merge(self.project, "d", theirs, ours)
            return
        wanted = self._merged(base, ours, theirs)
        if wanted is None:
            with pytest.raises(ConflictError):
                merge(self.project, "d", theirs, ours)
            return
        made = merge(self.project, "d", theirs, ours)
        if made.id not in self.held:
            self._made(made.id, wanted, (ours, theirs))
        set_branch(self.project, "d", "main", made.id, expected=ours)
        self.heads["main"] = made.id

    def _line(self, start: str) -> set[str]:
        found, waiting = set(), [start]
        while waiting:
            each = waiting.pop()
            if each not in found:
                found.add(each)
                waiting += self.parents[each]
        return found

    def _common(self, a: str, b: str) -> str | None:
        return max(self._line(a) & self._line(b), key=self.order.index, default=None)

    def _merged(self, base: str | None, a: str, b: str) -> Files | None:
        if base == b:
            return self.held[a]
        if base == a:
            return self.held[b]
        old, ours, theirs = ((self.held[each] or {}) if each else {} for each in (base, a, b))
        merged = dict(ours)
        for path in {*old, *ours, *theirs}:
            if theirs.get(path) == old.get(path):
                continue
            if ours.get(path) not in (old.get(path), theirs.get(path)) or (
                base is None and path in ours and path in theirs
            ):
                return None
            if path in theirs:
                merged[path] = theirs[path]
            else:
                merged.pop(path, None)
        return merged

    @rule(which=st.integers(0, 50))
    def hold_one(self, which: int) -> None:
        chosen = self.order[which % len(self.order)]
        if self.held[chosen] is not None and not self.kept:
            hold(self.project, f"version:{chosen}", "looked at")
            self.kept.add(chosen)

    @rule(which=st.integers(0, 50))
    def delete_one(self, which: int) -> None:
        chosen = self.order[which % len(self.order)]
        if chosen in (*self.heads.values(), *self.tags.values()):
            with pytest.raises(RefusedError):
                delete(self.project, f"version:{chosen}", "over")
        else:
            delete(self.project, f"version:{chosen}", "over")
            self.deleted.add(chosen)

    @rule()
    def collect_all(self) -> None:
        told = collect(self.project, grace_hours=0)
        done = collect(self.project, free=True, grace_hours=0)
        assert (told.objects, told.bytes) == (done.objects, done.bytes) and done.problems == ()
        if done.objects:
            named = {*self.heads.values(), *self.tags.values(), *self.kept}
            for each in self.deleted - named:
                self.held[each] = None

    @rule(path=st.sampled_from(PATHS))
    def erase_a_path(self, path: str) -> None:
        subject = Subject(datasets=("d",), path=path)
        living = {key: files for key, files in self.held.items() if files is not None}
        if not any(path in files for files in living.values()):
            with pytest.raises(InvalidInputError):
                erase(self.project, subject, why="asked for", carry_out=True)
            return
        done = erase(self.project, subject, why="asked for", carry_out=True)
        assert done.left == ()
        for files in living.values():
            files.pop(path, None)

    @invariant()
    def both_agree(self) -> None:
        for identifier, files in self.held.items():
            if files is not None:
                for path in PATHS:
                    self._agree(identifier, path, files.get(path))
        for branch, wanted in self.heads.items():
            head = find_head(self.project, "d", branch)
            assert head is not None and head.id == wanted
        assert [each.message for each in verify_lake(self.project)] == []

    def _agree(self, identifier: str, path: str, text: str | None) -> None:
        if text is None:
            with pytest.raises(NotFoundError):
                read_bytes(self.project, f"version:{identifier}", path)
        else:
            assert read_bytes(self.project, f"version:{identifier}", path).decode() == text


def run(examples: int, steps: int) -> None:
    checks = settings(
        max_examples=examples, stateful_step_count=steps, deadline=None, suppress_health_check=list(HealthCheck),
        derandomize=True, database=None, print_blob=False, phases=(Phase.generate,),
    )  # fmt: skip
    run_state_machine_as_test(Lake, settings=checks)


def test_the_lake_does_what_its_model_does() -> None:
    run(examples=3, steps=12)


@pytest.mark.long
def test_the_lake_does_what_its_model_does_for_long() -> None:
    run(examples=60, steps=40)


def test_a_collection_that_forgets_history_is_found_by_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    real = lake_collecting._Judge.kept

    def forgetful(judge: Any, version: Any) -> str:
        why: str = real(judge, version)
        return "" if why == "history of branches and tags" else why

    monkeypatch.setattr(lake_collecting._Judge, "kept", forgetful)

    with pytest.raises((GoneError, ConflictError), match="collected"):
        run(examples=20, steps=15)

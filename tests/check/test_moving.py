"""Several writers of one branch: nothing is lost, and only the same path is a conflict."""

from __future__ import annotations

import itertools
import json
import multiprocessing
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from headwater.check import moving, publish, publish_files
from headwater.errors import ConflictError, NotFoundError
from headwater.lake import commit, find_head, iter_files, log, read_bytes, verify
from headwater.lake.turns import in_turn
from headwater.project import LocalProject, Project, create_project
from tests.check import publishing_process
from tests.lake.test_versions import entry


def paths(project: Project, ref: str = "shared") -> set[str]:
    return {each.path for each in iter_files(project, ref)}


@pytest.mark.parametrize("ledger", ["sqlite", "postgres"])
def test_processes_that_publish_at_once_lose_nothing(
    ledger: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    url = request.getfixturevalue("postgres_url") if ledger == "postgres" else None
    with create_project(tmp_path / "p", ledger_url=url) as project:
        command = [sys.executable, str(Path(publishing_process.__file__)), str(tmp_path / "p")]
        writers = [
            subprocess.Popen([*command, f"w{n}", "8"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            for n in range(4)
        ]
        for writer in writers:
            assert writer.stdout is not None and writer.stdout.readline() == "ready\n"
        told = [path for writer in writers for path in json.loads(writer.communicate("go\n", timeout=120)[0])]

        assert len(told) == 4 * 8
        assert paths(project) == set(told)
        assert [version.number for version in log(project, "shared", "main")] == list(range(32, 0, -1))
        assert list(verify(project)) == []


def publish_at_once(project: Project, writers: int, each: int) -> list[ConflictError]:
    """Publish from threads; return the conflicts."""
    start, conflicts = threading.Barrier(writers), list[ConflictError]()

    def work(name: str) -> None:
        start.wait()
        for number in range(each):
            try:
                publish(project, "shared", put=[entry(project, f"{name}/{number}", f"{name} {number}")])
            except ConflictError as error:
                conflicts.append(error)

    threads = [threading.Thread(target=work, args=(f"t{n}",)) for n in range(writers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return conflicts


@contextmanager
def no_turns(*_: object) -> Iterator[bool]:
    yield False


def test_writers_of_different_machines_have_no_turns_and_lose_nothing(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moving, "in_turn", no_turns)

    assert publish_at_once(project, writers=4, each=5) == []
    assert len(paths(project)) == 20
    assert len(log(project, "shared", "main")) == 20


def test_without_another_try_the_same_writers_do_lose(
    sqlite_project: LocalProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moving, "in_turn", no_turns)
    monkeypatch.setattr(moving, "TRIES", 1)

    conflicts = publish_at_once(sqlite_project, writers=4, each=5)

    assert conflicts
    assert "moved by others each of the 1 times" in conflicts[0].message
    assert len(paths(sqlite_project)) == 20 - len(conflicts)


def test_what_others_published_since_the_base_is_kept(project: Project) -> None:
    base = publish(project, "d", put=[entry(project, "a", "1"), entry(project, "b", "1")]).version
    publish(project, "d", put=[entry(project, "b", "2"), entry(project, "new", "1")])

    mine = publish(project, "d", put=[entry(project, "a", "3"), entry(project, "new", "1")], base=base.id)

    assert mine.published
    assert {path: read_bytes(project, "d", path) for path in "ab"} == {"a": b"3", "b": b"2"}
    assert [version.number for version in log(project, "d", "main")] == [3, 2, 1]


def test_the_same_path_changed_by_both_is_a_conflict_that_records_nothing(project: Project) -> None:
    base = publish(project, "d", put=[entry(project, "a", "1"), entry(project, "b", "1")]).version
    head = publish(project, "d", put=[entry(project, "b", "2")], remove=["a"]).version

    with pytest.raises(ConflictError, match=r"since d@v1, .* d@v2 changed 'b' too") as caught:
        publish(project, "d", put=[entry(project, "b", "3")], remove=["a"], base=base.id)

    assert caught.value.values["paths"] == ["b"]
    assert find_head(project, "d") == head
    assert len(log(project, "d")) == 2


def test_a_path_that_is_gone_already_cannot_be_removed(project: Project) -> None:
    publish(project, "d", put=[entry(project, "a", "1"), entry(project, "b", "1")])
    publish(project, "d", remove=["a"])

    with pytest.raises(NotFoundError, match="has no file 'a'"):
        publish(project, "d", remove=["a"])


def _hold(project: LocalProject, held: threading.Event, go: threading.Event) -> None:
    with in_turn(project, "d", "main") as mine:
        assert mine
        held.set()
        go.wait(20)


def test_turns_are_taken_one_after_the_other_and_end_with_their_block(sqlite_project: LocalProject) -> None:
    held, go = threading.Event(), threading.Event()
    holder = threading.Thread(target=_hold, args=(sqlite_project, held, go))
    holder.start()
    held.wait(20)

    with in_turn(sqlite_project, "d", "main", timeout_s=0.05) as mine:
        assert not mine
    with in_turn(sqlite_project, "d", "other", timeout_s=0) as mine:
        assert mine
    go.set()
    with in_turn(sqlite_project, "d", "main", timeout_s=20) as mine:
        assert mine
    holder.join()


def test_a_child_forked_in_a_turn_does_not_keep_it(sqlite_project: LocalProject) -> None:
    with in_turn(sqlite_project, "d", "main"):
        child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,))
        child.start()
    try:
        with in_turn(sqlite_project, "d", "main", timeout_s=0) as mine:
            assert mine
    finally:
        child.kill()
        child.join()


def test_files_added_while_others_publish_are_joined_with_what_they_published(project: Project, tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / name).write_text(name)
    publish_files(project, "d", tmp_path / "a")
    base = find_head(project, "d")
    assert base is not None
    publish_files(project, "d", tmp_path / "b")

    late = publish_files(project, "d", tmp_path / "c", base=base.id)

    assert late.published
    assert paths(project, "d") == {"a", "b", "c"}


def test_a_version_is_joined_only_where_that_is_asked_for_and_no_path_is_in_conflict(project: Project) -> None:
    base = publish(project, "d", put=[entry(project, "a", "1")]).version
    mine = commit(project, "d", put=[entry(project, "mine", "1")], base=base.id)
    other = commit(project, "d", put=[entry(project, "a", "3")], base=base.id)
    publish(project, "d", put=[entry(project, "a", "2")])

    with pytest.raises(ConflictError, match="does not build on"):
        publish(project, "d", version=mine.id)
    with pytest.raises(ConflictError, match="both changed 'a'"):
        publish(project, "d", version=other.id, merge=True)
    joined = publish(project, "d", version=mine.id, merge=True)

    assert joined.version.parents == (find_parent(project), mine.id)
    assert {path: read_bytes(project, "d", path) for path in paths(project, "d")} == {"a": b"2", "mine": b"1"}
    assert "nothing changed" in publish(project, "d", version=base.id, merge=True).message


def find_parent(project: Project) -> str:
    """Return the id of what the branch pointed to before."""
    (_, before, *_) = log(project, "d", "main")
    return before.id


def test_a_clock_that_goes_backwards_loses_nothing_and_keeps_the_order(tmp_path: Path) -> None:
    clock = itertools.count(1_767_225_600_000_000, -60_000_000)  # each look at it is a minute earlier
    with create_project(tmp_path / "p", clock=lambda: next(clock)) as project:
        made = [publish(project, "d", put=[entry(project, f"f{number}", "x")]).version for number in range(5)]

        assert [version.id for version in log(project, "d", "main")] == [version.id for version in reversed(made)]
        assert len({version.id for version in made}) == 5
        assert paths(project, "d") == {f"f{number}" for number in range(5)}
        with project.ledger.read() as tx:
            moves = [row.at for row in tx.pointer_history("branch", "d/main")]
        assert moves == sorted(moves)
        assert list(verify(project)) == []

"""Removing and moving paths of a dataset, by folder and by URL."""

from __future__ import annotations

import pytest

from headwater.check.editing import move_paths, remove_paths
from headwater.check.publishing import publish
from headwater.errors import ConflictError, InvalidInputError, MergeConflictError, NotFoundError
from headwater.lake import commit, iter_files, merge, read_bytes, set_branch
from headwater.project import Project
from tests.lake.test_versions import entry


def paths(project: Project) -> dict[str, bytes]:
    return {each.path: read_bytes(project, "d", each.path) for each in iter_files(project, "d@main")}


@pytest.fixture
def filled(project: Project) -> Project:
    names = ("a", "a.txt", "cats/kit", "cats/tom", "catsup", "dogs/rex")
    publish(project, "d", put=[entry(project, name, name) for name in names])
    return project


def test_files_and_folders_are_removed_in_a_version_with_a_message(filled: Project) -> None:
    with pytest.raises(InvalidInputError, match="is a folder"):
        remove_paths(filled, "d", ["cats"])
    with pytest.raises(NotFoundError, match=r"no file or folder 'a\.tx'"):
        remove_paths(filled, "d", ["a.tx"])

    done = remove_paths(filled, "d", ["a", "cats/"], folders=True)

    assert set(paths(filled)) == {"a.txt", "catsup", "dogs/rex"}
    assert (done.version.message, done.published) == ("remove a, cats/", True)
    assert remove_paths(filled, "d", ["a.txt"], message="not ours").version.message == "not ours"


def test_files_and_folders_are_renamed_and_moved_into_folders(filled: Project) -> None:
    move_paths(filled, "d", ["a"], "b")
    move_paths(filled, "d", ["cats"], "felines")  # there is none of that name: it becomes it
    move_paths(filled, "d", ["b", "dogs"], "old/")

    assert paths(filled) == {
        "a.txt": b"a.txt", "catsup": b"catsup", "felines/kit": b"cats/kit", "felines/tom": b"cats/tom", "old/b": b"a",
        "old/dogs/rex": b"dogs/rex",
    }  # fmt: skip


def test_nothing_is_replaced_unless_asked_for_and_no_folder_goes_into_itself(filled: Project) -> None:
    with pytest.raises(ConflictError, match=r"has 'a\.txt' already"):
        move_paths(filled, "d", ["a"], "a.txt")
    with pytest.raises(InvalidInputError, match="within it"):
        move_paths(filled, "d", ["cats"], "cats/more/")
    with pytest.raises(InvalidInputError, match="no folder"):
        move_paths(filled, "d", ["a", "a.txt"], "catsup")
    with pytest.raises(NotFoundError):
        move_paths(filled, "d", ["nothing"], "b")

    move_paths(filled, "d", ["a"], "a.txt", replace=True)

    assert paths(filled)["a.txt"] == b"a" and "a" not in paths(filled)


def test_a_merge_takes_the_side_that_it_is_told_where_both_changed_a_path(project: Project) -> None:
    base = commit(project, "d", put=[entry(project, each, "old") for each in "abcd"])
    ours = commit(project, "d", put=[entry(project, "a", "ours"), entry(project, "d", "ours")], base=base.id)
    commit(project, "d", put=[entry(project, "a", "theirs")], remove=["d", "b"], base=base.id)
    set_branch(project, "d", "main", ours.id, expected=None)
    with pytest.raises(MergeConflictError, match="hw data merge d v3 --take theirs") as caught:
        merge(project, "d", "v3")
    assert (caught.value.exit_code, caught.value.values["paths"]) == (1, ["a", "d"])
    with pytest.raises(InvalidInputError, match=r"no side|Invalid enum value"):
        merge(project, "d", "v3", take="mine")  # type: ignore[arg-type]  # what a program could send

    kept, taken = (merge(project, "d", "v3", take=side).id for side in ("ours", "theirs"))

    def contents(version: str) -> dict[str, bytes]:
        return {each.path: read_bytes(project, version, each.path) for each in iter_files(project, version)}

    assert contents(kept) == {"a": b"ours", "c": b"old", "d": b"ours"}
    assert contents(taken) == {"a": b"theirs", "c": b"old"}

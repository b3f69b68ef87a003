from __future__ import annotations

import pytest

from headwater.errors import ConflictError
from headwater.lake import commit, iter_files, log, merge, revert, set_branch
from headwater.project import Project
from tests.lake.test_versions import entry


def contents(project: Project, ref: str) -> dict[str, bytes]:
    return {e.path: project.objects.get(e.digest) for e in iter_files(project, ref)}


def test_two_lines_are_joined_path_by_path(project: Project) -> None:
    base = commit(project, "d", put=[entry(project, p, "old") for p in "abcd"])
    ours = commit(project, "d", put=[entry(project, "a", "ours")], remove=["d"], base=base.id)
    theirs = commit(project, "d", put=[entry(project, "b", "theirs"), entry(project, "e", "e")], base=base.id)
    set_branch(project, "d", "main", ours.id, expected=None)

    joined = merge(project, "d", theirs.id)

    assert contents(project, joined.id) == {"a": b"ours", "b": b"theirs", "c": b"old", "e": b"e"}
    assert joined.parents == (ours.id, theirs.id)
    assert [v.number for v in log(project, "d")] == [4, 3, 2, 1]


def test_the_same_change_on_both_sides_is_no_conflict_and_a_different_one_is(project: Project) -> None:
    base = commit(project, "d", put=[entry(project, p, "old") for p in "abc"])
    ours = commit(project, "d", put=[entry(project, "a", "new"), entry(project, "b", "ours")], base=base.id)
    same = commit(project, "d", put=[entry(project, "a", "new")], base=base.id)
    other = commit(project, "d", put=[entry(project, "b", "theirs")], remove=["c"], base=base.id)

    assert contents(project, merge(project, "d", same.id, ours.id).id)["a"] == b"new"
    with pytest.raises(ConflictError, match=r"d@v4 and d@v2 both changed 'b' since d@v1") as caught:
        merge(project, "d", other.id, ours.id)
    assert caught.value.values["paths"] == ["b"]


def test_where_one_side_contains_the_other_nothing_is_made(project: Project) -> None:
    base = commit(project, "d", put=[entry(project, "a", "1")])
    later = commit(project, "d", put=[entry(project, "a", "2")], base=base.id)

    assert merge(project, "d", later.id, base.id).id == later.id
    assert merge(project, "d", base.id, later.id).id == later.id
    assert [v.number for v in log(project, "d")] == [2, 1]


def test_a_second_merge_starts_from_the_first(project: Project) -> None:
    base = commit(project, "d", put=[entry(project, p, "old") for p in "ab"])
    ours = commit(project, "d", put=[entry(project, "a", "1")], base=base.id)
    theirs = commit(project, "d", put=[entry(project, "b", "1")], base=base.id)
    joined = merge(project, "d", theirs.id, ours.id)
    theirs_again = commit(project, "d", put=[entry(project, "b", "2")], base=theirs.id)

    # from the first merge's point of view only their side changed b since
    assert contents(project, merge(project, "d", theirs_again.id, joined.id).id) == {"a": b"1", "b": b"2"}


def test_going_back_makes_a_new_version_with_the_old_files(project: Project) -> None:
    first = commit(project, "d", put=[entry(project, "a", "1")])
    second = commit(project, "d", put=[entry(project, "b", "2")], base=first.id)
    set_branch(project, "d", "main", second.id, expected=None)

    back = revert(project, "d", "v1")

    assert (back.number, back.parents, back.root, back.message) == (3, (second.id,), first.root, "revert to v1")
    assert contents(project, back.id) == {"a": b"1"}
    set_branch(project, "d", "main", back.id, expected=second.id)
    assert not revert(project, "d", "v1").changed

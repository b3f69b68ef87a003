from __future__ import annotations

import threading

import pytest

from headwater.errors import ConflictError, InvalidInputError, NotFoundError
from headwater.lake import (
    Entry,
    commit,
    create_branch,
    delete_branch,
    describe_dataset,
    diff,
    get_entry,
    iter_files,
    list_branches,
    list_datasets,
    list_files,
    list_folder,
    list_tags,
    log,
    resolve,
    set_branch,
    set_description,
    show,
    tag,
    verify,
)
from headwater.project import LocalProject, Project


def entry(project: Project, path: str, content: str) -> Entry:
    data = content.encode()
    return Entry(path=path, digest=project.objects.put(data), size=len(data))


def test_a_commit_keeps_its_files_message_author_and_source(project: Project) -> None:
    files = [entry(project, "b.txt", "two"), entry(project, "a.txt", "one")]

    version = commit(project, "notes", put=files, message="first", source="mail", produced_by="run:X")

    assert (version.number, version.files, version.bytes, version.author) == (1, 2, 6, "ann")
    assert show(project, "notes@v1") == version
    assert [e.path for e in iter_files(project, "notes@v1")] == ["a.txt", "b.txt"]
    assert get_entry(project, "notes@v1", "a.txt") == files[1]


def test_a_commit_writes_where_it_came_from_into_the_lineage(local_project: LocalProject) -> None:
    first = commit(local_project, "raw", put=[entry(local_project, "a", "1")], source="mail")
    second = commit(local_project, "raw", put=[entry(local_project, "b", "2")], base=first.id)

    made = commit(local_project, "clean", put=[entry(local_project, "a", "3")], inputs=[second.id], produced_by="run:X")

    with local_project.ledger.read() as tx:
        assert [tuple(e) for e in tx.edges_of(f"version:{first.id}")] == [("source", "source:mail")]
        assert [tuple(e) for e in tx.edges_of(f"version:{second.id}")] == [("parent", f"version:{first.id}")]
        assert [tuple(e) for e in tx.edges_of(f"version:{made.id}")] == [
            ("input", f"version:{second.id}"),
            ("produced_by", "run:X"),
        ]
        kinds = [a.kind for a in tx.announcements_since(0, ["version"])]
    assert kinds == ["version"] * 3
    assert list(verify(local_project)) == []


def test_a_version_changes_and_removes_files_of_its_base_and_leaves_the_base_alone(project: Project) -> None:
    first = commit(project, "d", put=[entry(project, p, p) for p in ("a", "b", "c")])

    second = commit(project, "d", put=[entry(project, "b", "new")], remove=["c"], base=first.id)

    assert [e.path for e in iter_files(project, second.id)] == ["a", "b"]
    assert [e.path for e in iter_files(project, first.id)] == ["a", "b", "c"]
    assert second.parents == (first.id,)
    found = diff(project, first.id, second.id)
    assert [c.path for c in found.changed] == ["b"]
    assert [e.path for e in found.removed] == ["c"]
    assert (found.added_count, found.removed_count, found.changed_count) == (0, 1, 1)


def test_an_unchanged_tree_makes_no_version_unless_asked(project: Project) -> None:
    same = entry(project, "a", "1")
    first = commit(project, "d", put=[same])

    again = commit(project, "d", put=[same], base=first.id)

    assert again.id == first.id
    assert not again.changed
    asked = commit(project, "d", put=[same], base=first.id, allow_empty=True)
    assert (asked.number, asked.changed, asked.root) == (2, True, first.root)


@pytest.mark.parametrize("path", ["", "/a", "a//b", "a/../b", "..", "./a", "a/", "a\nb", "a\0b", "x" * 1025])
def test_a_path_that_is_no_relative_path_is_refused(sqlite_project: LocalProject, path: str) -> None:
    with pytest.raises(InvalidInputError, match="cannot be a path"):
        commit(sqlite_project, "d", put=[entry(sqlite_project, path, "1")])


def test_a_path_that_is_not_utf_8_is_refused_by_name(sqlite_project: LocalProject) -> None:
    with pytest.raises(InvalidInputError, match=r"caf\\udce9.*not UTF-8.*Rename"):
        commit(sqlite_project, "d", put=[entry(sqlite_project, "caf\udce9", "1")])


@pytest.mark.parametrize("path", [".hidden", "a/.keep", "..a", "a/b..c", "é/ü", "a b", "C:\\x"])
def test_an_odd_but_honest_path_is_kept(sqlite_project: LocalProject, path: str) -> None:
    version = commit(sqlite_project, "d", put=[entry(sqlite_project, path, "1")])

    assert [e.path for e in iter_files(sqlite_project, version.id)] == [path]


def test_bytes_that_are_not_in_the_store_cannot_be_committed(project: Project) -> None:
    with pytest.raises(InvalidInputError, match=r"the bytes of 'a' are not in the store"):
        commit(project, "d", put=[Entry(path="a", digest="0" * 64, size=1)])


def test_what_cannot_be_committed_is_refused(project: Project) -> None:
    one = entry(project, "a", "1")
    first = commit(project, "d", put=[one])
    commit(project, "other", put=[one])

    with pytest.raises(InvalidInputError, match="given twice"):
        commit(project, "d", put=[one, one])
    with pytest.raises(NotFoundError, match=r"d@v1 has no file 'zz'"):
        commit(project, "d", remove=["zz"], base=first.id)
    with pytest.raises(InvalidInputError, match="nothing to commit"):
        commit(project, "fresh")
    with pytest.raises(InvalidInputError, match="it is of 'd'"):
        commit(project, "other", put=[one], base=first.id)
    with pytest.raises(InvalidInputError, match="cannot name a dataset"):
        commit(project, "a/b", put=[one])
    with pytest.raises(InvalidInputError, match="not a digest"):
        commit(project, "d", put=[Entry(path="x", digest="ABC", size=1)])
    with pytest.raises(NotFoundError, match="there is no version"):
        commit(project, "d", put=[one], inputs=["0" * 26])


def test_two_committers_at_once_both_succeed_with_numbers_of_their_own(local_project: LocalProject) -> None:
    first = commit(local_project, "d", put=[entry(local_project, "base", "0")])
    made: list[int] = []

    def work(name: str) -> None:
        for turn in range(5):
            put = [entry(local_project, f"{name}{turn}", name)]
            made.append(commit(local_project, "d", put=put, base=first.id).number)

    threads = [threading.Thread(target=work, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(made) == list(range(2, 17))
    assert list(verify(local_project)) == []


def test_every_way_of_naming_a_version_finds_it(project: Project) -> None:
    first = commit(project, "d", put=[entry(project, "a", "1")])
    second = commit(project, "d", put=[entry(project, "a", "2")], base=first.id)
    set_branch(project, "d", "main", first.id, expected=None)
    set_branch(project, "d", "main", second.id, expected=first.id)
    tag(project, "d", "paper", "v1")

    for ref in ("d", "d@main", "d@v2", "d@V2", f"d@{second.id}", second.id, f"version:{second.id}", second.id.lower()):
        assert resolve(project, ref) == second, ref
    assert resolve(project, "d@paper") == first
    assert resolve(project, "d@2100-01-01") == second
    with pytest.raises(NotFoundError, match="nothing of dataset 'd' was published by 2013-01-01"):
        resolve(project, "d@2013-01-01")
    with pytest.raises(NotFoundError, match="no version v3"):
        resolve(project, "d@v3")
    with pytest.raises(NotFoundError, match=r"no branch or tag 'nope'. It has 'main', 'paper'"):
        resolve(project, "d@nope")
    with pytest.raises(NotFoundError, match=r"there is no dataset 'dd'\. Did you mean 'd'"):
        resolve(project, "dd")
    with pytest.raises(InvalidInputError, match="is not a date or time"):
        resolve(project, "d@2026-13-01")


def test_a_date_names_the_head_as_it_stood_then(local_project: LocalProject) -> None:
    start = 1_767_225_600_000_000  # 2026-01-01
    day = 86_400_000_000
    local_project.ledger.clock = lambda: start + 10 * day
    first = commit(local_project, "d", put=[entry(local_project, "a", "1")])
    set_branch(local_project, "d", "main", first.id, expected=None)
    local_project.ledger.clock = lambda: start + 20 * day
    second = commit(local_project, "d", put=[entry(local_project, "a", "2")], base=first.id)
    set_branch(local_project, "d", "main", second.id, expected=first.id)

    assert resolve(local_project, "d@2026-01-12").id == first.id
    assert resolve(local_project, "d@2026-01-11").id == first.id  # moved at that very time
    assert resolve(local_project, "d@2026-01-20T23:59").id == first.id
    assert resolve(local_project, "d@2026-01-21T02:00+02:00").id == second.id
    assert resolve(local_project, "d@2026-01-21").id == second.id


def test_a_version_that_is_on_no_branch_says_so(project: Project) -> None:
    commit(project, "d", put=[entry(project, "a", "1")])

    with pytest.raises(NotFoundError, match="no branch 'main' yet: none of its versions was published"):
        resolve(project, "d")


def test_a_branch_that_somebody_moved_is_not_moved_again(project: Project) -> None:
    first = commit(project, "d", put=[entry(project, "a", "1")])
    second = commit(project, "d", put=[entry(project, "a", "2")], base=first.id)
    third = commit(project, "d", put=[entry(project, "a", "3")], base=first.id)
    set_branch(project, "d", "main", first.id, expected=None)
    set_branch(project, "d", "main", second.id, expected=first.id)

    with pytest.raises(ConflictError, match="points to") as caught:
        set_branch(project, "d", "main", third.id, expected=first.id)

    assert caught.value.values["head"] == second.id


@pytest.mark.parametrize("name", ["v12", "V1", "2026-11-01", "2026-11-01T10:00", "01M7Y9B51BE8M8EP7J56FWWTA3", "a/b",
                                  "a@b", "", "-x", "a b", "é", "x" * 101])  # fmt: skip
def test_a_branch_or_tag_that_would_read_as_something_else_is_refused(sqlite_project: LocalProject, name: str) -> None:
    first = commit(sqlite_project, "d", put=[entry(sqlite_project, "a", "1")])

    with pytest.raises(InvalidInputError, match="cannot name a branch"):
        set_branch(sqlite_project, "d", name, first.id, expected=None)
    with pytest.raises(InvalidInputError, match="cannot name a tag"):
        tag(sqlite_project, "d", name, "v1")


def test_branches_are_made_listed_and_deleted_and_tags_do_not_move(project: Project) -> None:
    first = commit(project, "d", put=[entry(project, "a", "1")])
    commit(project, "d", put=[entry(project, "a", "2")], base=first.id)
    create_branch(project, "d", "trial", "v2")
    create_branch(project, "d", "old", first.id)
    tag(project, "d", "paper", "old")

    assert [(b.name, b.number, b.protected) for b in list_branches(project, "d")] == [
        ("old", 1, False),
        ("trial", 2, False),
    ]
    assert [(t.name, t.number) for t in list_tags(project, "d")] == [("paper", 1)]
    with pytest.raises(ConflictError, match="a tag does not move"):
        tag(project, "d", "paper", "v2")
    with pytest.raises(ConflictError, match="is a tag"):
        create_branch(project, "d", "paper", "v2")
    with pytest.raises(ConflictError, match="has a branch 'trial' already"):
        create_branch(project, "d", "trial", "v1")
    delete_branch(project, "d", "trial")
    assert [b.name for b in list_branches(project, "d")] == ["old"]
    with pytest.raises(NotFoundError, match="has no branch 'trial'"):
        delete_branch(project, "d", "trial")


def test_history_is_paged_from_the_newest(project: Project) -> None:
    base = None
    for turn in range(7):
        base = commit(project, "d", put=[entry(project, "a", str(turn))], base=base).id
        if turn == 4:
            set_branch(project, "d", "main", base, expected=None)

    page = log(project, "d", limit=3)
    assert [v.number for v in page] == [7, 6, 5]
    assert [v.number for v in log(project, "d", limit=10, before=page[-1].id)] == [4, 3, 2, 1]
    on_main = log(project, "d", "main", limit=3)
    assert [v.number for v in on_main] == [5, 4, 3]
    assert [v.number for v in log(project, "d", "main", limit=3, before=on_main[-1].id)] == [2, 1]
    assert log(project, "d", "main", before=log(project, "d", "main")[-1].id) == []


def test_files_are_paged_and_folders_are_listed_without_what_is_in_them(project: Project) -> None:
    names = ["a.txt", "b/1", "b/2", "b/c/3", "b.txt", "d/e/f", "z"]
    version = commit(project, "d", put=[entry(project, n, n) for n in names])

    page = list_files(project, version.id, limit=4)
    assert [e.path for e in page.files] == ["a.txt", "b.txt", "b/1", "b/2"]
    rest = list_files(project, version.id, after=page.after or "")
    assert ([e.path for e in rest.files], rest.after) == (["b/c/3", "d/e/f", "z"], None)
    assert [e.path for e in list_files(project, version.id, prefix="b/").files] == ["b/1", "b/2", "b/c/3"]
    top = list_folder(project, version.id)
    assert (top.folders, [e.path for e in top.files], top.after) == (("b", "d"), ["a.txt", "b.txt", "z"], None)
    inside = list_folder(project, version.id, "b")
    assert (inside.folders, [e.path for e in inside.files]) == (("b/c",), ["b/1", "b/2"])
    part = list_folder(project, version.id, limit=3)
    assert (part.folders, [e.path for e in part.files]) == (("b",), ["a.txt", "b.txt"])
    more = list_folder(project, version.id, after=part.after or "")
    assert (more.folders, [e.path for e in more.files], more.after) == (("d",), ["z"], None)


def test_datasets_are_listed_and_described(project: Project) -> None:
    first = commit(project, "b", put=[entry(project, "a", "1")])
    commit(project, "b", put=[entry(project, "a", "2")], base=first.id)
    set_branch(project, "b", "main", first.id, expected=None)
    commit(project, "a", put=[entry(project, "a", "1")])

    assert [(d.name, d.versions) for d in list_datasets(project)] == [("a", 1), ("b", 2)]
    assert [d.name for d in list_datasets(project, after="a")] == ["b"]
    found = describe_dataset(project, "b")
    assert found.latest is not None
    assert found.head is not None
    assert (found.latest.number, found.head.number, found.created_by) == (2, 1, "ann")
    assert set_description(project, "b", "what it is").description == "what it is"

"""Working folders: checked out, changed, added again; what is theirs is never lost unasked."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headwater.check import publish_files
from headwater.errors import ConflictError, InvalidInputError, NotFoundError, StorageError
from headwater.lake import add_files, iter_files, log, read_bytes, set_branch
from headwater.lake import working_checkout as checking_out
from headwater.lake.working import folder_status, state_folder, waiting
from headwater.lake.working_checkout import checkout
from headwater.objects.cached import STAMP_NS
from headwater.project import LocalProject, Project, create_project
from headwater.working.records import index_path, only_one
from headwater.working.statindex import StatIndex

ONE = {"a": b"a", "cats/tom": b"tom", "cats/kit": b"kit", "dogs/rex": b"rex"}
TWO = {"a": b"a", "cats/tom": b"tom, older", "fox": b"fox", "dogs": b"no folder any more"}
MODES = ("link", "reflink", "copy")


def write(folder: Path, files: dict[str, bytes]) -> None:
    for path, data in files.items():
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.unlink(missing_ok=True)
        place.write_bytes(data)


def held(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def versions(project: Project, tmp_path: Path) -> None:
    """Make d@v1 with the files ONE and d@v2 with TWO, on main."""
    for name, files in (("one", ONE), ("two", TWO)):
        write(tmp_path / name, files)
        before = log(project, "d")[0].id if name == "two" else None
        made = add_files(project, "d", tmp_path / name, mirror=True, base=before)
        set_branch(project, "d", "main", made.id, expected=before)


@pytest.mark.parametrize("mode", MODES)
def test_a_folder_goes_from_version_to_version_and_back_in_each_mode(
    sqlite_project: LocalProject, tmp_path: Path, mode: str
) -> None:
    versions(sqlite_project, tmp_path)
    out = tmp_path / "out"

    fresh = checkout(sqlite_project, "d@v1", out, mode=mode)
    assert (held(out), fresh.written, fresh.mode) == (ONE, 4, mode)
    assert folder_status(sqlite_project, out).clean
    moved = checkout(sqlite_project, "d@v2", out)

    assert held(out) == TWO
    assert (moved.written, moved.removed, moved.mode) == (3, 2, mode)
    assert folder_status(sqlite_project, out).clean
    checkout(sqlite_project, "d@v1", out)
    assert held(out) == ONE
    assert folder_status(sqlite_project, out, full=True).clean
    assert [name for name in os.listdir(out) if name.startswith(".")] == []


def test_a_folder_goes_from_version_to_version_wherever_the_project_is(project: Project, tmp_path: Path) -> None:
    versions(project, tmp_path)
    out = tmp_path / "out"

    for ref, files in (("d@v1", ONE), ("d@v2", TWO), ("d@v1", ONE)):
        checkout(project, ref, out)

        assert held(out) == files
        assert folder_status(project, out).clean


EDITS = st.dictionaries(
    st.sampled_from(["a", "cats/tom", "cats/kit", "dogs/rex", "fox", "own", "cats/own"]),
    st.one_of(st.none(), st.sampled_from([b"mine", b"a", b"tom", b"tom, older", b"fox"])),
    max_size=5,
)


@pytest.fixture(scope="module")
def two_versions(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalProject]:
    """One project for many examples."""
    place = tmp_path_factory.mktemp("edits")
    with create_project(place / "p") as project:
        versions(project, place)
        yield project


@settings(max_examples=25, deadline=None)
@given(edits=EDITS)
def test_whatever_was_edited_the_status_is_true_and_nothing_is_lost_unasked(
    tmp_path_factory: pytest.TempPathFactory, two_versions: LocalProject, edits: dict[str, bytes | None]
) -> None:
    project, out = two_versions, tmp_path_factory.mktemp("edited") / "out"
    checkout(project, "d@v1", out)
    for path, data in edits.items():
        (out / path).unlink(missing_ok=True)
        if data is not None:
            write(out, {path: data})
    mine = held(out)

    status = folder_status(project, out)
    assert set(status.added) == mine.keys() - ONE.keys()
    assert set(status.changed) == {path for path in mine.keys() & ONE.keys() if mine[path] != ONE[path]}
    assert set(status.removed) == ONE.keys() - mine.keys()
    lost = {path for path in mine if mine[path] not in (ONE.get(path), TWO.get(path))}
    lost &= {path for path in {*ONE, *TWO} if ONE.get(path) != TWO.get(path)}
    try:
        checkout(project, "d@v2", out)
    except ConflictError as error:
        assert set(error.values["paths"]) == lost  # noqa: PT017  # not raised is right too
        assert held(out) == mine
    else:
        assert not lost
        kept = {path: data for path, data in mine.items() if ONE.get(path) == TWO.get(path) and data != ONE.get(path)}
        assert held(out) == {**TWO, **kept}
        assert folder_status(project, out, full=True) == folder_status(project, out)


def test_links_are_read_only_and_never_to_the_stores_own_bytes(sqlite_project: LocalProject, tmp_path: Path) -> None:
    versions(sqlite_project, tmp_path)
    checkout(sqlite_project, "d@v1", tmp_path / "linked")
    checkout(sqlite_project, "d@v1", tmp_path / "copied", mode="copy")

    linked, copied = os.stat(tmp_path / "linked" / "a"), os.stat(tmp_path / "copied" / "a")
    store = {p.stat().st_ino for p in (sqlite_project.state / "objects").rglob("*") if p.is_file()}
    assert (linked.st_mode & 0o222, linked.st_mtime_ns) == (0, STAMP_NS)
    assert copied.st_mode & 0o200
    assert copied.st_nlink == 1
    assert not {linked.st_ino, copied.st_ino} & store


def test_one_folder_of_a_version_is_checked_out_and_added_under_it(project: Project, tmp_path: Path) -> None:
    versions(project, tmp_path)
    out = tmp_path / "cats"
    checkout(project, "d@v1", out, under="cats", mode="copy")
    assert held(out) == {"tom": b"tom", "kit": b"kit"}
    write(out, {"kit": b"kit, grown"})

    status = folder_status(project, out)
    head = add_files(project, "d", out, under="cats", base=log(project, "d")[1].id, remember=True)

    assert (status.changed, status.added, status.removed) == (("kit",), (), ())
    assert {e.path for e in iter_files(project, head.id)} == set(ONE)
    assert folder_status(project, out).clean


def test_the_status_tells_what_was_added_changed_and_removed(project: Project, tmp_path: Path) -> None:
    versions(project, tmp_path)
    out = tmp_path / "out"
    checkout(project, "d@v1", out)
    write(out, {"new": b"new", "a": b"changed"})
    (out / "cats" / "kit").unlink()
    os.mkfifo(out / "pipe")

    for full in (False, True):
        status = folder_status(project, out, full=full)

        assert (status.added, status.changed, status.removed) == (("new",), ("a",), ("cats/kit",))
        assert list(status.unusable) == ["pipe"]
        assert (status.ref, status.files) == ("d@v1", 4)


def test_the_index_is_never_needed(sqlite_project: LocalProject, tmp_path: Path) -> None:
    versions(sqlite_project, tmp_path)
    out = tmp_path / "out"
    checkout(sqlite_project, "d@v1", out)
    write(out, {"a": b"changed"})
    path = index_path(state_folder(sqlite_project), os.path.realpath(out))
    for damage in (b"", b"nonsense", None):
        if damage is None:
            path.unlink()
        else:
            path.write_bytes(damage)

        assert folder_status(sqlite_project, out).changed == ("a",)


def test_an_added_folder_is_read_again_only_where_it_changed(
    sqlite_project: LocalProject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "data"
    write(folder, {**ONE, "more/x": b"x"})
    first = add_files(sqlite_project, "d", folder, remember=True)
    _settle(sqlite_project, folder)
    opened: list[str] = []
    real = os.open

    def noting(path: str, *rest: int, **more: int) -> int:
        if str(path).startswith(str(folder)) and not rest[0] & os.O_DIRECTORY:
            opened.append(str(path))
        return real(path, *rest, **more)

    monkeypatch.setattr(os, "open", noting)
    again = add_files(sqlite_project, "d", folder, base=first.id, remember=True)
    assert (again.id, again.changed, opened) == (first.id, False, [])
    write(folder, {"a": b"another"})

    second = add_files(sqlite_project, "d", folder, base=first.id, remember=True)

    assert opened == [str(folder / "a")]
    assert second.parents == (first.id,)
    assert folder_status(sqlite_project, folder).clean


def _settle(project: Project, folder: Path) -> None:
    """Wait until no file is as young as the index, then have the index written anew."""
    time.sleep(0.05)
    path = index_path(state_folder(project), os.path.realpath(folder))
    from headwater.working.comparing import compare

    compare(os.path.realpath(folder), StatIndex.read(path)).refreshed().write(path)


def test_adding_a_folder_undoes_nothing_that_others_published_since(project: Project, tmp_path: Path) -> None:
    mine, other = tmp_path / "mine", tmp_path / "other"
    write(mine, {"a": b"1", "b": b"1", "c": b"1"})
    first = publish_files(project, "d", mine, remember=True)
    write(other, {"a": b"2"})
    publish_files(project, "d", other / "a")

    write(mine, {"b": b"3"})
    again = publish_files(project, "d", mine, remember=True)
    assert first.version.changed and again.version.changed and again.message.startswith("branch 'main'")
    assert {e.path: read_bytes(project, "d@main", e.path) for e in iter_files(project, "d@main")} == {
        "a": b"2",
        "b": b"3",
        "c": b"1",
    }

    write(mine, {"a": b"4"})
    with pytest.raises(ConflictError, match="both changed 'a'"):
        publish_files(project, "d", mine, remember=True)
    assert read_bytes(project, "d@main", "a") == b"2"


def test_what_was_removed_from_the_folder_alone_stays_told(sqlite_project: LocalProject, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    write(folder, ONE)
    first = add_files(sqlite_project, "d", folder, remember=True)
    (folder / "a").unlink()

    kept = add_files(sqlite_project, "d", folder, base=first.id, remember=True)
    told = folder_status(sqlite_project, folder).removed
    mirrored = add_files(sqlite_project, "d", folder, base=first.id, mirror=True, remember=True)

    assert (kept.changed, told) == (False, ("a",))
    assert {e.path for e in iter_files(sqlite_project, mirrored.id)} == set(ONE) - {"a"}
    assert folder_status(sqlite_project, folder).clean


# Local changes


def test_local_changes_that_would_be_overwritten_are_named_and_nothing_is_done(
    project: Project, tmp_path: Path
) -> None:
    versions(project, tmp_path)
    out = tmp_path / "out"
    checkout(project, "d@v1", out)
    mine = {"cats/tom": b"my tom", "cats/kit": b"my kit", "fox": b"my fox"}
    write(out, mine)

    with pytest.raises(ConflictError, match=r"overwritten: 'cats/kit', 'cats/tom', 'fox'"):
        checkout(project, "d@v2", out)
    assert held(out) == {**ONE, **mine}
    checkout(project, "d@v2", out, force=True)

    assert held(out) == TWO
    assert folder_status(project, out).clean


def test_local_changes_that_no_version_touches_are_kept(sqlite_project: LocalProject, tmp_path: Path) -> None:
    versions(sqlite_project, tmp_path)
    out = tmp_path / "out"
    checkout(sqlite_project, "d@v1", out)
    write(out, {"a": b"mine", "own": b"own"})

    done = checkout(sqlite_project, "d@v2", out)

    assert done.kept == ("a", "own")
    assert held(out) == {**TWO, "a": b"mine", "own": b"own"}
    status = folder_status(sqlite_project, out)
    assert (status.ref, status.changed, status.added) == ("d@v2", ("a",), ("own",))
    assert folder_status(sqlite_project, out, full=True) == status


def test_what_is_missing_is_written_and_what_is_right_already_is_left(
    sqlite_project: LocalProject, tmp_path: Path
) -> None:
    versions(sqlite_project, tmp_path)
    out = tmp_path / "out"
    checkout(sqlite_project, "d@v1", out)
    (out / "a").unlink()
    write(out, {"cats/tom": TWO["cats/tom"]})
    mine = os.stat(out / "cats" / "tom").st_ino

    done = checkout(sqlite_project, "d@v2", out)

    assert held(out) == TWO
    assert os.stat(out / "cats" / "tom").st_ino == mine
    assert done.written == 3  # a, fox, dogs


def test_a_folder_that_holds_other_things_is_refused_but_for_force(
    sqlite_project: LocalProject, tmp_path: Path
) -> None:
    versions(sqlite_project, tmp_path)
    out = tmp_path / "out"
    write(out, {"mine": b"mine", "a": b"my a"})

    with pytest.raises(ConflictError, match="not an empty folder"):
        checkout(sqlite_project, "d@v1", out)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ConflictError, match="is not a folder"):
        checkout(sqlite_project, "d@v1", tmp_path / "file")
    checkout(sqlite_project, "d@v1", out, force=True)

    assert held(out) == {**ONE, "mine": b"mine"}
    assert folder_status(sqlite_project, out).added == ("mine",)


def test_nothing_is_written_through_a_link_or_over_a_folder(sqlite_project: LocalProject, tmp_path: Path) -> None:
    versions(sqlite_project, tmp_path)
    out, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    checkout(sqlite_project, "d@v2", out)
    (out / "dogs").unlink()
    elsewhere.mkdir()
    (out / "dogs").symlink_to(elsewhere)
    for force in (False, True):
        with pytest.raises(ConflictError, match=r"'dogs'.* stands in the way"):
            checkout(sqlite_project, "d@v1", out, force=force)
    assert list(elsewhere.iterdir()) == []
    (out / "dogs").unlink()
    checkout(sqlite_project, "d@v1", out)
    write(out, {"dogs/mine": b"mine"})

    with pytest.raises(ConflictError, match=r"'dogs'.* stands in the way"):
        checkout(sqlite_project, "d@v2", out)

    assert held(out) == {**ONE, "dogs/mine": b"mine"}


def test_a_file_changed_while_the_checkout_was_under_way_is_not_overwritten(
    sqlite_project: LocalProject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions(sqlite_project, tmp_path)
    out = tmp_path / "out"
    checkout(sqlite_project, "d@v1", out)

    def point(name: str) -> None:
        if name == "working.begun":
            write(out, {"cats/tom": b"written at the last moment"})

    monkeypatch.setattr(checking_out, "crash_point", point)
    with pytest.raises(ConflictError, match=r"cats/tom' was changed while the checkout was under way"):
        checkout(sqlite_project, "d@v2", out)

    assert held(out)["cats/tom"] == b"written at the last moment"
    assert folder_status(sqlite_project, out).unfinished == "d@v2"


def test_two_checkouts_into_one_folder_do_not_mix(sqlite_project: LocalProject, tmp_path: Path) -> None:
    versions(sqlite_project, tmp_path)
    out = tmp_path / "out"
    with (
        only_one(state_folder(sqlite_project), os.path.realpath(out)),
        pytest.raises(ConflictError, match="another checkout into"),
    ):
        checkout(sqlite_project, "d@v1", out)

    assert not out.exists()


def test_the_projects_own_folder_and_unknown_folders_and_modes_are_refused(
    sqlite_project: LocalProject, tmp_path: Path
) -> None:
    versions(sqlite_project, tmp_path)
    for own in (sqlite_project.folder, sqlite_project.state / "x"):
        with pytest.raises(InvalidInputError, match="the project's own folder"):
            checkout(sqlite_project, "d@v1", own)
    with pytest.raises(InvalidInputError, match="no way to place files"):
        checkout(sqlite_project, "d@v1", tmp_path / "x", mode="symlink")
    with pytest.raises(NotFoundError, match=r"is not known here\. Run 'hw data checkout"):
        folder_status(sqlite_project, tmp_path)
    with pytest.raises(NotFoundError, match="is not there"):
        folder_status(sqlite_project, tmp_path / "nowhere")


# Disks


def test_paths_that_differ_by_case_alone_are_refused_where_the_disk_does_not_tell_them_apart(
    sqlite_project: LocalProject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "both", {"Readme": b"1", "readme": b"2", "A/x": b"3", "a/y": b"4"})
    add_files(sqlite_project, "d", tmp_path / "both")
    checkout(sqlite_project, "d@v1", tmp_path / "here")
    assert len(held(tmp_path / "here")) == 4
    monkeypatch.setattr("headwater.lake.placing.ignores_case", lambda folder: True)

    with pytest.raises(ConflictError, match=r"'A' and 'a', 'Readme' and 'readme' differ by case alone"):
        checkout(sqlite_project, "d@v1", tmp_path / "there")

    assert not (tmp_path / "there").exists()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", folder], capture_output=True, check=False)
    if made.returncode:
        pytest.skip("mounting a file system needs root")
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.mark.parametrize("mode", MODES)
def test_on_a_full_disk_the_folder_is_as_it_was(
    sqlite_project: LocalProject, tmp_path: Path, small_disk: Path, mode: str
) -> None:
    files = {"small": b"small", "large": b"x" * 2**19}
    write(tmp_path / "one", files)
    first = add_files(sqlite_project, "d", tmp_path / "one")
    write(tmp_path / "one", {"large": os.urandom(3 * 2**20), "small": b"other"})
    add_files(sqlite_project, "d", tmp_path / "one", base=first.id)

    with pytest.raises(StorageError, match="the disk is full"):
        checkout(sqlite_project, "d@v2", small_disk / "out", mode=mode)
    assert list(small_disk.iterdir()) == []
    checkout(sqlite_project, "d@v1", small_disk / "out", mode=mode)
    with pytest.raises(StorageError, match="the disk is full"):
        checkout(sqlite_project, "d@v2", small_disk / "out")

    assert held(small_disk / "out") == files
    assert folder_status(sqlite_project, small_disk / "out").clean
    # On another file system a link is a read-only copy.
    assert bool(os.stat(small_disk / "out" / "small").st_mode & 0o222) == (mode != "link")


def test_a_disk_that_may_not_be_written_is_told(sqlite_project: LocalProject, tmp_path: Path, small_disk: Path) -> None:
    versions(sqlite_project, tmp_path)
    checkout(sqlite_project, "d@v1", small_disk / "out")
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    try:
        for target in (small_disk / "out", small_disk / "other"):
            with pytest.raises(StorageError, match="this user may not write there"):
                checkout(sqlite_project, "d@v2", target)
        assert held(small_disk / "out") == ONE
        assert folder_status(sqlite_project, small_disk / "out").clean
    finally:
        subprocess.run(["mount", "-o", "remount,rw", small_disk], check=True)


# Files that do not hold still


def changing(path: Path, stop: threading.Event) -> Callable[[], None]:
    def write_on() -> None:
        with path.open("r+b", buffering=0) as file:
            while not stop.is_set():
                file.seek(0)
                file.write(os.urandom(64))

    return write_on


def test_a_file_that_changes_while_it_is_read_is_named_and_nothing_is_added(
    sqlite_project: LocalProject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "data", {"still": b"still", "busy": b"busy"})
    real = os.fstat

    def busy(descriptor: int) -> os.stat_result:
        if os.readlink(f"/proc/self/fd/{descriptor}").endswith("/busy"):
            (tmp_path / "data" / "busy").write_bytes(os.urandom(8))  # somebody writes just as it was read
        return real(descriptor)

    monkeypatch.setattr(os, "fstat", busy)
    for remember in (False, True):
        with pytest.raises(InvalidInputError, match=r"busy' changed while being read, 3 times in a row") as told:
            add_files(sqlite_project, "d", tmp_path / "data", remember=remember)
        assert "still" not in told.value.message
    with sqlite_project.ledger.read() as tx:
        assert tx.value("SELECT count(*) FROM versions") == 0


def test_a_large_file_that_is_written_to_is_named(sqlite_project: LocalProject, tmp_path: Path) -> None:
    write(tmp_path / "data", {"busy": bytes(24 * 2**20)})
    stop = threading.Event()
    writer = threading.Thread(target=changing(tmp_path / "data" / "busy", stop))
    writer.start()
    try:
        with pytest.raises(InvalidInputError, match="busy' changed while being read"):
            add_files(sqlite_project, "d", tmp_path / "data", remember=True)
    finally:
        stop.set()
        writer.join()


def test_a_file_that_changed_once_is_added_as_it_is_now(
    sqlite_project: LocalProject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "data", {"a": b"before"})
    real = os.fstat
    times: list[int] = []

    def once(descriptor: int) -> os.stat_result:
        if os.readlink(f"/proc/self/fd/{descriptor}").endswith("/data/a") and not times:
            times.append(1)
            (tmp_path / "data" / "a").write_bytes(b"after all")
        return real(descriptor)

    monkeypatch.setattr(os, "fstat", once)
    version = add_files(sqlite_project, "d", tmp_path / "data", remember=True)
    monkeypatch.undo()

    assert [entry.size for entry in iter_files(sqlite_project, version.id)] == [9]
    assert folder_status(sqlite_project, tmp_path / "data").clean


def test_a_file_that_vanishes_is_named(
    sqlite_project: LocalProject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "data", ONE)
    real = os.open

    def vanishing(path: str, *rest: int, **more: int) -> int:
        if str(path).endswith("/cats/tom"):
            (tmp_path / "data" / "cats" / "tom").unlink(missing_ok=True)
        return real(path, *rest, **more)

    monkeypatch.setattr(os, "open", vanishing)

    with pytest.raises(InvalidInputError, match=r"cats/tom' went away while it was being added"):
        add_files(sqlite_project, "d", tmp_path / "data", remember=True)


def test_a_time_of_the_future_is_not_believed(sqlite_project: LocalProject, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    write(folder, {"a": b"one"})
    ahead = time.time_ns() + 3600 * 10**9
    os.utime(folder / "a", ns=(ahead, ahead))
    add_files(sqlite_project, "d", folder, remember=True)
    time.sleep(0.05)
    at = os.stat(folder / "a")
    (folder / "a").write_bytes(b"two")
    os.utime(folder / "a", ns=(at.st_atime_ns, at.st_mtime_ns))

    assert folder_status(sqlite_project, folder).changed == ("a",)


def test_two_adds_at_once_both_become_versions(sqlite_project: LocalProject, tmp_path: Path) -> None:
    write(tmp_path / "data", {f"{number}": b"%d" % number for number in range(200)})
    answers: list[str] = []

    def add() -> None:
        answers.append(add_files(sqlite_project, "d", tmp_path / "data", remember=True).root)

    threads = [threading.Thread(target=add) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(answers) == 2
    assert answers[0] == answers[1]
    assert folder_status(sqlite_project, tmp_path / "data").clean


def test_what_waits_are_the_versions_that_main_has_not(project: Project, tmp_path: Path) -> None:
    versions(project, tmp_path)
    assert waiting(project) == []
    write(tmp_path / "one", {"a": b"third"})

    add_files(project, "d", tmp_path / "one")

    [found] = waiting(project)
    assert (found.dataset, found.head, found.count, found.versions) == ("d", "d@v2", 1, ("d@v3",))

"""Looking at a folder: everything that differs from the index, and nothing else."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from headwater.working import walking
from headwater.working.comparing import compare
from headwater.working.statindex import StatIndex
from headwater.working.walking import Walk, walk


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twelve files in four folders, long settled."""
    root = tmp_path / "data"
    for number in range(12):
        path = root / ("", "a", "b/c", "b/d")[number % 4] / f"f{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"%d" % number)
    return root


def index_of(folder: Path, started_ns: int = 2**63) -> StatIndex:
    """Return the index of the folder against a version that has the very same files."""
    found = walk(str(folder), StatIndex())
    digest = {path: compare_digest(folder / path) for path in found.new}
    files = {path: (at, digest[path]) for path, at in found.new.items()}
    return StatIndex.of(files, base="v", prefix="", stamp_ns=0, started_ns=started_ns)


def compare_digest(path: Path) -> bytes:
    from blake3 import blake3

    return blake3(path.read_bytes()).digest()


@pytest.fixture(params=["one process", "two processes"])
def processes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The look by this process alone, and shared with a second one."""
    if request.param == "two processes":
        monkeypatch.setattr(walking, "FORK_FILES", 1)
        monkeypatch.setattr(walking, "_may_fork", lambda: True)


@pytest.mark.usefixtures("processes")
def test_every_kind_of_change_is_found_and_nothing_else(folder: Path) -> None:
    index = index_of(folder)
    before = walk(str(folder), index)
    assert before == Walk(before.started_ns, same=12)
    (folder / "f0").write_bytes(b"other")
    (folder / "b" / "c" / "f2").unlink()
    (folder / "b" / "e").mkdir()
    (folder / "b" / "e" / "new").write_bytes(b"new")
    (folder / "a" / "f1").rename(folder / "a" / "moved")

    found = walk(str(folder), index)

    assert sorted(found.changed) == ["f0"]
    assert sorted(found.new) == ["a/moved", "b/e/new"]
    assert sorted(found.gone) == ["a/f1", "b/c/f2"]
    assert found.same == 9


@pytest.mark.usefixtures("processes")
def test_a_folder_that_became_a_link_or_a_file_is_gone(folder: Path, tmp_path: Path) -> None:
    index = index_of(folder)
    (folder / "b").rename(tmp_path / "elsewhere")
    (folder / "b").symlink_to(tmp_path / "elsewhere")
    (folder / "a").rename(tmp_path / "a")
    (folder / "a").write_bytes(b"a file now")

    found = compare(str(folder), index)

    assert found.removed == sorted(p for p in index.digests() if "/" in p)
    assert found.added == ["a"]
    assert "leads out of its folder" in found.odd["b"]


@pytest.mark.usefixtures("processes")
def test_a_second_process_that_dies_is_not_missed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index = index_of(folder)
    (folder / "b" / "d" / "f3").write_bytes(b"other")
    parent = os.getpid()
    whole = walking._Look.over

    def dying(self: walking._Look, folders: list[str]) -> Walk:
        if os.getpid() != parent:
            os._exit(9)
        return whole(self, folders)

    monkeypatch.setattr(walking._Look, "over", dying)

    assert list(walk(str(folder), index).changed) == ["b/d/f3"]


def test_what_cannot_be_a_file_of_a_version_is_told(folder: Path) -> None:
    (folder / "loop").symlink_to("loop")
    (folder / "broken").symlink_to("nowhere")
    (folder / "out").symlink_to("/etc/hostname")
    (folder / "dir").symlink_to("a")
    (folder / "inside").symlink_to("a/f1")
    os.mkfifo(folder / "pipe")
    (folder / "two\nlines").write_bytes(b"")
    open(os.fsencode(folder) + b"/\xff", "wb").close()
    deep = folder
    for _ in range(18):
        deep = deep / ("x" * 60)
    deep.mkdir(parents=True)
    (deep / "far").write_bytes(b"")
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(folder / "socket"))
        odd = walk(str(folder), StatIndex()).odd

    assert "leads to itself" in odd.pop("loop")
    assert "its target is missing" in odd.pop("broken")
    assert "leads out of its folder, to '/etc/hostname'" in odd.pop("out")
    assert "a link to a folder" in odd.pop("dir")
    assert "pipe or socket" in odd.pop("pipe")
    assert "pipe or socket" in odd.pop("socket")
    assert "line break" in odd.pop("two\nlines")
    assert "not UTF-8" in odd.pop("\\udcff")
    assert "longer than 1,024 bytes" in odd.pop(f"{'/'.join(['x' * 60] * 18)}/far")
    assert odd == {}


def test_a_change_that_keeps_size_and_time_is_found_by_the_inode(folder: Path) -> None:
    index = index_of(folder)
    at = os.stat(folder / "f0")
    (folder / "f0").write_bytes(b"X")
    os.utime(folder / "f0", ns=(at.st_atime_ns, at.st_mtime_ns))

    assert compare(str(folder), index).changed == ["f0"]


def test_a_file_changed_as_the_index_was_taken_is_read_again(folder: Path) -> None:
    # The index was taken at the very time that its newest file carries: the rule of git's racily clean entries.
    newest = max(os.stat(folder / path).st_ctime_ns for path in walk(str(folder), StatIndex()).new)
    index = index_of(folder, started_ns=newest)

    found = compare(str(folder), index)

    assert found.clean
    assert found.read  # and found to be the same


def test_a_touched_file_of_the_same_bytes_has_not_changed(folder: Path) -> None:
    index = index_of(folder)
    os.utime(folder / "f0")

    found = compare(str(folder), index)

    assert found.clean
    assert list(found.read) == ["f0"]

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from headwater.check import publish_files
from headwater.errors import InvalidInputError, NotFoundError
from headwater.lake import add_files, diff, iter_files, materialise, read_bytes, resolve, set_branch
from headwater.lake import open_file as open_in
from headwater.project import LocalProject, Project


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of a few files, one of them below another folder, with things beside that are not data."""
    folder = tmp_path / "photos"
    (folder / "cats").mkdir(parents=True)
    (folder / "cats" / "one.png").write_bytes(b"cat one")
    (folder / "dog.png").write_bytes(b"dog")
    (folder / ".git").mkdir()
    (folder / ".git" / "HEAD").write_bytes(b"not data")
    return folder


def paths_of(project: Project, ref: str) -> list[str]:
    return [entry.path for entry in iter_files(project, ref)]


def test_a_folder_is_added_as_it_lies_there(project: Project, photos: Path) -> None:
    seen: list[tuple[int, int, int]] = []

    version = add_files(project, "photos", photos, progress=lambda *step: seen.append(step))

    assert paths_of(project, version.id) == ["cats/one.png", "dog.png"]
    assert version.source == str(photos)
    assert seen == [(1, 2, 7), (2, 2, 10)]
    assert read_bytes(project, version.id, "cats/one.png") == b"cat one"
    assert read_bytes(project, version.id, "cats/one.png", 4, 6) == b"on"
    with open_in(project, version.id, "cats/one.png") as file:
        file.seek(4)
        assert file.read() == b"one"
    with pytest.raises(NotFoundError, match=r"photos@v1 has no file 'cat'"):
        read_bytes(project, version.id, "cat")


def test_of_a_large_file_the_bytes_are_told_while_it_is_read(sqlite_project: LocalProject, tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(bytes(range(256)) * 4096 * 20)
    seen: list[tuple[int, int, int]] = []

    version = add_files(sqlite_project, "d", tmp_path / "large", progress=lambda *step: seen.append(step))

    sizes = [size for _, _, size in seen]
    assert len(seen) > 3
    assert sizes == sorted(sizes)
    assert seen[-1] == (1, 1, version.bytes)
    assert seen[0][:2] == (0, 1)
    assert read_bytes(sqlite_project, version.id, "large", 0, 4) == b"\0\1\2\3"


def test_files_patterns_and_a_folder_to_put_them_under(sqlite_project: LocalProject, photos: Path) -> None:
    single = add_files(sqlite_project, "a", photos / "dog.png", under="animals")
    matched = add_files(sqlite_project, "b", f"{photos}/**/*.png")
    both = add_files(sqlite_project, "c", [photos / "dog.png", photos / "cats"], source="a friend")

    assert paths_of(sqlite_project, single.id) == ["animals/dog.png"]
    assert paths_of(sqlite_project, matched.id) == ["cats/one.png", "dog.png"]
    assert (paths_of(sqlite_project, both.id), both.source) == (["dog.png", "one.png"], "a friend")


def test_adding_builds_on_the_branch_and_mirror_removes_what_is_gone(project: Project, photos: Path) -> None:
    first = add_files(project, "photos", photos)
    set_branch(project, "photos", "main", first.id, expected=None)
    (photos / "dog.png").unlink()
    (photos / "fox.png").write_bytes(b"fox")

    kept = add_files(project, "photos", photos)
    mirrored = add_files(project, "photos", photos, mirror=True)

    assert paths_of(project, kept.id) == ["cats/one.png", "dog.png", "fox.png"]
    assert paths_of(project, mirrored.id) == ["cats/one.png", "fox.png"]
    assert kept.parents == mirrored.parents == (first.id,)
    again = add_files(project, "photos", photos, base=mirrored.id)
    assert (again.id, again.changed) == (mirrored.id, False)
    assert diff(project, mirrored.id, again.id).empty


def test_what_cannot_be_added_is_said_and_nothing_is_committed(
    sqlite_project: LocalProject, photos: Path, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "secret").write_bytes(b"outside")
    (photos / "link").symlink_to(tmp_path / "secret")

    with pytest.raises(NotFoundError, match=r"no file or folder '.*nothing'"):
        add_files(sqlite_project, "d", tmp_path / "nothing")
    with pytest.raises(NotFoundError, match="holds no file"):
        add_files(sqlite_project, "d", tmp_path / "empty")
    with pytest.raises(NotFoundError, match="no file matches"):
        add_files(sqlite_project, "d", f"{photos}/*.jpeg")
    with pytest.raises(InvalidInputError, match=r"is a link that leads out of its folder, to '.*secret'"):
        add_files(sqlite_project, "d", photos)
    with pytest.raises(InvalidInputError, match="leads out of its folder"):
        add_files(sqlite_project, "d", f"{photos}/l*")
    (tmp_path / "one.png").write_bytes(b"another")
    with pytest.raises(InvalidInputError, match=r"would both be 'one\.png'"):
        add_files(sqlite_project, "d", [tmp_path / "one.png", photos / "cats"])
    with sqlite_project.ledger.read() as tx:
        assert tx.value("SELECT count(*) FROM versions") == 0


def test_links_within_the_folder_are_followed_and_broken_or_folder_links_are_refused(
    sqlite_project: LocalProject, photos: Path
) -> None:
    (photos / "again.png").symlink_to("dog.png")
    version = add_files(sqlite_project, "d", photos)
    assert read_bytes(sqlite_project, version.id, "again.png") == b"dog"

    (photos / "more").symlink_to("cats")
    with pytest.raises(InvalidInputError, match="a link to a folder: add that folder itself"):
        add_files(sqlite_project, "d", photos)
    (photos / "more").unlink()
    (photos / "broken").symlink_to("nowhere")
    with pytest.raises(InvalidInputError, match="its target is missing"):
        add_files(sqlite_project, "d", photos)


def test_a_socket_among_the_files_is_refused(sqlite_project: LocalProject, photos: Path) -> None:
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(photos / "s"))

        with pytest.raises(InvalidInputError, match=r"a device, pipe or socket"):
            add_files(sqlite_project, "d", photos)


def test_a_file_that_may_not_be_read_is_named(
    sqlite_project: LocalProject, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Tests may run as root, whom no permission stops: what the system would answer is put in its place.
    (photos / "cow.png").write_bytes(b"cow")
    (photos / "ant.png").write_bytes(b"ant")
    closed = ("dog.png", "cow.png")
    real = os.open

    def refusing(path: str, *rest: int, **more: int) -> int:
        if str(path).endswith(closed):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, *rest, **more)

    monkeypatch.setattr(os, "open", refusing)
    monkeypatch.setattr(os, "access", lambda path, mode: not str(path).endswith(closed))
    for remember in (False, True):
        with pytest.raises(InvalidInputError, match=r"may not read '.*cow.png', '.*dog.png'\. Change"):
            add_files(sqlite_project, "d", photos, remember=remember)
    with sqlite_project.ledger.read() as tx:
        assert tx.value("SELECT count(*) FROM versions") == 0


def test_a_version_becomes_a_folder_of_read_only_files(project: Project, photos: Path, tmp_path: Path) -> None:
    version = add_files(project, "photos", photos)

    count = materialise(project, version.id, tmp_path / "out")

    assert count == 2
    assert (tmp_path / "out" / "cats" / "one.png").read_bytes() == b"cat one"
    assert not (tmp_path / "out" / "dog.png").stat().st_mode & 0o222
    assert sorted(p.name for p in tmp_path.iterdir() if "partial" in p.name) == []


def test_a_folder_that_holds_something_is_not_written_into(
    sqlite_project: LocalProject, photos: Path, tmp_path: Path
) -> None:
    version = add_files(sqlite_project, "photos", photos)
    (tmp_path / "out").mkdir()
    materialise(sqlite_project, version.id, tmp_path / "out", prefix="cats/")
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["cats"]

    with pytest.raises(Exception, match="not an empty folder"):
        materialise(sqlite_project, version.id, tmp_path / "out")


def test_a_path_that_is_file_and_folder_cannot_become_a_folder(
    sqlite_project: LocalProject, photos: Path, tmp_path: Path
) -> None:
    add_files(sqlite_project, "d", photos / "dog.png", under="a")
    (photos / "a").write_bytes(b"x")
    both = add_files(
        sqlite_project, "d", photos / "a", base=add_files(sqlite_project, "d", photos / "dog.png", under="a").id
    )

    with pytest.raises(InvalidInputError, match="is a file there and also a folder"):
        materialise(sqlite_project, both.id, tmp_path / "out")

    assert not (tmp_path / "out").exists()


def test_a_branch_that_is_new_starts_from_main(sqlite_project: LocalProject, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).write_text(name)
    publish_files(sqlite_project, "d", tmp_path / "one")
    made = publish_files(sqlite_project, "d", tmp_path / "two", branch="trial")

    assert [entry.path for entry in iter_files(sqlite_project, "d@trial")] == ["one", "two"]
    assert [entry.path for entry in iter_files(sqlite_project, "d@main")] == ["one"]
    assert made.version.parents == (resolve(sqlite_project, "d@main").id,)

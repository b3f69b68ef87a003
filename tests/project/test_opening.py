"""Projects are the same thing however they are opened."""

from __future__ import annotations

from pathlib import Path

import pytest

from headwater.errors import ConflictError, DeniedError, InvalidInputError, NotFoundError, UnavailableError
from headwater.lake import add_files, list_datasets, log, read_bytes
from headwater.project import Actor, LocalProject, Project, create_project, open_project


def test_files_added_come_back_byte_for_byte(project: Project, tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_bytes(b"\x00first\nsecond\xff")

    version = add_files(project, "notes", tmp_path / "note.txt", message="one note")

    assert read_bytes(project, version.id, "note.txt") == b"\x00first\nsecond\xff"
    assert read_bytes(project, version.id, "note.txt", 1, 6) == b"first"
    assert [each.author for each in log(project, "notes")] == ["ann"]


def test_an_error_of_the_server_comes_back_as_the_class_that_was_raised(project: Project) -> None:
    with pytest.raises(NotFoundError, match="nothing"):
        log(project, "nothing")


def test_another_actor_sees_the_same_project(project: Project, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a")

    add_files(project.as_actor("ben"), "notes", tmp_path / "a.txt")

    assert [each.author for each in log(project, "notes")] == ["ben"]


def test_a_viewer_reads_and_may_not_write(local_project: LocalProject, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a")
    viewer = local_project.as_actor(Actor(name="vic", roles=("viewer",)))

    assert list_datasets(viewer) == []
    with pytest.raises(DeniedError, match="data:write"):
        add_files(viewer, "notes", tmp_path / "a.txt")


def test_a_folder_that_holds_a_project_is_not_made_one_again(sqlite_project: LocalProject) -> None:
    with pytest.raises(ConflictError, match="holds a project already"):
        create_project(sqlite_project.folder)


def test_a_folder_without_settings_is_no_project(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="hw init"):
        open_project(tmp_path)


def test_a_line_of_settings_that_is_not_toml_is_named(sqlite_project: LocalProject) -> None:
    path = sqlite_project.folder / "headwater.toml"
    path.write_text(path.read_text() + "\n[checks\n")

    with pytest.raises(InvalidInputError, match="line"):
        open_project(sqlite_project.folder)


def test_a_server_that_is_not_there_is_said_so() -> None:
    with pytest.raises(UnavailableError, match="hw up"):
        open_project("http://127.0.0.1:9")


def test_a_project_is_found_from_a_folder_below(sqlite_project: LocalProject, monkeypatch: pytest.MonkeyPatch) -> None:
    below = sqlite_project.folder / "deep" / "er"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    monkeypatch.delenv("HEADWATER_PROJECT", raising=False)

    with open_project() as found:
        assert found.id == sqlite_project.id

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from headwater.errors import InvalidInputError, NotFoundError
from headwater.ingest import plan, pull, reach_source
from headwater.ingest.intake import Intake
from headwater.project import LocalProject
from tests.ingest.conftest import files_of

Declare = Callable[[str], None]


def declare_files(declare: Declare, path: str, more: str = "") -> None:
    declare(f'[[source]]\nname = "inbox"\nkind = "files"\ndataset = "inbox"\npath = "{path}"\n{more}')


def aged(*files: Path) -> None:
    """Make files look as if they had been written an hour before the clock's hour."""
    for file in files:
        stat = file.stat()
        os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns - 3_600_000_000_000))


@pytest.fixture
def inbox(project_folder: Path) -> Path:
    folder = project_folder / "inbox"
    (folder / "sub").mkdir(parents=True)
    (folder / "a.txt").write_text("a")
    (folder / "sub" / "b.txt").write_text("b")
    aged(folder / "a.txt", folder / "sub" / "b.txt")
    return folder


def test_a_folder_is_mirrored_and_only_what_changed_is_read(
    sqlite_project: LocalProject, declare: Declare, inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    declare_files(declare, "inbox")
    first = pull(sqlite_project, "inbox")
    read: list[str] = []
    put_file = Intake.put_file

    def noting(self: Intake, path: str, *args: object, **options: object) -> object:
        read.append(path)
        return put_file(self, path, *args, **options)  # type: ignore[arg-type]  # passed on as given

    monkeypatch.setattr(Intake, "put_file", noting)
    second = pull(sqlite_project, "inbox")
    (inbox / "a.txt").unlink()
    (inbox / "c.txt").write_text("c")
    third = pull(sqlite_project, "inbox")

    assert (first.outcome, first.files) == ("published", 2)
    assert (second.outcome, third.files, third.removed) == ("unchanged", 1, 1)
    assert read == ["c.txt"]
    assert files_of(sqlite_project, "inbox") == {"c.txt": b"c", "sub/b.txt": b"b"}


def test_a_file_rewritten_with_the_same_size_and_time_is_seen(
    sqlite_project: LocalProject, declare: Declare, inbox: Path
) -> None:
    declare_files(declare, "inbox/a.txt")
    pull(sqlite_project, "inbox")
    stat = (inbox / "a.txt").stat()
    (inbox / "a.txt").write_text("z")
    os.utime(inbox / "a.txt", ns=(stat.st_atime_ns, stat.st_mtime_ns))
    pull(sqlite_project, "inbox")

    assert files_of(sqlite_project, "inbox") == {"a.txt": b"z"}


def test_a_file_written_within_the_clocks_last_tick_is_read_again(
    sqlite_project: LocalProject, declare: Declare, inbox: Path
) -> None:
    (inbox / "a.txt").write_text("fresh")
    declare_files(declare, "inbox/*.txt")
    pull(sqlite_project, "inbox")
    planned = plan(sqlite_project, "inbox")

    assert [(p.act, p.what) for p in planned.planned] == [("fetch", "a.txt")]
    assert pull(sqlite_project, "inbox").outcome == "unchanged"


def test_touched_but_equal_files_make_no_version(sqlite_project: LocalProject, declare: Declare, inbox: Path) -> None:
    declare_files(declare, "inbox")
    pull(sqlite_project, "inbox")
    aged(inbox / "a.txt")

    assert pull(sqlite_project, "inbox").outcome == "unchanged"


def test_appending_keeps_what_is_gone(sqlite_project: LocalProject, declare: Declare, inbox: Path) -> None:
    declare_files(declare, "inbox/**/*.txt", 'mode = "append"\nunder = "kept"')
    pull(sqlite_project, "inbox")
    (inbox / "a.txt").unlink()
    (inbox / "sub" / "b.txt").unlink()

    assert pull(sqlite_project, "inbox").outcome == "unchanged"
    assert set(files_of(sqlite_project, "inbox")) == {"kept/a.txt", "kept/sub/b.txt"}


def test_a_mirrored_folder_that_is_empty_or_gone_is_an_error_and_not_a_removal(
    sqlite_project: LocalProject, declare: Declare, inbox: Path
) -> None:
    declare_files(declare, "inbox")
    pull(sqlite_project, "inbox")
    inbox.rename(inbox.parent / "elsewhere")
    with pytest.raises(NotFoundError):
        pull(sqlite_project, "inbox")
    inbox.mkdir()
    with pytest.raises(NotFoundError):
        pull(sqlite_project, "inbox")

    assert len(files_of(sqlite_project, "inbox")) == 2


def test_two_sources_of_one_dataset_leave_each_others_files(
    sqlite_project: LocalProject, declare: Declare, inbox: Path
) -> None:
    declare_files(declare, "inbox/a.txt")
    declare('[[source]]\nname = "other"\nkind = "files"\ndataset = "inbox"\npath = "inbox/sub"')
    pull(sqlite_project, "inbox")
    pull(sqlite_project, "other")
    pull(sqlite_project, "inbox")

    assert set(files_of(sqlite_project, "inbox")) == {"a.txt", "b.txt"}


def test_a_file_that_changes_whenever_it_is_read_is_refused(
    sqlite_project: LocalProject, declare: Declare, inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    declare_files(declare, "inbox")
    put_file = Intake.put_file

    def changing(self: Intake, path: str, *args: object, **options: object) -> object:
        with open(inbox / path, "a") as file:
            file.write("more")
        return put_file(self, path, *args, **options)  # type: ignore[arg-type]  # passed on as given

    monkeypatch.setattr(Intake, "put_file", changing)
    with pytest.raises(InvalidInputError, match="changes while it is read"):
        pull(sqlite_project, "inbox")


def test_a_link_out_of_the_folder_is_refused(
    sqlite_project: LocalProject, declare: Declare, inbox: Path, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("secret")
    (inbox / "link").symlink_to(tmp_path / "secret")
    declare_files(declare, "inbox")

    with pytest.raises(InvalidInputError, match="link"):
        pull(sqlite_project, "inbox")


def test_parquet_files_count_as_tables_and_broken_ones_are_said(
    sqlite_project: LocalProject, declare: Declare, inbox: Path
) -> None:
    (inbox / "t.parquet").write_bytes(b"no table")
    declare_files(declare, "inbox")

    with pytest.raises(InvalidInputError, match=r"t\.parquet.*Is it complete"):
        pull(sqlite_project, "inbox")


def test_a_test_counts_without_reading(sqlite_project: LocalProject, declare: Declare, inbox: Path) -> None:
    declare_files(declare, "inbox")

    assert reach_source(sqlite_project, "inbox").found == "2 files, 2 bytes"

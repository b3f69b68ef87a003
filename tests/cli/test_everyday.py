"""What a person does with a dataset from day to day, at the terminal."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.cli.running import done, hw
from tests.cli.test_working_commands import here

__all__ = ["here"]


def conflict(here: Path) -> None:
    """Let the folder ``work`` and somebody else change the same file of d@v1; the other one is first."""
    done("data", "checkout", "d@v1", "work", "--mode", "copy")
    (here / "files" / "a").write_text("theirs")
    done("data", "add", "d", "files")
    (here / "work" / "a").write_text("mine")
    assert hw("data", "add", "d", "work").code == 1


@pytest.mark.parametrize(("side", "held"), [("theirs", "mine"), ("ours", "theirs")])
def test_after_a_conflict_the_status_says_what_waits_and_what_to_do(here: Path, side: str, held: str) -> None:
    conflict(here)

    said = hw("data", "status", "work")

    assert said.code == 1
    assert "nothing changed" in said.out and "d@v3 is not on branch 'main'" in said.out
    assert "hw data merge d v3 --take theirs " in said.out and "--take ours keeps" in said.out
    assert "that version is not on 'main'" in hw("data", "status").out
    assert hw("data", "merge", "d", "v3").code == 1
    done("data", "merge", "d", "v3", "--take", side)
    assert done("data", "status", "work").out.count("\n") == 1
    done("data", "checkout", "d", "now")
    assert (here / "now" / "a").read_text() == held


def test_a_folder_whose_version_is_published_has_nothing_waiting(here: Path) -> None:
    (here / "files" / "a").write_text("new")
    done("data", "add", "d", "files")

    assert done("data", "status", "files").code == 0


def test_a_conflict_on_another_branch_names_that_branch(here: Path) -> None:
    done("data", "branch", "d", "dev")
    done("data", "checkout", "d@dev", "work", "--mode", "copy")
    (here / "files" / "a").write_text("theirs")
    done("data", "add", "d", "files", "--branch", "dev")
    (here / "work" / "a").write_text("mine")

    assert "hw data merge d v3 --into dev --take theirs" in hw("data", "add", "d", "work", "--branch", "dev").err
    assert "--into dev --take theirs" in hw("data", "status", "work").out


def test_files_are_listed_folder_by_folder(here: Path) -> None:
    (here / "files" / "cats").mkdir()
    (here / "files" / "cats" / "tom").write_text("tom")
    done("data", "add", "d", "files")

    assert [line.split()[0] for line in done("data", "ls", "d").out.splitlines()[1:]] == ["cats/", "a", "b", "c"]
    assert done("data", "ls", "d", "cats/", "--json").answer["files"][0]["path"] == "cats/tom"
    assert "cats/tom" in done("data", "ls", "d", "-R").out
    assert "more: --after a" in done("data", "ls", "d@v1", "--limit", "1").out
    assert hw("data", "ls", "d", "dogs").code == 2


def test_files_are_removed_and_moved_by_their_names(here: Path) -> None:
    assert "v2" in done("data", "rm", "d", "a", "-m", "not ours").out
    done("data", "mv", "d", "b", "c", "old/")

    assert [each["path"] for each in done("data", "ls", "d", "-R", "--json").answer["files"]] == ["old/b", "old/c"]
    assert hw("data", "rm", "d", "old").code == 2
    done("data", "rm", "d", "old", "-R")


def test_a_dry_run_of_adding_tells_what_would_change_and_puts_nothing(here: Path) -> None:
    (here / "files" / "a").write_text("changed")
    (here / "files" / "b").unlink()
    (here / "files" / "new").write_text("new")
    objects = sorted(os.listdir(here / ".headwater" / "objects" / "packs"))

    said = done("data", "add", "d", "files", "--mirror", "--dry-run")

    assert "against d@v1: 1 added, 1 changed, 1 removed (10 B), 1 the same" in said.out
    assert "+ new\n~ a\n- b\n" in said.out
    assert sorted(os.listdir(here / ".headwater" / "objects" / "packs")) == objects
    assert len(done("data", "log", "d", "--json").answer) == 1
    assert "against nothing yet: 3 added" in done("data", "add", "new", "files", "--dry-run").out


def test_an_ignore_file_leaves_new_files_out_as_git_does(here: Path) -> None:
    (here / "files" / "cats").mkdir()
    for name in ("x.tmp", "cats/y.tmp", "cats/keep.tmp", "cats/tom", "build"):
        (here / "files" / name).write_text(name)
    (here / "files" / ".headwaterignore").write_text("# scratch\n*.tmp\n!keep.tmp\n/build\na\n")

    assert "cats/y.tmp" not in hw("data", "status", "files").out
    done("data", "add", "d", "files", "--mirror")
    assert done("data", "status", "files").code == 0

    held = {each["path"] for each in done("data", "ls", "d", "-R", "--json").answer["files"]}
    assert held == {".headwaterignore", "a", "b", "c", "cats/keep.tmp", "cats/tom"}  # a was there before
    (here / "files" / "a").write_text("changed")
    assert "~ a" in hw("data", "status", "files").out
    done("data", "add", "other", "files")
    other = {each["path"] for each in done("data", "ls", "other", "-R", "--json").answer["files"]}
    assert other == held - {"a"}
    (here / "files" / ".headwaterignore").write_text("fine\n!\n")
    assert "line 2 of" in hw("data", "add", "d", "files").err


def test_a_checkout_overwrites_no_file_for_being_ignored(here: Path) -> None:
    done("data", "checkout", "d@v1", "work", "--mode", "copy")
    (here / "files" / "x.tmp").write_text("theirs")
    done("data", "add", "d", "files")
    (here / "work" / ".headwaterignore").write_text("*.tmp\n")
    (here / "work" / "x.tmp").write_text("mine")

    assert "would be overwritten: 'x.tmp'" in hw("data", "checkout", "d@v2", "work").err
    assert (here / "work" / "x.tmp").read_text() == "mine"


def test_the_short_status_is_a_line_a_path(here: Path) -> None:
    (here / "files" / "a").write_text("changed")
    (here / "files" / "b").unlink()
    (here / "files" / "new").write_text("new")
    os.symlink("/etc/hosts", here / "files" / "out")

    said = hw("data", "status", "files", "--short")

    assert (said.code, said.out) == (1, "M a\nD b\nA new\n! out\n")
    assert hw("data", "status", "--short").code == 2


def test_single_paths_are_put_back_and_local_changes_are_not_lost(here: Path) -> None:
    (here / "files" / "a").write_text("second")
    done("data", "add", "d", "files")
    done("data", "checkout", "d@v2", "work", "--mode", "copy")
    (here / "work" / "a").write_text("mine")
    (here / "work" / "b").unlink()
    (here / "work" / "c").write_text("mine too")

    assert "1 files of d@v2 are in work: 1 files written" in done("data", "checkout", "d", "work", "--path", "b").out
    refused = hw("data", "checkout", "d", "work", "--path", "a")
    assert (refused.code, "would be overwritten: 'a'" in refused.err) == (2, True)
    done("data", "checkout", "d@v1", "work", "--path", "a", "--force")

    assert {each.name: each.read_text() for each in (here / "work").iterdir()} == {"a": "a", "b": "b", "c": "mine too"}
    assert "~ a\n~ c" in hw("data", "status", "work").out
    done("data", "checkout", "d@v2", "work", "--path", ".", "--force")
    assert done("data", "status", "work").code == 0
    assert "no file or folder 'x'" in hw("data", "checkout", "d", "work", "--path", "x").err
    assert "is not known here" in hw("data", "checkout", "d", "files/..", "--path", "a").err


def test_a_folder_is_forgotten_and_its_files_stay(here: Path) -> None:
    assert "files" in done("data", "status").out

    done("data", "forget", "files")

    assert done("data", "status").out == "nothing waits\n" and (here / "files" / "a").read_text() == "a"
    assert hw("data", "forget", "files").code == 2
    assert [each for each in (here / ".headwater" / "working").iterdir() if "lock" not in each.name] == []


@pytest.mark.parametrize("given", [".headwater", ".headwater/objects", ".headwater/ledger.sqlite", "link"])
def test_the_projects_own_store_is_not_added(here: Path, given: str) -> None:
    os.symlink(here / ".headwater" / "objects" / "packs", here / "link")

    refused = hw("data", "add", "d", given)

    assert (refused.code, "this project's own store" in refused.err) == (2, True)


def test_a_folder_that_a_store_elsewhere_lies_in_is_not_added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done("init", "p", "--objects", str(tmp_path / "bytes" / "store"))
    (tmp_path / "bytes").mkdir(exist_ok=True)
    (tmp_path / "bytes" / "a").write_text("a")
    monkeypatch.chdir(tmp_path / "p")

    assert "this project's own store" in hw("data", "add", "d", str(tmp_path / "bytes")).err
    (tmp_path / "p" / "a").write_text("a")
    done("data", "add", "d", ".")  # .headwater is left out of any folder


def test_losses_are_shown_and_accepted(here: Path) -> None:
    assert done("data", "accept-loss").out == "(none)\n"
    for pack in (here / ".headwater" / "objects" / "packs").iterdir():
        pack.unlink()

    shown = hw("data", "accept-loss", "--json")
    packs = [each["pack"] for each in shown.answer]
    assert shown.code == 1 and packs
    assert hw("data", "accept-loss", *packs).code == 2
    assert "the disk died" in done("data", "accept-loss", *packs, "--reason", "the disk died").out
    assert "accepted that on" in done("verify").out

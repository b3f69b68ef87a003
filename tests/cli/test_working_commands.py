"""``hw data checkout`` and ``hw data status`` as a person runs them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.running import done, hw


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with d@v1 of three files, added from the folder ``files``."""
    monkeypatch.chdir(tmp_path)
    done("init", ".")
    (tmp_path / "files").mkdir()
    for name in ("a", "b", "c"):
        (tmp_path / "files" / name).write_text(name)
    done("data", "add", "d", "files")
    return tmp_path


def test_a_folder_is_checked_out_changed_looked_at_and_added(here: Path) -> None:
    assert "3 files written, 0 removed" in done("data", "checkout", "d@v1", "work", "--mode", "copy").out
    assert "3 files, nothing changed" in done("data", "status", "work").out
    (here / "work" / "a").write_text("changed")
    (here / "work" / "b").unlink()
    (here / "work" / "new").write_text("new")

    status = hw("data", "status", "work")

    assert status.code == 1
    assert "1 added, 1 changed, 1 removed\n+ new\n~ a\n- b\n" in status.out
    assert hw("--json", "data", "status", "work").answer["changed"] == ["a"]
    assert "work against d@v1: 1 added, 1 changed, 1 removed" in hw("data", "status").out
    done("data", "add", "d", "work", "--mirror")
    assert done("data", "status", "work").code == 0
    assert done("data", "status", "work", "--full").code == 0
    refused = hw("data", "checkout", "d@v1", "files")
    (here / "files" / "a").write_text("mine")
    assert refused.code == 0
    refused = hw("data", "checkout", "d@v2", "files")
    assert refused.code == 2
    assert "would be overwritten: 'a'" in refused.err
    done("data", "checkout", "d@v2", "files", "--force")
    assert (here / "files" / "a").read_text() == "changed"


def test_without_a_folder_the_status_is_of_what_waits(here: Path) -> None:
    assert "files against d@v1: nothing changed" in done("data", "status").out
    done("data", "branch", "d", "dev")
    (here / "files" / "a").write_text("on dev")
    done("data", "add", "d", "files", "--branch", "dev")

    status = hw("data", "status")

    assert status.code == 1
    assert "d: v2 not on main (main is v1)" in status.out


def test_a_folder_that_is_not_known_is_wrong_use(here: Path) -> None:
    (here / "other").mkdir()
    refused = hw("data", "status", "other")

    assert refused.code == 2
    assert "Run 'hw data checkout REF other'" in refused.err


@pytest.mark.usefixtures("here")
def test_the_status_of_a_known_folder_opens_no_project() -> None:
    # What makes it quick: neither the ledger nor the stores nor the rooms above them are imported.
    program = (
        "import sys\n"
        "from headwater.cli import main\n"
        "sys.argv[1:] = ['data', 'status', 'files']\n"
        "try:\n    main()\nexcept SystemExit as stop:\n    assert not stop.code, stop.code\n"
        "print(*sorted(name for name in sys.modules if name.startswith('headwater.')))\n"
    )
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout

    assert "nothing changed" in shown
    for room in ("lake", "ledger", "objects", "project"):
        assert f"headwater.{room}" not in shown.split()


def test_a_folder_of_a_dataset_goes_back_to_where_it_is_from(here: Path) -> None:
    (here / "cats").mkdir()
    (here / "cats" / "tom").write_text("tom")
    done("data", "add", "d", "cats", "--under", "cats")
    done("data", "checkout", "d@main", "work", "--under", "cats", "--mode", "copy")
    (here / "work" / "tom").write_text("thomas")

    done("data", "add", "d", "work")

    shown = done("data", "show", "d@main", "--json").answer["files"]["files"]
    assert [each["path"] for each in shown] == ["a", "b", "c", "cats/tom"]
    done("data", "checkout", "d@v2", "work")
    assert [each.name for each in (here / "work").iterdir()] == ["tom"]
    refused = hw("data", "checkout", "d@v1", "work")
    assert refused.code == 2
    assert "d@v1 has no file under 'cats/'" in refused.err
    assert (here / "work" / "tom").read_text() == "tom"
    done("data", "checkout", "d@v1", "work", "--under", "")
    assert sorted(each.name for each in (here / "work").iterdir()) == ["a", "b", "c"]


def test_a_branch_that_begins_is_said_to_be_new(here: Path) -> None:
    assert "\nbranch 'main' of 'o' points to v1" in done("data", "add", "o", "files").out
    assert "\nnew branch 'mian' of 'd' points to v1" in done("data", "add", "d", "files/a", "--branch", "mian").out


def test_rows_are_read_of_the_tables_below_a_prefix(here: Path) -> None:
    for name in ("orders", "items"):
        (here / f"{name}.csv").write_text(f"{name}\n1\n")
    done("data", "add", "t", "orders.csv", "items.csv")

    assert done("data", "read", "t", "--under", "items", "--json").answer == [{"items": 1}]
    assert "--under are for rows" in hw("data", "read", "t", "--under", "i", "--path", "items.csv").err


def test_a_place_that_is_not_there_is_told_with_those_that_are(here: Path) -> None:
    refused = hw("data", "push", "d", "--to", "team")
    assert refused.code == 2
    assert "there is no place 'team': [places] of headwater.toml names none" in refused.err
    with (here / "headwater.toml").open("a") as settings:
        settings.write('\n[places]\nusb = "other"\n')
    done("init", "other")

    assert "'usb'" not in hw("data", "push", "d", "--to", "team").err
    assert "has usb" in hw("data", "push", "d", "--to", "team").err
    assert "points to v1 in 'other'" in done("data", "push", "d", "--to", "usb").out


def test_going_back_and_merging_move_the_branch(here: Path) -> None:
    (here / "files" / "a").write_text("second")
    done("data", "add", "d", "files")

    assert "branch 'main' of 'd' points to v3" in done("data", "revert", "d", "v1").out
    assert done("data", "diff", "d@v1", "d@main", "--json").answer["changed_count"] == 0
    assert "nothing changed" in done("data", "revert", "d", "v1").out
    done("data", "branch", "d", "dev")
    (here / "x").write_text("x")
    done("data", "add", "d", "x", "--branch", "dev")
    assert "branch 'main' of 'd' points to v4" in done("data", "merge", "d", "dev").out
    (here / "x").write_text("y")
    done("data", "add", "d", "x", "--branch", "dev")
    (here / "z").write_text("z")
    done("data", "add", "d", "z")
    assert "branch 'main' of 'd' points to v7" in done("data", "merge", "d", "dev").out
    done("data", "checkout", "d", "work")
    assert sorted(each.read_text() for each in (here / "work").iterdir()) == ["a", "b", "c", "y", "z"]


def test_main_is_not_deleted_by_mistake(here: Path) -> None:
    refused = hw("data", "branch", "d", "main", "--delete")

    assert refused.code == 2
    assert "'main' is what 'd' alone means" in refused.err
    assert done("data", "show", "d").code == 0


def test_a_project_whose_ledger_cannot_be_reached_leaves_nothing_behind(here: Path) -> None:
    assert "NO_SUCH_LEDGER" in hw("init", "grown", "--ledger", "env:NO_SUCH_LEDGER").err
    assert "no address of a database" in hw("init", "grown", "--ledger", "here.db").err
    assert not (here / "grown").exists()
    assert not (here / "here.db").exists()


def test_names_do_not_reach_the_terminal_as_commands(here: Path) -> None:
    (here / "files" / "\x1b[31mred").write_text("r")
    status = hw("data", "status", "files")
    done("data", "add", "d", "files")

    for told in (status.out, done("data", "show", "d").out, done("data", "diff", "d@v1", "d").out):
        assert "\\x1b[31mred" in told
        assert "\x1b" not in told


def test_who_adds_after_others_is_told_where_their_changes_are(here: Path) -> None:
    done("data", "checkout", "d@v1", "work", "--mode", "copy")
    (here / "files" / "a").write_text("theirs")
    done("data", "add", "d", "files")
    (here / "work" / "b").write_text("mine")

    told = done("data", "add", "d", "work").out

    assert "branch 'main' of 'd' points to v4\nit joins d@v3, which was added, with what others published" in told
    assert told.endswith("'hw data checkout d@main work' brings theirs\n")
    done("data", "checkout", "d@main", "work")
    assert sorted(each.read_text() for each in (here / "work").iterdir()) == ["c", "mine", "theirs"]
    assert "joins" not in done("data", "add", "d", "work").out


def test_adding_again_after_a_conflict_undoes_nothing_of_others(here: Path) -> None:
    done("data", "checkout", "d@v1", "work", "--mode", "copy")
    (here / "files" / "a").write_text("theirs")
    (here / "files" / "b").write_text("theirs too")
    done("data", "add", "d", "files")
    (here / "work" / "a").write_text("mine")

    for _ in range(2):
        refused = hw("data", "add", "d", "work")
        assert refused.code == 1
        assert "both changed 'a'" in refused.err
    done("data", "checkout", "d@main", "work")
    (here / "work" / "a").write_text("both")
    done("data", "add", "d", "work")
    done("data", "checkout", "d@main", "result")
    assert sorted(each.read_text() for each in (here / "result").iterdir()) == ["both", "c", "theirs too"]

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
    assert "\nnew branch 'mian' of 'd' points to v2" in done("data", "add", "d", "files/a", "--branch", "mian").out

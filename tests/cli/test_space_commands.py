from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.running import done, hw


@pytest.fixture
def notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with two versions of a file; the first is to go."""
    monkeypatch.chdir(tmp_path)
    done("init", ".", "--name", "space")
    for text in ("first of the two\n", "Zebulon Quarterstaff wrote this\n"):
        Path("a.txt").write_text(text)
        done("data", "add", "notes", "a.txt")
    return tmp_path


def test_a_version_is_deleted_told_of_and_freed(notes: Path) -> None:
    done("data", "delete", "notes@v1", "--reason", "over")

    told = done("data", "collect", "--grace-hours", "0").out
    assert "would free" in told and "notes@v1" in told and "deleted by" in told and "heads of branches" in told
    freed = json.loads(done("data", "collect", "--grace-hours", "0", "--yes", "--json").out)

    assert freed["freed_already"] and freed["objects"] == 3 and freed["disk_after"] < freed["disk_before"]
    gone = hw("data", "read", "notes@v1", "--path", "a.txt")
    assert gone.code == 2 and "collected on" in gone.err
    assert "everything is what it says" in done("verify").out


def test_the_head_of_a_branch_is_not_deleted_and_a_hold_is_shown_and_released(notes: Path) -> None:
    refused = hw("data", "delete", "notes@v2", "--reason", "over")
    assert refused.code == 1 and "the branch 'main' points to it" in refused.err

    held = json.loads(done("data", "hold", "notes@v1", "--reason", "for the audit", "--json").out)
    assert [each["why"] for each in held] == ["for the audit"]
    assert "(none)" in done("data", "hold", "--release", held[0]["id"]).out


def test_a_subject_is_found_erased_and_found_no_more(notes: Path) -> None:
    name = "Zebulon Quarterstaff"
    assert hw("data", "find", name).code == 1
    assert "would erase" in done("data", "erase", "notes", "--path", "a.txt", "--also", name).out

    done("data", "erase", "notes", "--path", "a.txt", "--also", name, "--reason", "request 17", "--yes")

    assert "it is nowhere" in done("data", "find", name).out
    assert "everything is what it says" in done("verify").out


def test_a_damaged_pack_is_repaired_from_a_copy_and_a_project_recovered(notes: Path) -> None:
    import shutil

    done("head", "--checkpoint")
    shutil.copytree(".headwater/objects", "copy")
    damaged = next(path for path in Path(".headwater/objects/packs").iterdir() if b"Zebulon" in path.read_bytes())
    data = bytearray(damaged.read_bytes())
    data[20] ^= 1
    damaged.write_bytes(data)
    assert hw("verify").code == 1

    assert "1 packs repaired" in hw("verify", "--repair", "copy").err
    assert hw("verify").code == 0
    recovered = json.loads(done("recover", "again", "--objects", "copy", "--json").out)
    assert (recovered["versions"], recovered["names"], recovered["incomplete"]) == (2, 1, [])

from __future__ import annotations

from pathlib import Path

import pytest

from headwater.project import create_project
from tests.cli.running import done, hw
from tests.ingest.test_files import aged

SETTINGS = """
[project]
name = "test"

[[source]]
name = "inbox"
kind = "files"
dataset = "inbox-{shop}"
path = "inbox/{shop}"
parameters = ["shop"]

[[checks.inbox-north]]
kind = "range"
column = "x"
max = 10
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "p"
    (folder / "inbox" / "north").mkdir(parents=True)
    (folder / "inbox" / "north" / "a.csv").write_text("x\n1\n")
    aged(folder / "inbox" / "north" / "a.csv")
    (folder / "headwater.toml").write_text(SETTINGS)
    create_project(folder).close()
    monkeypatch.chdir(folder)
    monkeypatch.delenv("HEADWATER_PROJECT", raising=False)
    return folder


def test_a_source_is_listed_tried_planned_pulled_and_shown(place: Path) -> None:
    assert "never" in done("ingest", "list").out
    assert "1 files, 4 bytes" in done("ingest", "test", "inbox", "shop=north").out
    assert "fetch a.csv  (new)" in done("ingest", "pull", "inbox", "shop=north", "--dry-run").out
    assert done("--json", "ingest", "history").answer == []
    assert "published inbox-north@v1: 1 file, 4 B" in done("ingest", "pull", "inbox", "shop=north").out
    assert "nothing changed, no new version" in done("ingest", "pull", "inbox", "shop=north").out

    pulls = done("ingest", "history", "inbox", "--json").answer
    assert [pull["outcome"] for pull in pulls] == ["unchanged", "published"]
    shown = done("ingest", "show", "inbox").out
    assert "takes shop=..." in shown and "published" in shown
    for name in (pulls[1]["id"], "inbox-north@v1"):
        proof = done("ingest", "show", name).out
        assert "a.csv  4 B" in proof and f"path_there: {place}/inbox/north/a.csv" in proof


def test_a_pull_that_is_quarantined_ends_with_one_and_a_failed_one_with_its_error(place: Path) -> None:
    (place / "inbox" / "north" / "a.csv").write_text("x\n11\n")
    quarantined = hw("ingest", "pull", "inbox", "shop=north")
    failed = hw("ingest", "pull", "inbox", "shop=south")
    wrong = hw("ingest", "pull", "inbox", "north")
    unknown = hw("ingest", "pull", "outbox")

    assert (quarantined.code, failed.code, wrong.code, unknown.code) == (1, 2, 2, 2)
    assert "waits in quarantine" in quarantined.out
    assert "inbox/south" in failed.err and "write NAME=VALUE" in wrong.err and "Declared are: inbox" in unknown.err
    assert "there is no file or folder" in done("ingest", "history", "inbox", "shop=south").out

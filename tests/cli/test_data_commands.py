from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from headwater.lake import add_table
from headwater.project import open_project
from tests.cli.running import done, hw


def program(*words: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    """Run ``hw`` in a process of its own, for what it writes as bytes and for what shells ask."""
    command = [str(Path(sys.executable).parent / "hw"), *words]
    return subprocess.run(command, capture_output=True, check=False, env={**os.environ, **environment})


def words_of(*words: str) -> str:
    """Return what a command prints, one space between the words."""
    return " ".join(done(*words).out.split())


def completed(words: str) -> list[str]:
    """Return what bash would offer for the last of these words."""
    count = str(len(words.split(" ")) - 1)
    found = program(_HW_COMPLETE="bash_complete", COMP_WORDS=words, COMP_CWORD=count)
    return [line.partition(",")[2] for line in found.stdout.decode().splitlines()]


@pytest.mark.usefixtures("place")
def test_refs_and_datasets_are_completed() -> None:
    assert completed("hw data show fl") == ["flights"]
    assert completed("hw data show flights@") == [f"flights@{name}" for name in ("main", "winter", "v3", "v2", "v1")]
    assert completed("hw data diff flights@v1 flights@wi") == ["flights@winter"]
    assert completed("hw data usage a") == ["airports"]
    assert completed("hw data sea") == ["search"]


@pytest.mark.parametrize(
    ("shell", "mark"), [("bash", "complete -o"), ("zsh", "#compdef hw"), ("fish", "complete --no")]
)
def test_the_completion_script_is_printed(shell: str, mark: str) -> None:
    assert mark in done("completion", shell).out


def test_without_a_project_nothing_is_offered_and_nothing_breaks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    assert completed("hw data show fl") == [""]  # bash gets an empty line


@pytest.mark.usefixtures("place")
def test_bytes_of_a_file_are_written_as_they_are() -> None:
    path = done("--json", "data", "show", "flights@v2").answer["files"]["files"][0]["path"]

    whole = program("data", "read", "flights@v2", "--path", path).stdout
    assert whole[:4] == whole[-4:] == b"PAR1"
    assert program("data", "read", "flights@v2", "--path", path, "--bytes", "0:4").stdout == b"PAR1"
    assert program("data", "read", "flights@v2", "--path", path, "--bytes", f"{len(whole) - 4}:").stdout == b"PAR1"
    assert program("data", "read", "flights@v2", "--path", path, "--bytes", f"{len(whole) + 9}:").stdout == b""
    assert done("--json", "data", "read", "flights@v2", "--path", path, "--bytes", ":4").answer["base64"] == "UEFSMQ=="
    for wrong in (["--bytes", "4:2"], ["--bytes", "x"], ["--bytes", "-1:2"], ["--where", "true"]):
        assert hw("data", "read", "flights@v2", "--path", path, *wrong).code == 2
    assert hw("data", "read", "flights@v2", "--bytes", "0:4").code == 2


@pytest.mark.usefixtures("place")
def test_versions_are_compared_by_statistics_and_by_rows(place: Path) -> None:
    with open_project(place) as project:
        first = add_table(project, "small", "a", {"id": [1, 2], "x": [1.0, 2.0]})
        add_table(project, "small", "a", {"id": [2, 3], "x": [5.0, None]}, base=first.id)

    text = words_of("data", "diff", "small@v1", "small@v2", "--statistics", "--key", "id")

    assert "rows by id: 1 added, 1 removed, 1 changed" in text
    assert "+ id=3, x=null" in text and "~ id=2: x 2.0 → 5.0" in text
    assert "x before DOUBLE 0 ~2 1.0 2.0 1.5 after DOUBLE 1 ~1 5.0 5.0 5" in text
    answer = done("--json", "data", "diff", "small@v1", "small@v2", "--key", "id").answer
    assert (answer["rows"]["changed_count"], answer["statistics"]) == (1, None)
    assert hw("data", "diff", "small@v1", "small@v2", "--key", "nothing").code == 2


@pytest.mark.usefixtures("place")
def test_the_catalogue_is_searched_and_described() -> None:
    assert done("data", "describe", "flights", "--column", "hour", "Of departure, local time.").code == 0

    assert "hour DOUBLE Of departure, local time." in words_of("data", "columns", "flights")
    assert "column description: hour Of departure, local time." in done("data", "search", "local", "departure").out
    assert "nothing found" in done("data", "search", "zebra").out
    assert hw("data", "describe", "flights", "--column", "hoor", "x").code == 2
    assert "Of departure" in done("data", "describe", "flights", "--column", "hour").out


@pytest.mark.usefixtures("place")
def test_what_is_read_shows_in_the_usage() -> None:
    done("data", "read", "airports@v1")

    assert "ann command 1 1" in words_of("data", "usage", "airports")
    found = done("--json", "data", "usage", "flights").answer
    assert {use["role"] for use in found["used_by"]} >= {"checked", "data"}
    assert [v["version"]["number"] for v in found["versions"]] == [3, 2, 1]


@pytest.mark.usefixtures("place")
def test_the_log_is_searched_by_path() -> None:
    answer = done("--json", "data", "log", "flights", "--path", "2026-02.parquet").answer

    assert [version["number"] for version in answer] == [2]
    assert done("--json", "data", "log", "flights", "--author", "nobody").answer == []

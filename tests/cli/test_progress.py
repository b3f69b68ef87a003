"""The progress bar, on a terminal and where nobody looks."""

from __future__ import annotations

import io
import sys

import pytest

from headwater.cli import progress
from headwater.cli.progress import file_progress, row_progress


class Terminal(io.StringIO):
    """A standard error that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_on_a_terminal_files_and_bytes_are_told_with_and_without_a_known_total(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "QUIET_S", -1.0)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    for key in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(key, raising=False)

    for total, told in ((0, "1 files, 2.0 KiB"), (1200, "1/1,200 files, 2.0 KiB")):
        terminal = Terminal()
        monkeypatch.setattr(sys, "stderr", terminal)
        with file_progress("adding") as report:
            assert report is not None
            report(1, total, 2048)
        assert told in terminal.getvalue()


def test_what_is_quick_shows_no_bar_and_without_a_terminal_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with file_progress("adding") as report:
        assert report is not None
        report(1, 1, 1)
    assert terminal.getvalue() == ""

    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with file_progress("adding") as report:
        assert report is None


def test_rows_are_told_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "QUIET_S", -1.0)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)

    with row_progress("predicting") as report:
        assert report is not None
        report(4096, 10_000)

    assert "4,096/10,000 rows" in terminal.getvalue()

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.web.conftest import populated

__all__ = ["populated"]


@pytest.fixture
def place(populated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the populated project that a test's commands run in, as ann."""
    folder = tmp_path / "flights"
    shutil.copytree(populated, folder)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HEADWATER_AS", "ann")
    monkeypatch.delenv("HEADWATER_PROJECT", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return folder

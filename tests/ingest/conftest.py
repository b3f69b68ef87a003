from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from headwater.project import Project
from tests.ingest.serving import Server, web


@pytest.fixture
def site() -> Iterator[Server]:
    with web() as server:
        yield server


@pytest.fixture
def declare(project_folder: Path) -> Callable[[str], None]:
    """Write sources into the project's settings, below what is there."""

    def write(text: str) -> None:
        path = project_folder / "headwater.toml"
        before = path.read_text() if path.exists() else '[project]\nname = "test"\n'
        path.write_text(f"{before}\n{text}\n")

    return write


def files_of(project: Project, dataset: str) -> dict[str, bytes]:
    """Return the bytes of the branch main by path."""
    from headwater.lake import iter_files

    return {e.path: project.objects.get(e.digest) for e in iter_files(project, f"{dataset}@main")}

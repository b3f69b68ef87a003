from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from headwater.project import open_project
from tests.web.populated import populate
from tests.web.serving import Site, site


@pytest.fixture(scope="session")
def populated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a project in which every page has something to show; closed, to be copied or only read.

    The run's workers share it: the first that wants it makes it.
    """
    if "PYTEST_XDIST_WORKER" not in os.environ:
        folder = tmp_path_factory.mktemp("populated") / "flights"
        populate(folder)
        return folder
    shared = tmp_path_factory.getbasetemp().parent / "populated"
    shared.mkdir(exist_ok=True)
    with (shared / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (shared / "made").exists():
            shutil.rmtree(shared / "flights", ignore_errors=True)
            populate(shared / "flights")
            (shared / "made").touch()
    return shared / "flights"


@pytest.fixture(scope="session")
def shown(populated: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The populated project, served, for tests that change nothing."""
    folder = tmp_path_factory.mktemp("shown") / "flights"
    shutil.copytree(populated, folder)
    with site(open_project(folder, actor="ann")) as served:
        yield served


@pytest.fixture
def fresh(populated: Path, tmp_path: Path) -> Iterator[Callable[[], Site]]:
    """Serve a copy of the populated project for one test, which may change it first: ``fresh().project``."""
    folder = tmp_path / "flights"
    shutil.copytree(populated, folder)
    with ExitStack() as open_sites:
        yield lambda: open_sites.enter_context(site(open_project(folder, actor="ann")))

"""Fixtures for pytest: ``hw_project``, a project for one test, and ``hw_flow``, which runs a flow in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from headwater.project import LocalProject

    from .running import Result


@pytest.fixture
def hw_project() -> Iterator[LocalProject]:
    """A project in a temporary folder, current in the test: ``hw.data`` and ``hw.commit`` mean it."""
    from .running import temporary_project

    with temporary_project() as project:
        yield project


@pytest.fixture
def hw_flow(hw_project: LocalProject) -> Callable[..., Result]:
    """A function that runs a flow in ``hw_project``: ``hw_flow(flow, {"x": 1}, data={"flights@main": frame})``."""
    from .running import run

    def run_in_project(flow: Any, arguments: Any = None, **options: Any) -> Result:
        return run(flow, arguments, project=hw_project, **options)

    return run_in_project

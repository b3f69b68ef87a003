"""Every store passes the same tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from headwater.objects import ObjectStore
from tests.objects.places import KINDS, Place, make_place


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """An empty place, of each kind."""
    made = make_place(request.param, tmp_path, request)
    yield made
    made.close()


@pytest.fixture
def folder_place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """An empty folder."""
    made = make_place("folder", tmp_path, request)
    yield made
    made.close()


@pytest.fixture
def store(place: Place) -> ObjectStore:
    """An empty store, of each kind."""
    return place.open()


@pytest.fixture
def folder_store(folder_place: Place) -> ObjectStore:
    """An empty store in a folder."""
    return folder_place.open()

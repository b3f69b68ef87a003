"""Every store passes the same tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from headwater.objects import ObjectStore
from tests.objects.places import KINDS, Place


def make_place(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> Place:
    if kind == "folder":
        return Place(kind, tmp_path / "objects", tmp_path)
    if kind == "memory":
        return Place(kind, f"memory://{uuid4().hex}", tmp_path)
    s3 = request.getfixturevalue("s3")
    credentials = {"endpoint": s3.endpoint, "access_key": s3.access_key, "secret_key": s3.secret_key}
    return Place(kind, f"s3://{s3.bucket}/{s3.prefix}", tmp_path, credentials | {"region": "us-east-1"})


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

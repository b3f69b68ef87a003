"""The shared cache of files, and putting objects where a tool wants files."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import pytest

from headwater.errors import CorruptError
from headwater.objects import ObjectStore
from headwater.objects.values import WHOLE_BYTES
from tests.objects.places import Place, flipped, noise

SIZES = [0, 1000, 2 * WHOLE_BYTES + 5]


@pytest.mark.parametrize("size", SIZES)
def test_a_cached_file_is_read_only_and_made_once(store: ObjectStore, size: int) -> None:
    digest = store.put(noise(size))
    path = store.cached_path(digest)
    assert path.read_bytes() == noise(size)
    assert path.stat().st_mode & 0o777 == 0o444
    made = path.stat().st_ino

    assert store.cached_path(digest) == path
    assert path.stat().st_ino == made


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("mode", ["link", "copy"])
def test_a_file_is_placed_and_replaces_what_was_there(store: ObjectStore, tmp_path: Path, mode: str, size: int) -> None:
    digest = store.put(noise(size))
    target = tmp_path / "deep" / "file"
    for _ in range(2):
        store.materialise(digest, target, mode=mode)  # type: ignore[arg-type]  # both of the two modes

    assert target.read_bytes() == noise(size)
    assert os.access(target, os.W_OK) or mode == "link"
    assert target.samefile(store.cached_path(digest)) == (mode == "link")
    assert os.listdir(target.parent) == ["file"]


def test_placing_never_writes_through_an_older_link(folder_store: ObjectStore, tmp_path: Path) -> None:
    one, other = folder_store.put(b"one"), folder_store.put(b"other")
    target = tmp_path / "file"
    folder_store.materialise(one, target, mode="link")
    folder_store.materialise(other, target, mode="copy")
    target.write_bytes(b"the user's own now")

    assert folder_store.cached_path(one).read_bytes() == b"one"
    assert folder_store.cached_path(other).read_bytes() == b"other"


@pytest.mark.parametrize("change", [b"written through the link", b"the bytes"])
def test_a_cached_file_that_somebody_wrote_to_is_made_anew(
    folder_store: ObjectStore, tmp_path: Path, change: bytes
) -> None:
    digest = folder_store.put(b"the bytes"[::-1])
    link = tmp_path / "link"
    folder_store.materialise(digest, link, mode="link")
    link.chmod(0o644)
    link.write_bytes(change)
    link.chmod(0o444)

    assert folder_store.cached_path(digest).read_bytes() == b"the bytes"[::-1]
    assert folder_store.get(digest) == b"the bytes"[::-1]  # the store's own bytes were never linked
    assert list(folder_store.verify()) == []


def test_a_damaged_object_leaves_no_file(folder_place: Place, folder_store: ObjectStore, tmp_path: Path) -> None:
    digest = folder_store.put(noise(3 * WHOLE_BYTES))
    (pack,) = folder_place.packs()
    folder_place.change(pack, lambda found: flipped(found, 2 * WHOLE_BYTES))
    modes: tuple[Literal["link", "copy"], ...] = ("link", "copy")
    for mode in modes:
        with pytest.raises(CorruptError):
            folder_store.materialise(digest, tmp_path / "out" / "file", mode=mode)

    assert list((tmp_path / "out").glob("*")) == []
    assert [path for path in (tmp_path / "cache").rglob("*") if path.is_file() and "index" not in path.name] == []


def test_a_link_to_another_file_system_becomes_a_read_only_copy(folder_store: ObjectStore) -> None:
    import tempfile

    digest = folder_store.put(b"far away")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        target = Path(folder) / "file"
        folder_store.materialise(digest, target, mode="link")

        assert target.read_bytes() == b"far away"
        assert target.stat().st_mode & 0o222 == 0


def test_many_threads_make_one_cached_file(folder_store: ObjectStore) -> None:
    digest = folder_store.put(noise(2 * WHOLE_BYTES))
    with ThreadPoolExecutor(8) as pool:
        paths = set(pool.map(lambda _: folder_store.cached_path(digest), range(16)))

    assert len(paths) == 1
    assert paths.pop().read_bytes() == noise(2 * WHOLE_BYTES)

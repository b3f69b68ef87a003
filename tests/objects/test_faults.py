"""Killed in the middle, out of disk, raced: what was acknowledged stays, what was not leaves nothing broken."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from headwater.errors import StorageError
from headwater.objects import ObjectStore, open_store
from tests.objects import putting
from tests.objects.places import Place, make_place, noise

PUTTING = [sys.executable, str(Path(putting.__file__))]


def put_in_process(place: Place, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [*PUTTING, str(place.url), str(place.cache / "cache"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def assert_sound(store: ObjectStore, kept: str) -> None:
    """What was there before is whole, nothing verifies as damaged, and the same objects can be put now."""
    assert store.get(kept) == b"acknowledged before"
    assert [finding for finding in store.verify() if finding.severity == "error"] == []
    content = putting.content()[:300]
    with store.batch() as batch:
        digests = [batch.put(each) for each in content]
    assert dict(store.get_many(digests)) == dict(zip(digests, content, strict=True))


def test_killed_at_any_point_of_a_batch_the_store_is_sound(tmp_path: Path) -> None:
    first = Place("folder", tmp_path / "first", tmp_path / "first-cache")
    points = Counter(put_in_process(first, "points").stdout.split())
    assert {"objects.pack.create", "objects.pack.append", "objects.pack.footer", "objects.pack.sync"} < set(points)
    assert {"objects.pack.link", "objects.pack.linked", "objects.pack.sync_directory"} < set(points)
    for name, count in points.items():
        if name.startswith("objects.folder"):
            continue  # those of making the folder: killed there, there is no store yet
        for number in {1, count}:
            place = Place("folder", tmp_path / f"{name}-{number}", tmp_path / f"{name}-{number}-cache")
            kept = place.open().put(b"acknowledged before")
            done = put_in_process(place, "kill", name, str(number))

            assert done.returncode == -9, f"{name} {number}: {done.stderr}"
            assert_sound(place.open("fresh"), kept)
            assert_sound(place.open(), kept)
            place.close()


def test_killed_while_making_the_folder_a_store_can_be_made_there(tmp_path: Path) -> None:
    for number in (1, 2, 3):
        place = Place("folder", tmp_path / f"{number}" / "objects", tmp_path / f"{number}")
        assert put_in_process(place, "kill", "objects.folder.sync_directory", str(number)).returncode == -9

        assert_sound(place.open(), place.open().put(b"acknowledged before"))
        place.close()


def test_what_a_killed_writer_left_is_swept_and_what_a_living_one_writes_is_not(folder_place: Place) -> None:
    store = folder_place.open()
    store.put(b"acknowledged before")
    put_in_process(folder_place, "kill", "objects.pack.footer", "1")
    incoming = Path(folder_place.url) / "incoming"
    (left,) = incoming.iterdir()
    with store.batch() as batch:
        batch.put(noise(5 * 2**20))
        (living,) = set(incoming.iterdir()) - {left}
        long_ago = time.time() - 3600
        for path in (left, living):
            os.utime(path, (long_ago, long_ago))
        folder_place.open("fresh").put(b"something")

        assert list(incoming.iterdir()) == [living]


def test_processes_that_put_the_same_objects_at_once_all_succeed(tmp_path: Path) -> None:
    place = Place("folder", tmp_path / "objects", tmp_path)
    caches = ["shared", "shared", "own"]
    racers = [
        subprocess.Popen(
            [*PUTTING, str(place.url), str(tmp_path / cache), "race"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for cache in caches
    ]
    for racer in racers:
        assert racer.stdout is not None
        assert racer.stdout.readline() == "ready\n"
    answers = []
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("go\n")
        racer.stdin.flush()
    for racer in racers:
        out, _ = racer.communicate(timeout=120)
        assert racer.returncode == 0
        answers.append(out.split())

    store = place.open("fresh")
    assert answers[0] == answers[1] == answers[2]
    assert store.missing(answers[0]) == []
    assert list(store.verify()) == []
    # Whoever did not yet see another's objects made the same packs, or others with the same objects.
    assert 2 <= len(place.packs()) <= 6
    place.close()


def test_a_file_that_may_not_grow_is_an_error_that_loses_nothing(folder_place: Place) -> None:
    kept = folder_place.open().put(b"acknowledged before")
    done = put_in_process(folder_place, "full", str(3 * 2**20))

    assert "could not write" in done.stdout, done.stderr
    assert "Nothing acknowledged is lost" in done.stdout
    assert list((Path(folder_place.url) / "incoming").iterdir()) == []
    assert len(folder_place.packs()) == 1
    assert_sound(folder_place.open("fresh"), kept)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", folder], capture_output=True, check=False)
    if made.returncode:
        pytest.skip("mounting a file system needs root; RLIMIT_FSIZE is tested above")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_full_disk_is_an_error_that_loses_nothing(small_disk: Path, tmp_path: Path) -> None:
    with open_store(small_disk / "objects", cache=tmp_path / "cache") as store:
        kept = store.put(b"acknowledged before")
        with pytest.raises(StorageError, match="the disk is full"):
            store.put(noise(20 * 2**20))

        # The space is free again, and the store goes on.
        assert list((small_disk / "objects" / "incoming").iterdir()) == []
        assert store.get(kept) == b"acknowledged before"
        assert store.get(store.put(noise(5 * 2**20))) == noise(5 * 2**20)
        assert list(store.verify()) == []


def test_a_full_disk_under_the_cache_is_an_error_that_loses_nothing(small_disk: Path, tmp_path: Path) -> None:
    place = Place("folder", tmp_path / "objects", small_disk)
    store = place.open()
    kept = store.put(noise(20 * 2**20))
    with pytest.raises(StorageError, match="the disk is full"):
        store.cached_path(kept)
    assert list((small_disk / "cache" / "making").iterdir()) == []
    (small_disk / "filler").write_bytes(bytes(8 * 2**20 - 200_000 - used(small_disk)))
    with pytest.raises(StorageError, match="index"), store.batch() as batch:
        digests = [batch.put(noise(100, number)) for number in range(20_000)]
    (small_disk / "filler").unlink()

    assert store.missing(digests) == []  # durable already, and found once there is room
    assert list(store.verify()) == []
    place.close()


def used(folder: Path) -> int:
    status = os.statvfs(folder)
    return (status.f_blocks - status.f_bfree) * status.f_frsize


def test_a_store_that_does_not_answer_says_so(tmp_path: Path) -> None:
    credentials = {"endpoint": "http://127.0.0.1:9", "access_key": "a", "secret_key": "b", "region": "us-east-1"}
    with (
        open_store("s3://nobody/there", cache=tmp_path, credentials=credentials) as store,
        pytest.raises(StorageError, match="Check that the store is up"),
    ):
        store.put(b"unheard")


def test_wrong_keys_are_told_at_once(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    place = make_place("s3", tmp_path, request)
    wrong = (place.credentials or {}) | {"secret_key": "wrong"}
    with (
        open_store(place.url, cache=tmp_path / "other", credentials=wrong) as store,
        pytest.raises(StorageError, match="keys are right"),
    ):
        store.put(b"refused")

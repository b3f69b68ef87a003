"""Killed anywhere while it publishes to a bucket, a writer has lost nothing that it acknowledged."""

from __future__ import annotations

import json
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from headwater.check import publish_files
from headwater.lake import find_head, iter_files, read_bytes
from headwater.project import LocalProject, create_project, open_project
from headwater.trace import verify
from tests.lake import publishing_killed
from tests.servers.s3 import S3Place

WRITER = [sys.executable, str(Path(publishing_killed.__file__))]
LARGE = 20 * 2**20  # sent in parts


def made(folder: Path, s3: S3Place, name: str) -> Path:
    """Make a project of its own in the bucket, whose settings hold the keys."""
    root = folder / name
    root.mkdir()
    (root / "headwater.toml").write_text(
        f'[project]\nname = "{name}"\n\n[stores]\nobjects = "s3://{s3.bucket}/{s3.prefix}/{name}"\n\n'
        f'[stores.s3]\nendpoint = "{s3.endpoint}"\naccess_key = "{s3.access_key}"\nsecret_key = "{s3.secret_key}"\n'
        'region = "us-east-1"\n'
    )
    create_project(root, actor="ann").close()
    return root


@pytest.fixture
def files(tmp_path: Path) -> Path:
    folder = tmp_path / "files"
    folder.mkdir()
    for name, content in (("1-small", b"small"), ("2-large", random.Random(1).randbytes(LARGE)), ("3-last", b"last")):
        (folder / name).write_bytes(content)
    return folder


def assert_nothing_lost(root: Path, files: Path, acknowledged: str) -> None:
    told = [json.loads(line) for line in acknowledged.splitlines(keepends=True) if line.endswith("\n")]
    shutil.rmtree(root / ".headwater" / "cache", ignore_errors=True)  # another machine has none either
    with open_project(root, actor="ann") as project:
        assert isinstance(project, LocalProject)
        head = find_head(project, "d")
        assert (head.number if head else 0) >= len(told)
        for said in told:
            assert read_bytes(project, f"d@v{said['number']}", said["file"]) == (files / said["file"]).read_bytes()
        assert [each.message for each in verify(project) if each.severity == "error"] == []
        for file in files.iterdir():
            assert publish_files(project, "d", file).published
        assert {entry.path for entry in iter_files(project, "d")} == {file.name for file in files.iterdir()}


def test_a_writer_killed_at_the_crash_points_has_lost_nothing(tmp_path: Path, files: Path, s3: S3Place) -> None:
    whole = subprocess.run(
        [*WRITER, made(tmp_path, s3, "whole"), files, "points", "0"], capture_output=True, text=True, check=True
    )
    points = json.loads(whole.stdout.splitlines()[-1])
    names = {"objects.pack.upload", "objects.pack.uploaded", "lake.commit.durable", "ledger.commit", "ledger.committed"}
    assert names <= set(points)

    for name in sorted(names):
        number = (points.count(name) + 1) // 2
        root = made(tmp_path, s3, name)
        done = subprocess.run([*WRITER, root, files, name, str(number)], capture_output=True, text=True, check=False)

        assert done.returncode == -signal.SIGKILL, done.stderr
        assert_nothing_lost(root, files, done.stdout)


@pytest.mark.long
def test_a_writer_killed_at_random_moments_has_lost_nothing(tmp_path: Path, files: Path, s3: S3Place) -> None:
    chance = random.Random(time.time_ns())
    killed = 0
    for number in range(25):
        root = made(tmp_path, s3, f"random-{number}")
        with subprocess.Popen([*WRITER, root, files, "none", "0"], stdout=subprocess.PIPE, text=True) as writer:
            time.sleep(chance.uniform(0.4, 2.5))
            writer.kill()
            told, _ = writer.communicate()
        killed += writer.returncode != 0
        assert_nothing_lost(root, files, told)

    assert killed > 5


def test_an_answer_before_the_commit_is_found(tmp_path: Path, files: Path, s3: S3Place) -> None:
    root = made(tmp_path, s3, "early")
    done = subprocess.run([*WRITER, root, files, "ledger.commit", "1"], capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL

    with pytest.raises(AssertionError):
        assert_nothing_lost(root, files, done.stdout + '{"number": 1, "file": "1-small"}\n')

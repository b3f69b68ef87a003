"""The 20,000 small files committed straight to a bucket, beside what dvc needs to push the same files to it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from bench.process import run
from bench.setting import HW, Setting
from bench.values import Comparison, Contender, Goal, MeasureError, Quantity, Sample

from .small_files import FILES, make_files, new_dvc

SENT = "20,000 small files into a bucket"
PUSH = "dvc push"


@contextmanager
def small_files_s3(setting: Setting) -> Iterator[list[Comparison]]:
    """Yield the comparison: `hw data add` in a project whose objects are in a bucket, and `dvc push` after its add.

    The bucket is SeaweedFS on this machine. What dvc does before it pushes (hashing, its own cache) is not counted,
    though it is in ours.
    """
    from tests.servers import process, s3

    count = setting.much(FILES)
    source = setting.place / "small-s3" / "data"
    make_files(source, count)
    server_folder = setting.place / "small-s3" / "server"
    server_folder.mkdir()
    server, place = s3.start(server_folder)
    try:
        contenders = (
            Contender("hw data add", "us", lambda folder: _ours(folder, source, place, count)),
            setting.peer(PUSH, "dvc-s3", "dvc", lambda dvc: lambda folder: _dvc(folder, source, place, dvc, count)),
        )
        yield [Comparison("small files on S3", (Quantity(SENT, "s", "lower", Goal(0.05, PUSH)),), contenders)]
    finally:
        process.stop(server)


def _ours(folder: Path, source: Path, place: Mapping[str, str], count: int) -> dict[str, Sample]:
    project = folder / "bench"
    project.mkdir()
    # A prefix of its own in each round: what an earlier one sent is not there.
    (project / "headwater.toml").write_text(
        f'[project]\nname = "bench"\n\n[stores]\nobjects = "s3://{place["bucket"]}/{folder.name}"\n\n'
        f'[stores.s3]\nendpoint = "{place["endpoint"]}"\naccess_key = "{place["access_key"]}"\n'
        f'secret_key = "{place["secret_key"]}"\nregion = "us-east-1"\n'
    )
    run([HW, "init", "."], project)
    os.sync()
    done = run([HW, "data", "add", "small", source], project)
    if f"{count:,} files" not in done.output:
        raise MeasureError(f"hw data add did not say that it added {count:,} files: {done.output[-200:]}")
    shutil.rmtree(project / ".headwater" / "cache")
    back = run([HW, "data", "show", "small", "--limit", "1"], project)
    if f"{count:,} files" not in back.output:
        raise MeasureError("the bucket alone does not give the version back")
    return {SENT: Sample(done.wall_s, done.cpu_s)}


def _dvc(folder: Path, source: Path, place: Mapping[str, str], dvc: Path, count: int) -> dict[str, Sample]:
    new_dvc(folder, source, dvc)
    run([dvc, "remote", "add", "-q", "-d", "bucket", f"s3://{place['bucket']}/{folder.name}"], folder)
    for key, value in (
        ("endpointurl", place["endpoint"]),
        ("access_key_id", place["access_key"]),
        ("secret_access_key", place["secret_key"]),
        ("region", "us-east-1"),
    ):
        run([dvc, "remote", "modify", "-q", "bucket", key, value], folder)
    run([dvc, "add", "-q", "data"], folder)
    os.sync()
    done = run([dvc, "push"], folder, limit_s=1800)
    if f"{count + 1} files pushed" not in done.output:
        raise MeasureError(f"dvc push did not say that it pushed {count + 1} files: {done.output[-200:]}")
    return {SENT: Sample(done.wall_s, done.cpu_s)}

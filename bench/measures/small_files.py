"""Committing 20,000 files of 1 to 8 KiB (88 MiB, in 100 folders) to an empty store."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.process import run
from bench.setting import HW, PROGRAMS, PYTHON, Setting, new_project
from bench.values import Comparison, Contender, Go, Goal, MeasureError, Quantity, Sample

FILES = 20_000
WALL = "commit 20,000 small files"


@contextmanager
def small_files(setting: Setting) -> Iterator[list[Comparison]]:
    """Yield the comparison: `hw data add` in a fresh project, a plain pack, `git add`, `dvc add`."""
    count = setting.much(FILES)
    source = setting.place / "small" / "data"
    make_files(source, count)
    contenders = (
        Contender("hw data add", "us", lambda folder: _ours(folder, source, count)),
        Contender("plain pack, synced", "floor", _pack(source, count, "--sync")),
        Contender("plain pack, not synced", "floor", _pack(source, count)),
        Contender("git add (not synced)", "peer", lambda folder: _git(folder, source)),
        setting.peer("dvc add (not synced)", "dvc", "dvc", lambda dvc: lambda folder: _dvc(folder, source, dvc)),
    )
    yield [Comparison("small files", (Quantity(WALL, "s", "lower", Goal(1.5)),), contenders)]


def make_files(folder: Path, count: int, seed: int = 7) -> None:
    """Write the files; the same seed gives the same bytes."""
    generator = random.Random(seed)
    for number in range(count):
        path = folder / f"d{number % 100:02d}" / f"f{number:06d}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(generator.randbytes(generator.randint(1024, 8192)))


def _ours(folder: Path, source: Path, count: int) -> dict[str, Sample]:
    project = new_project(folder)
    done = run([HW, "data", "add", "small", source], project)
    if f"{count:,} files" not in done.output and f"{count} files" not in done.output:
        raise MeasureError(f"hw data add did not say that it added {count:,} files: {done.output[-200:]}")
    return {WALL: Sample(done.wall_s, done.cpu_s)}


def _pack(source: Path, count: int, *options: str) -> Go:
    def go(folder: Path) -> dict[str, Sample]:
        done = run([PYTHON, PROGRAMS / "pack.py", source, folder / "pack", *options], folder)
        if done.output.strip() != str(count):
            raise MeasureError(f"the pack holds {done.output.strip()} files of {count}")
        return {WALL: Sample(done.wall_s, done.cpu_s)}

    return go


def _git(folder: Path, source: Path) -> dict[str, Sample]:
    # The work tree is where the files lie already, so that nobody pays for a copy of them.
    git = ["git", "--git-dir", str(folder / "store.git"), "--work-tree", str(source.parent)]
    run([*git, "init", "-q"], folder)
    done = run([*git, "add", str(source)], folder)
    return {WALL: Sample(done.wall_s, done.cpu_s)}


def _dvc(folder: Path, source: Path, dvc: Path) -> dict[str, Sample]:
    run(["git", "init", "-q", "."], folder)
    run([dvc, "init", "-q"], folder)
    run([dvc, "config", "core.check_update", "false"], folder)
    run([dvc, "config", "core.site_cache_dir", folder / "site"], folder)
    run(["cp", "-r", source, folder / "data"], folder)  # dvc adds only what lies in its own folder
    done = run([dvc, "add", "-q", "data"], folder)
    return {WALL: Sample(done.wall_s, done.cpu_s)}

"""20,000 files of 1 to 8 KiB (88 MiB, in 100 folders): committed, looked at, changed, committed again, brought back."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.process import Finished, run
from bench.setting import HW, PROGRAMS, PYTHON, Setting, new_project
from bench.values import Comparison, Contender, Go, Goal, MeasureError, Quantity, Sample

FILES = 20_000
CHANGED_SHARE = 0.01
COMMIT = "commit 20,000 small files"
CLEAN = "status, nothing changed"
STATUS = "status, 1 % changed"
AGAIN = "commit again, 1 % changed"
DIFF = "diff of the two versions"
BACK = "first version back in place, 1 % differs"

QUANTITIES = (
    Quantity(COMMIT, "s", "lower", Goal(1.1)),
    Quantity(CLEAN, "s", "lower", Goal(0.15)),
    Quantity(STATUS, "s", "lower", Goal(0.15)),
    Quantity(AGAIN, "s", "lower", Goal(0.3)),
    Quantity(DIFF, "s", "lower", Goal(0.1)),
    Quantity(BACK, "s", "lower", Goal(0.3)),
)

Run = Callable[..., Finished]


@contextmanager
def small_files(setting: Setting) -> Iterator[list[Comparison]]:
    """Yield the comparison: the same six commands of `hw data`, git and dvc, and the floors of two of them."""
    count = setting.much(FILES)
    source, changed = setting.place / "small" / "data", setting.place / "small" / "changed"
    make_files(source, count)
    change_files(changed, count)
    contenders = (
        Contender("hw data", "us", lambda folder: _ours(folder, source, changed, count)),
        Contender("plain pack, synced", "floor", _pack(source, count, "--sync")),
        Contender("plain pack, not synced", "floor", _pack(source, count)),
        Contender("walk and stat", "floor", lambda folder: _walk(folder, source)),
        Contender("git (not synced)", "peer", lambda folder: _git(folder, source, changed)),
        setting.peer("dvc (not synced)", "dvc", "dvc", lambda dvc: lambda folder: _dvc(folder, source, changed, dvc)),
    )
    yield [Comparison("small files", QUANTITIES, contenders)]


def make_files(folder: Path, count: int, seed: int = 7) -> None:
    """Write the files; the same seed gives the same bytes."""
    generator = random.Random(seed)
    for number in range(count):
        _write(folder, number, generator)


def change_files(folder: Path, count: int, seed: int = 8) -> None:
    """Write other bytes for 1 % of the files into a folder of their own, at the same paths."""
    generator = random.Random(seed)
    for number in generator.sample(range(count), max(1, round(count * CHANGED_SHARE))):
        _write(folder, number, generator)


def _write(folder: Path, number: int, generator: random.Random) -> None:
    path = folder / f"d{number % 100:02d}" / f"f{number:06d}.bin"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(generator.randbytes(generator.randint(1024, 8192)))


def _timed(samples: dict[str, Sample], name: str, command: list[str | Path], folder: Path, code: int = 0) -> Finished:
    """Run a command when the disk is quiet, and note what it took."""
    os.sync()
    done = run(command, folder, expected=code)
    samples[name] = Sample(done.wall_s, done.cpu_s)
    return done


def _expect(done: Finished, text: str, what: str) -> None:
    if text not in done.output:
        raise MeasureError(f"{what} did not say '{text}': {done.output[-200:]}")


def _ours(folder: Path, source: Path, changed: Path, count: int) -> dict[str, Sample]:
    project, data = new_project(folder), folder / "data"
    shutil.copytree(source, data)
    few = len(list(changed.rglob("*.bin")))
    samples: dict[str, Sample] = {}
    done = _timed(samples, COMMIT, [HW, "data", "add", "small", data], project)
    _expect(done, f"{count:,} files", "hw data add")
    done = _timed(samples, CLEAN, [HW, "data", "status", data], project)
    _expect(done, "nothing changed", "hw data status")
    run(["cp", "-r", f"{changed}/.", data], folder)
    done = _timed(samples, STATUS, [HW, "data", "status", data], project, code=1)
    _expect(done, f" {few:,} changed", "hw data status")
    _timed(samples, AGAIN, [HW, "data", "add", "small", data], project)
    done = _timed(samples, DIFF, [HW, "data", "diff", "small@v1", "small@v2"], project)
    _expect(done, f" {few} changed", "hw data diff")
    done = _timed(samples, BACK, [HW, "data", "checkout", "small@v1", data], project)
    _expect(done, f"{few:,} files written", "hw data checkout")
    return samples


def _pack(source: Path, count: int, *options: str) -> Go:
    def go(folder: Path) -> dict[str, Sample]:
        done = run([PYTHON, PROGRAMS / "pack.py", source, folder / "pack", *options], folder)
        if done.output.strip() != str(count):
            raise MeasureError(f"the pack holds {done.output.strip()} files of {count}")
        return {COMMIT: Sample(done.wall_s, done.cpu_s)}

    return go


def _walk(folder: Path, source: Path) -> dict[str, Sample]:
    program = (
        "import os, sys\n"
        "for at, _, names in os.walk(sys.argv[1]):\n"
        "    for name in names:\n"
        "        os.stat(os.path.join(at, name))\n"
    )
    done = run([PYTHON, "-c", program, source], folder)
    return {CLEAN: Sample(done.wall_s, done.cpu_s)}


def _git(folder: Path, source: Path, changed: Path) -> dict[str, Sample]:
    samples: dict[str, Sample] = {}
    run(["git", "init", "-q", "."], folder)
    shutil.copytree(source, folder / "data")
    _timed(samples, COMMIT, ["git", "add", "data"], folder)
    run(["git", "commit", "-qm", "1"], folder)
    _timed(samples, CLEAN, ["git", "status", "--short", "data"], folder)
    run(["cp", "-r", f"{changed}/.", folder / "data"], folder)
    _timed(samples, STATUS, ["git", "status", "--short", "data"], folder)
    _timed(samples, AGAIN, ["git", "add", "data"], folder)
    run(["git", "commit", "-qm", "2"], folder)
    _timed(samples, DIFF, ["git", "diff", "--name-only", "HEAD~1", "HEAD"], folder)
    _timed(samples, BACK, ["git", "checkout", "-q", "HEAD~1"], folder)
    return samples


def new_dvc(folder: Path, source: Path, dvc: Path) -> Path:
    """Make a git repository with dvc in a folder, and the files in it, which dvc needs there; return them."""
    run(["git", "init", "-q", "."], folder)
    run([dvc, "init", "-q"], folder)
    run([dvc, "config", "core.check_update", "false"], folder)
    run([dvc, "config", "core.analytics", "false"], folder)
    run([dvc, "config", "core.site_cache_dir", folder / "site"], folder)
    shutil.copytree(source, folder / "data")
    return folder / "data"


def _dvc(folder: Path, source: Path, changed: Path, dvc: Path) -> dict[str, Sample]:
    data = new_dvc(folder, source, dvc)
    samples: dict[str, Sample] = {}
    tracked: list[str | Path] = ["git", "add", "data.dvc", ".gitignore", ".dvc"]
    _timed(samples, COMMIT, [dvc, "add", "-q", "data"], folder)
    run(tracked, folder)
    run(["git", "commit", "-qm", "1"], folder)
    _timed(samples, CLEAN, [dvc, "data", "status"], folder)
    run(["cp", "-r", f"{changed}/.", data], folder)
    _timed(samples, STATUS, [dvc, "data", "status"], folder)
    _timed(samples, AGAIN, [dvc, "add", "-q", "data"], folder)
    run(tracked, folder)
    run(["git", "commit", "-qm", "2"], folder)
    _timed(samples, DIFF, [dvc, "diff", "HEAD~1", "HEAD"], folder)
    run(["git", "checkout", "-q", "HEAD~1"], folder)
    _timed(samples, BACK, [dvc, "checkout", "-q"], folder)
    return samples

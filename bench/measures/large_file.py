"""One file of 2 GiB: committing it, and what the store grows by when a little of it changes."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.process import run
from bench.setting import HW, PROGRAMS, PYTHON, Setting, new_project
from bench.values import Comparison, Contender, Go, Goal, MeasureError, Quantity, Sample

MIB = 2**20
SIZE_MIB = 2048
CHANGED_SHARE = 0.01
COMMIT = "commit a file of 2 GiB"
AGAIN = "commit it again, 1 % changed in place"
CHANGED = "the store grows by, 1 % (20 MiB) changed in place"
INSERTED = "the store grows by, 1 KiB inserted at the front"
SYNCED = "blake3 + copy, synced"


@contextmanager
def large_file(setting: Setting) -> Iterator[list[Comparison]]:
    """Yield two comparisons: the time to commit, and the growth; `hw data add`, a plain copy with its digest, dvc."""
    size = setting.much(SIZE_MIB) * MIB
    files = [setting.place / "large" / name / "big.bin" for name in ("first", "changed", "inserted")]
    make_files(files, size)
    whole = files[0]
    yield [
        Comparison(
            "large file",
            (Quantity(COMMIT, "s", "lower", Goal(1.3, of=SYNCED)), Quantity(AGAIN, "s", "lower")),
            (
                Contender("hw data add", "us", lambda folder: _ours(folder, files[:2])),
                Contender(SYNCED, "floor", _copy(whole, "--sync")),
                Contender("blake3 + copy, not synced", "floor", _copy(whole)),
                setting.peer(
                    "dvc add (not synced)", "dvc", "dvc", lambda dvc: lambda folder: _dvc(folder, files[:2], dvc)
                ),
            ),
        ),
        Comparison(
            "large file, growth",
            (Quantity(CHANGED, "MiB", "lower", Goal(30)), Quantity(INSERTED, "MiB", "lower", Goal(30))),
            (
                Contender("hw data add", "us", lambda folder: _our_growth(folder, files)),
                setting.peer("dvc add", "dvc", "dvc", lambda dvc: lambda folder: _dvc_growth(folder, files, dvc)),
            ),
            once=True,
        ),
    ]


def make_files(files: list[Path], size: int, seed: int = 7) -> None:
    """Write the file, the same with one hundredth of it changed in the middle, and with 1 KiB before it."""
    for file in files:
        file.parent.mkdir(parents=True)
    chance = random.Random(seed)
    start, length = size // 2, int(size * CHANGED_SHARE)
    with files[0].open("wb") as first, files[1].open("wb") as changed, files[2].open("wb") as inserted:
        inserted.write(chance.randbytes(1024))
        for at in range(0, size, MIB):
            block = chance.randbytes(min(MIB, size - at))
            first.write(block)
            inserted.write(block)
            low, high = max(start - at, 0), min(start + length - at, len(block))
            changed.write(block[:low] + chance.randbytes(high - low) + block[high:] if low < high else block)


def _ours(folder: Path, files: list[Path]) -> dict[str, Sample]:
    project = new_project(folder)
    done = [run([HW, "data", "add", "large", file], project) for file in files]
    for number, each in enumerate(done, 1):
        if f"points to v{number}" not in each.output:
            raise MeasureError(f"hw data add did not say that it made v{number}: {each.output[-200:]}")
    return {name: Sample(each.wall_s, each.cpu_s) for name, each in zip((COMMIT, AGAIN), done, strict=True)}


def _our_growth(folder: Path, files: list[Path]) -> dict[str, Sample]:
    project = new_project(folder)
    store = project / ".headwater" / "objects"
    return _growth(store, files, lambda file: run([HW, "data", "add", "large", file], project))


def _growth(store: Path, files: list[Path], add: Callable[[Path], object]) -> dict[str, Sample]:
    """Return by how much a store grows with the second file and with the third."""
    held = []
    for file in files:
        add(file)
        held.append(used_mib(store))
    return {CHANGED: Sample(held[1] - held[0]), INSERTED: Sample(held[2] - held[1])}


def used_mib(folder: Path) -> float:
    """Return the bytes of the files below a folder, in MiB."""
    return (
        sum(os.path.getsize(os.path.join(place, name)) for place, _, names in os.walk(folder) for name in names) / MIB
    )


def _copy(source: Path, *options: str) -> Go:
    def go(folder: Path) -> dict[str, Sample]:
        done = run([PYTHON, PROGRAMS / "copy_file.py", source, folder / "copy", *options], folder)
        return {COMMIT: Sample(done.wall_s, done.cpu_s)}

    return go


def _dvc_project(folder: Path, dvc: Path) -> None:
    run(["git", "init", "-q", "."], folder)
    run([dvc, "init", "-q"], folder)
    run([dvc, "config", "core.check_update", "false"], folder)
    run([dvc, "config", "core.site_cache_dir", folder / "site"], folder)


def _dvc_add(folder: Path, file: Path, dvc: Path) -> Sample:
    run(["cp", "--remove-destination", file, folder / "big.bin"], folder)  # dvc adds only what lies in its own folder
    os.sync()
    done = run([dvc, "add", "-q", "big.bin"], folder)
    return Sample(done.wall_s, done.cpu_s)


def _dvc(folder: Path, files: list[Path], dvc: Path) -> dict[str, Sample]:
    _dvc_project(folder, dvc)
    return {name: _dvc_add(folder, file, dvc) for name, file in zip((COMMIT, AGAIN), files, strict=True)}


def _dvc_growth(folder: Path, files: list[Path], dvc: Path) -> dict[str, Sample]:
    _dvc_project(folder, dvc)
    return _growth(folder / ".dvc" / "cache", files, lambda file: _dvc_add(folder, file, dvc))

"""A slow digest of each of 10,000 files by a flow, and again when a new version adds 1 % of files.

DVC's stages are written down beforehand: one stage over the folder computes all files again; one stage for each file
computes only the new ones, and is measured with as many stages as it takes in a reasonable time.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.process import Finished, run
from bench.setting import HW, PROGRAMS, PYTHON, Setting, new_project
from bench.values import Comparison, Contender, Goal, MeasureError, Quantity, Sample

from .small_files import make_files

FILES = 10_000
STAGES = 100
FULL = "every file of the first version"
MORE = "1 % of files more"
SHARE = "1 % more, of the time for all"

OURS = """\
import hashlib

import headwater as hw


@hw.step
def digest(file):
    return hashlib.pbkdf2_hmac("sha256", file.read_bytes(), b"incremental", 6000).hex()


@hw.step
def together(digests: list[str]) -> str:
    return hashlib.sha256("".join(digests).encode()).hexdigest()


@hw.flow
def every() -> str:
    return together(digest.map(hw.data.files("files@main")))
"""


@contextmanager
def incremental(setting: Setting) -> Iterator[list[Comparison]]:
    """Yield two comparisons: 10,000 files by one flow, one DVC stage and a plain program; 100 files by 100 stages."""
    quantities = (
        Quantity(FULL, "s", "lower"),
        Quantity(MORE, "s", "lower"),
        Quantity(SHARE, "%", "lower", Goal(5.0)),
    )
    comparisons = []
    for name, count in (("incremental", setting.much(FILES)), ("incremental, a stage a file", STAGES)):
        source, more = setting.place / name / "data", setting.place / name / "more"
        make_files(source, count)
        make_files(more, max(1, count // 100), seed=9)
        stages = name != "incremental"
        contenders = (
            Contender("hw run", "us", _go(_ours, source, more)),
            Contender("two processes, a synced table of digests", "floor", _go(_floor, source, more)),
            setting.peer(
                "dvc repro, a stage a file" if stages else "dvc repro, one stage",
                "dvc",
                "dvc",
                lambda dvc, s=source, m=more, each=stages: _go(  # type: ignore[misc]
                    lambda folder, a, b: _dvc(folder, a, b, dvc, each), s, m
                ),
            ),
        )
        goals = quantities if not stages else tuple(Quantity(q.name, q.unit, q.better) for q in quantities)
        comparisons.append(Comparison(name, goals, contenders))
    yield comparisons


def _go(
    work: Callable[[Path, Path, Path], tuple[Finished, Finished]], source: Path, more: Path
) -> Callable[[Path], dict[str, Sample]]:
    def go(folder: Path) -> dict[str, Sample]:
        first, second = work(folder, source, more)
        return {
            FULL: Sample(first.wall_s, first.cpu_s),
            MORE: Sample(second.wall_s, second.cpu_s),
            SHARE: Sample(100 * second.wall_s / first.wall_s),
        }

    return go


def _ours(folder: Path, source: Path, more: Path) -> tuple[Finished, Finished]:
    project = new_project(folder)
    (project / "flows.py").write_text(OURS)
    taken = []
    for given, under in ((source, "first"), (more, "more")):
        run([HW, "data", "add", "files", given, "--under", under], project)
        done = run([HW, "run", "every"], project)
        new = sum(path.is_file() for path in given.rglob("*")) + 1
        if f"{new} steps executed" not in done.output:
            raise MeasureError(f"hw run did not execute {new} steps: {done.output[-200:]}")
        taken.append(done)
    return taken[0], taken[1]


def _floor(folder: Path, source: Path, more: Path) -> tuple[Finished, Finished]:
    program: list[str | Path] = [PYTHON, PROGRAMS / "digest_files.py", "new"]
    first = run([*program, source, folder / "out"], folder)
    return first, run([*program, source, more, folder / "out"], folder)


def _dvc(folder: Path, source: Path, more: Path, dvc: Path, stages: bool) -> tuple[Finished, Finished]:
    run(["git", "init", "-q", "."], folder)
    run([dvc, "init", "-q"], folder)
    run([dvc, "config", "core.check_update", "false"], folder)
    run([dvc, "config", "core.site_cache_dir", folder / "site"], folder)
    taken = []
    for given, under in ((source, "first"), (more, "more")):
        shutil.copytree(given, folder / "data" / under)
        (folder / "dvc.yaml").write_text(_stages(folder) if stages else _one_stage())
        taken.append(run([dvc, "repro", "-q"], folder))
    return taken[0], taken[1]


def _one_stage() -> str:
    command = f"{PYTHON} {PROGRAMS / 'digest_files.py'} all data out"
    return json.dumps({"stages": {"every": {"cmd": command, "deps": ["data"], "outs": ["out"]}}})


def _stages(folder: Path) -> str:
    names = sorted(path.relative_to(folder).as_posix() for path in (folder / "data").rglob("*.bin"))
    (folder / "outs").mkdir(exist_ok=True)
    return json.dumps(
        {
            "stages": {
                name.replace("/", "-").removesuffix(".bin"): {
                    "cmd": f"{PYTHON} {PROGRAMS / 'digest_files.py'} one {name} outs/{name.replace('/', '-')}",
                    "deps": [name],
                    "outs": [f"outs/{name.replace('/', '-')}"],
                }
                for name in names
            }
        }
    )

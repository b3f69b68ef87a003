"""Eight processes that commit to one branch of one dataset for a minute, beside one process alone."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench.process import at_once, run
from bench.setting import HW, PROGRAMS, PYTHON, Setting, new_project
from bench.values import Comparison, Contender, Goal, MeasureError, Quantity, Sample

WRITERS = 8
SECONDS = 60
ALONE = "one process"
COMMITS = "commits to one dataset"


@contextmanager
def writers(setting: Setting) -> Iterator[list[Comparison]]:
    """Yield the comparison: published versions a second, each with one new file; a lost one fails the row."""
    seconds = setting.much(SECONDS)
    yield [
        Comparison(
            "writers",
            (Quantity(COMMITS, "/s", "higher", Goal(0.7, of=ALONE), cpu_unit="s each"),),
            (
                Contender(f"{WRITERS} processes", "us", lambda folder: _publishing(folder, WRITERS, seconds)),
                Contender(ALONE, "floor", lambda folder: _publishing(folder, 1, seconds)),
            ),
            once=True,
        )
    ]


def _publishing(folder: Path, count: int, seconds: int) -> dict[str, Sample]:
    project = new_project(folder)
    published, cpu_s = _told(project, count, seconds)
    kept = json.loads(run([HW, "data", "show", "shared", "--json"], project).output)
    files = kept["version"]["files"] if "version" in kept else kept["files"]
    if files != published:
        raise MeasureError(f"{published} commits were acknowledged, and the branch has {files} files")
    return {COMMITS: Sample(published / seconds, cpu_s / max(published, 1))}


def _told(project: Path, count: int, seconds: int) -> tuple[int, float]:
    """Let processes publish at once; return how many commits they were told of, and the CPU seconds of all."""
    program = PROGRAMS / "publish_alone.py"
    commands: list[Sequence[str | Path]] = [
        (PYTHON, program, project, f"writer-{number}", str(seconds)) for number in range(count)
    ]
    told = [json.loads(said) for said in at_once(commands, project, seconds + 300)]
    return sum(each["published"] for each in told), sum(each["cpu_s"] for each in told)

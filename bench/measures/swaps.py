"""Releases and rollbacks while clients ask: no answer may fail, and none may be by two versions."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.process import run
from bench.setting import PROGRAMS, PYTHON, Setting, new_project
from bench.values import Comparison, Contender, Goal, MeasureError, Quantity, Sample

SWAPS = 10_000
CONNECTIONS = 4
WRONG = Quantity("answers that failed or were mixed", "", "lower", Goal(0.0))
RATE = Quantity("swaps", "/s", "higher")
ANSWERED = Quantity("from the command until it answers, 99 of 100 within", "ms", "lower", Goal(1000.0))


@contextmanager
def swaps(setting: Setting) -> Iterator[list[Comparison]]:
    """Yield the swaps, released and rolled back in turn, with clients that check every answer."""
    count = setting.much(SWAPS)
    yield [
        Comparison(
            f"{count:,} releases and rollbacks under load",
            (WRONG, RATE, ANSWERED),
            (Contender(f"{CONNECTIONS} connections", "us", lambda folder: _swapped(folder, count)),),
            once=True,
        )
    ]


def _swapped(folder: Path, count: int) -> dict[str, Sample]:
    project = new_project(folder)
    done = run([PYTHON, PROGRAMS / "swap.py", str(count), str(CONNECTIONS)], project, limit_s=3600)
    told = json.loads(done.output.splitlines()[-1])
    if len(told["by"]) != 2 or told["answers"] < count:
        raise MeasureError(f"that was no load: {told['answers']:,} answers during {count:,} swaps, by {told['by']}")
    return {
        WRONG.name: Sample(told["failed"] + told["mixed"]),
        RATE.name: Sample(told["swaps_per_s"], done.cpu_s),
        ANSWERED.name: Sample(told["until_answered_p99_ms"]),
    }

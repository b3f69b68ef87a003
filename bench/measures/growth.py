"""What ten changes cost in a dataset of ten thousand to ten million paths (entries over few objects)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.process import run
from bench.setting import PROGRAMS, PYTHON, Setting, new_project
from bench.values import Comparison, Contender, Goal, Quantity, Sample

GOALS = {"commit": Goal(1), "diff": Goal(0.5), "peak": Goal(300)}


@contextmanager
def growth(setting: Setting) -> Iterator[list[Comparison]]:
    """Yield a comparison per size; each is made once, and each time in it is the median of five."""
    yield [_comparison(setting.much(10**power), f"10^{power} paths") for power in (4, 5, 6, 7)]


def _comparison(paths: int, name: str) -> Comparison:
    quantities = (
        Quantity(f"{name}: commit 10 changes", "s", "lower", GOALS["commit"]),
        Quantity(f"{name}: diff of the two", "s", "lower", GOALS["diff"]),
        Quantity(f"{name}: list a page of 1,000", "s", "lower"),
        Quantity(f"{name}: ranges written", "ranges", "lower"),
        Quantity(f"{name}: bytes written", "KiB", "lower"),
        Quantity(f"{name}: build it, streamed", "s", "lower"),
        Quantity(f"{name}: peak memory of all of it", "MiB", "lower", GOALS["peak"]),
    )

    def ours(folder: Path) -> dict[str, Sample]:
        project = new_project(folder)
        done = run([PYTHON, PROGRAMS / "grow.py", str(paths)], project, limit_s=1800)
        found: dict[str, float] = json.loads(done.output)
        samples = (
            *(Sample(found[f"{act}_s"], found[f"{act}_cpu_s"]) for act in ("commit", "diff", "page")),
            Sample(found["ranges"]),
            Sample(found["bytes"] / 1024),
            Sample(found["built_s"]),
            Sample(found["peak_mib"]),
        )
        return {quantity.name: sample for quantity, sample in zip(quantities, samples, strict=True)}

    return Comparison(f"growth, {name}", quantities, (Contender("headwater", "us", ours),), once=True)

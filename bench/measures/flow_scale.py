"""Flows at scale: trivial steps in their own children, 10,000 through warm processes, 100,000 remembered, Dask."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.process import run
from bench.setting import PROGRAMS, PYTHON, Setting, new_project
from bench.values import Comparison, Contender, Goal, Quantity, Sample

CHILD = "trivial step in its own child, cold"
AGAIN = "trivial step, remembered"
WARM = "10,000 trivial steps through warm processes"
MAP = "100,000 remembered items checked"
MEMORY = "memory of the process that checks them"
FAN = "100 steps at once"
GAIN = "gain of two workers over one"


@contextmanager
def flow_scale(setting: Setting) -> Iterator[list[Comparison]]:
    """Yield the comparisons: our executors, `metaflow run` with a foreach, `ProcessPoolExecutor`."""
    metaflow = setting.peer(
        "metaflow foreach", "metaflow", "python", lambda python: lambda folder: _metaflow(folder, python)
    )
    items = setting.much(100_000)
    yield [
        Comparison(
            "flow-steps",
            (Quantity(CHILD, "ms", "lower", Goal(5), "ms"), Quantity(AGAIN, "ms", "lower", Goal(1), "ms")),
            (Contender("processes", "us", lambda folder: _steps(folder, setting.much(1000))),),
        ),
        Comparison(
            "flow-warm",
            (Quantity(WARM, "s", "lower", Goal(10)),),
            (Contender("--on warm", "us", lambda folder: _warm(folder, setting.much(10_000))),),
        ),
        Comparison(
            "flow-remembered",
            (Quantity(MAP, "s", "lower", Goal(10)), Quantity(MEMORY, "MiB", "lower", Goal(500))),
            (Contender("a map", "us", lambda folder: _remembered(folder, items)),),
            once=True,
        ),
        Comparison(
            "flow-fan-out",
            (Quantity(FAN, "s", "lower", Goal(0.5)),),
            (Contender("processes", "us", _fan_out), metaflow),
        ),
        Comparison(
            "flow-dask",
            (Quantity(GAIN, "x", "higher", Goal(0.9, of="ProcessPoolExecutor")),),
            (
                Contender("ProcessPoolExecutor", "floor", lambda folder: _gain(folder, "plain", setting)),
                Contender("--on dask", "us", lambda folder: _gain(folder, "dask", setting)),
            ),
        ),
    ]


def _go(project: Path, *words: object) -> dict[str, Any]:
    done = run([PYTHON, PROGRAMS / "flow_scale.py", *map(str, words)], project)
    found: dict[str, Any] = json.loads(done.output.strip().splitlines()[-1])
    return found


def _steps(folder: Path, count: int) -> dict[str, Sample]:
    project = new_project(folder)
    cold = _go(project, "wide", count, "processes", 2)
    again = _go(project, "wide", count, "processes", 2)
    assert (cold["executed"], again["remembered"]) == (count, count)
    return {
        CHILD: Sample(cold["wall_s"] / count * 1e3, cold["cpu_s"] / count * 1e3),
        AGAIN: Sample(again["wall_s"] / count * 1e3, again["cpu_s"] / count * 1e3),
    }


def _warm(folder: Path, count: int) -> dict[str, Sample]:
    found = _go(new_project(folder), "wide", count, "warm", 2)
    assert found["executed"] == count
    return {WARM: Sample(found["wall_s"], found["cpu_s"])}


def _remembered(folder: Path, count: int) -> dict[str, Sample]:
    project = new_project(folder)
    _go(project, "wide", count, "threads", 2)
    found = _go(project, "wide", count, "threads", 2)
    assert found["remembered"] == count
    return {MAP: Sample(found["wall_s"], found["cpu_s"]), MEMORY: Sample(found["memory_mib"])}


def _fan_out(folder: Path) -> dict[str, Sample]:
    project = new_project(folder)
    found = _go(project, "wide", 100, "processes", 2)
    return {FAN: Sample(found["wall_s"], found["cpu_s"])}


def _gain(folder: Path, on: str, setting: Setting) -> dict[str, Sample]:
    """Return how much sooner two workers are done than one, from the first step's start to the last one's end."""
    project = new_project(folder)
    work = (setting.much(24), on)
    one, two = (_go(project, "busy", *work, workers, 2_000_000)["steps_s"] for workers in (1, 2))
    return {GAIN: Sample(one / two)}


def _metaflow(folder: Path, python: Path) -> dict[str, Sample]:
    (folder / "wide.py").write_text(
        "from metaflow import FlowSpec, step\n\n\nclass Wide(FlowSpec):\n"
        "    @step\n    def start(self):\n        self.items = list(range(100))\n"
        "        self.next(self.one, foreach='items')\n"
        "    @step\n    def one(self):\n        self.number = self.input + 1\n        self.next(self.join)\n"
        "    @step\n    def join(self, inputs):\n        self.next(self.end)\n"
        "    @step\n    def end(self):\n        pass\n\n\nif __name__ == '__main__':\n    Wide()\n"
    )
    more = {"METAFLOW_DATASTORE_SYSROOT_LOCAL": str(folder / "metaflow")}
    done = run([python, "wide.py", "--quiet", "--no-pylint", "run", "--max-workers", "2"], folder, more)
    return {FAN: Sample(done.wall_s, done.cpu_s)}

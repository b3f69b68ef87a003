"""A flow of ten trivial steps from the shell: all of them run, and then nothing changed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.process import run
from bench.setting import HW, PROGRAMS, PYTHON, Setting, new_project
from bench.values import Comparison, Contender, Goal, MeasureError, Quantity, Sample

COLD = "10 steps, cold"
REMEMBERED = "10 steps, nothing changed"

OURS = """\
import headwater as hw


@hw.step
def add(number: int) -> int:
    return number + 1


@hw.flow
def ten() -> int:
    number = 0
    for _ in range(10):
        number = add(number)
    return number
"""


@contextmanager
def flow(setting: Setting) -> Iterator[list[Comparison]]:
    """Yield the comparison: `hw run`, forked steps with a synced row each, `metaflow run`, `dvc repro`."""
    contenders = (
        Contender("hw run", "us", _ours),
        Contender("10 forks, a synced row each", "floor", _floor),
        setting.peer("metaflow run", "metaflow", "python", lambda python: lambda folder: _metaflow(folder, python)),
        setting.peer("dvc repro", "dvc", "dvc", lambda dvc: lambda folder: _dvc(folder, dvc)),
    )
    quantities = (Quantity(COLD, "s", "lower", Goal(0.3)), Quantity(REMEMBERED, "s", "lower", Goal(0.2)))
    yield [Comparison("flow", quantities, contenders, warm=True)]


def _ours(folder: Path) -> dict[str, Sample]:
    project = new_project(folder)
    (project / "flows.py").write_text(OURS)
    samples = {}
    for name, said in ((COLD, "10 steps executed"), (REMEMBERED, "10 remembered")):
        done = run([HW, "run", "ten"], project)
        if said not in done.output:
            raise MeasureError(f"hw run did not say '{said}': {done.output[-200:]}")
        samples[name] = Sample(done.wall_s, done.cpu_s)
    return samples


def _floor(folder: Path) -> dict[str, Sample]:
    samples = {}
    for name, what in ((COLD, "run"), (REMEMBERED, "read")):
        done = run([PYTHON, PROGRAMS / "steps.py", what, folder / "steps.db"], folder)
        samples[name] = Sample(done.wall_s, done.cpu_s)
    return samples


def _metaflow(folder: Path, python: Path) -> dict[str, Sample]:
    names = ["start", *(f"step{number}" for number in range(8)), "end"]
    lines = ["from metaflow import FlowSpec, step", "", "class Ten(FlowSpec):"]
    for name, following in zip(names, [*names[1:], ""], strict=True):
        then = f"self.next(self.{following})" if following else "pass"
        lines += ["    @step", f"    def {name}(self):", "        self.number = 1", f"        {then}"]
    (folder / "ten.py").write_text("\n".join([*lines, "if __name__ == '__main__':", "    Ten()", ""]))
    more = {"METAFLOW_DATASTORE_SYSROOT_LOCAL": str(folder / "metaflow")}
    done = run([python, "ten.py", "--quiet", "--no-pylint", "run"], folder, more)
    return {COLD: Sample(done.wall_s, done.cpu_s)}  # it runs every step again each time


def _dvc(folder: Path, dvc: Path) -> dict[str, Sample]:
    run(["git", "init", "-q", "."], folder)
    run([dvc, "init", "-q"], folder)
    run([dvc, "config", "core.check_update", "false"], folder)
    run([dvc, "config", "core.site_cache_dir", folder / "site"], folder)
    stages = "".join(
        f"  s{each}:\n    cmd: cp f{each} f{each + 1}\n    deps: [f{each}]\n    outs: [f{each + 1}]\n"
        for each in range(10)
    )
    (folder / "dvc.yaml").write_text(f"stages:\n{stages}")
    (folder / "f0").write_text("0")
    samples = {}
    for name in (COLD, REMEMBERED):
        done = run([dvc, "repro", "-q"], folder)
        samples[name] = Sample(done.wall_s, done.cpu_s)
    return samples

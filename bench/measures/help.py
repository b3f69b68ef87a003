"""A command that touches no data: ``--help``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.process import run
from bench.setting import HW, PYTHON, Setting
from bench.values import Comparison, Contender, Go, Goal, Quantity, Sample

HELP = "help of the command line"


@contextmanager
def command_help(setting: Setting) -> Iterator[list[Comparison]]:
    """Yield the comparison: `hw --help`, `python -c pass`, and the peers' help."""
    contenders = (
        Contender("hw --help", "us", _go(HW, "--help")),
        Contender("python -c pass", "floor", _go(PYTHON, "-c", "pass")),
        setting.peer("dvc --help", "dvc", "dvc", lambda dvc: _go(dvc, "--help")),
        setting.peer("mlflow --help", "mlflow", "mlflow", lambda mlflow: _go(mlflow, "--help")),
    )
    quantity = Quantity(HELP, "ms", "lower", Goal(100), cpu_unit="ms")
    yield [Comparison("help", (quantity,), contenders, warm=True, times=3)]


def _go(program: Path, *words: str) -> Go:
    def go(folder: Path) -> dict[str, Sample]:
        done = run([program, *words], folder)
        return {HELP: Sample(done.wall_s * 1000, done.cpu_s * 1000)}

    return go

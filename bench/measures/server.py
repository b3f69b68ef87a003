"""A server from nothing: until its first answer, and what it holds when nobody asks."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.process import free_port, serving
from bench.servers import Start, floor_server, mlflow_server, our_server
from bench.setting import Setting
from bench.values import Comparison, Contender, Goal, Quantity, Sample

ANSWERS, IDLE = "server: start to first answer", "server: memory when idle (PSS)"
SETTLE_S = 4.0


@contextmanager
def server(setting: Setting) -> Iterator[list[Comparison]]:
    """Yield the comparison: `hw up` in a fresh project, one Starlette route, `mlflow server` with one worker."""
    contenders = (
        Contender("hw up", "us", lambda folder: _go(our_server(folder, free_port()))),
        Contender("one Starlette route on granian", "floor", lambda folder: _go(floor_server(folder, free_port()))),
        setting.peer(
            "mlflow server, 1 worker",
            "mlflow",
            "mlflow",
            lambda mlflow: lambda folder: _go(mlflow_server(mlflow, Path(folder), free_port())),
        ),
    )
    quantities = (Quantity(ANSWERS, "s", "lower", Goal(1.0)), Quantity(IDLE, "MiB", "lower", Goal(150)))
    yield [Comparison("server", quantities, contenders, warm=True)]


def _go(start: Start) -> dict[str, Sample]:
    with serving(*start) as running:
        used = running.cpu_s()
        time.sleep(SETTLE_S)
        return {ANSWERS: Sample(running.started_s, used), IDLE: Sample(running.memory_mib(), running.cpu_s())}

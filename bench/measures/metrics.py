"""Metric points logged to a server by one client: one a call, and a thousand a call."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bench.process import Server, free_port, run, serving
from bench.servers import floor_server, mlflow_server, our_server
from bench.setting import PROGRAMS, PYTHON, Setting
from bench.values import Comparison, Contender, Goal, MeasureError, Quantity, Role, Sample, absent

ONE, MANY = "points logged one by one", "points logged 1,000 at a time"
BATCH = 1000


@contextmanager
def metrics(setting: Setting) -> Iterator[list[Comparison]]:
    """Yield the comparison: `hw up` with our client, a Starlette route with synced SQLite, `mlflow server`."""
    with ExitStack() as servers:

        def contender(
            name: str, role: Role, program: str, find: Callable[[], tuple[Path, Server]], one: int, many: int
        ) -> Contender:
            try:
                python, server = find()
            except MeasureError as error:
                return absent(name, role, str(error))
            return Contender(name, role, lambda folder: _go(folder, python, program, server, one, many))

        def ours() -> tuple[Path, Server]:
            return PYTHON, servers.enter_context(serving(*our_server(setting.place / "metrics-ours", free_port())))

        def floor() -> tuple[Path, Server]:
            return PYTHON, servers.enter_context(serving(*floor_server(setting.place / "metrics-floor", free_port())))

        def mlflow() -> tuple[Path, Server]:
            program = setting.peers.program("mlflow", "mlflow")
            started = serving(*mlflow_server(program, setting.place / "metrics-mlflow", free_port()))
            return program.parent / "python", servers.enter_context(started)

        much = setting.much
        contenders = (
            contender("hw up, its own client", "us", "log_headwater.py", ours, much(2000), much(100)),
            contender("one route, synced SQLite", "floor", "log_floor.py", floor, much(2000), much(100)),
            contender("mlflow server, 1 worker, its client", "peer", "log_mlflow.py", mlflow, much(200), much(10)),
        )
        quantities = (
            Quantity(ONE, "points/s", "higher", Goal(1000), cpu_unit="ms/point"),
            Quantity(MANY, "points/s", "higher", Goal(100_000), cpu_unit="ms/point"),
        )
        yield [Comparison("metrics", quantities, contenders)]


def _go(folder: Path, python: Path, program: str, server: Server, one: int, many: int) -> dict[str, Sample]:
    samples = {}
    for name, calls, batch in ((ONE, one, 1), (MANY, many, BATCH)):
        before = server.cpu_s()
        done = run([python, PROGRAMS / program, server.url, str(calls), str(batch)], folder)
        taken = json.loads(done.output.splitlines()[-1])
        points = calls * batch
        cpu = server.cpu_s() - before + taken["cpu_s"]
        samples[name] = Sample(points / taken["seconds"], cpu / points * 1000)
    return samples

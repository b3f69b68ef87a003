"""One prediction a request over HTTP, ours validated and logged, under 1, 8 and 64 connections of wrk."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bench.load import Load, drive
from bench.process import Server, free_port, run, serving
from bench.servers import floor_server, our_server_in
from bench.setting import HW, PROGRAMS, PYTHON, Setting, new_project
from bench.values import Comparison, Contender, Go, Goal, MeasureError, Quantity, Sample

BARE = "bare Starlette + onnxruntime"
CONNECTIONS = (1, 8, 64)
SECONDS = 5


@contextmanager
def prediction(setting: Setting) -> Iterator[list[Comparison]]:
    """Yield a comparison per number of connections, with both servers up all the while."""
    folder = setting.place / "prediction"
    folder.mkdir(parents=True, exist_ok=True)
    project = new_project(folder)
    run([PYTHON, PROGRAMS / "make_model.py"], project)
    more = {"FLOOR_MODEL": str(project / "model.onnx")}
    with ExitStack() as servers:
        ours = servers.enter_context(serving(*our_server_in(project, free_port(), "serve")))
        starts = floor_server(folder / "floor", free_port(), "predict_app", more)
        floor = servers.enter_context(serving(*starts))
        loads = {
            "us": Load(f"{ours.url}/v1/models/tumour/predict", (project / "ours.json").read_text()),
            "floor": Load(f"{floor.url}/invocations", (project / "floor.json").read_text()),
        }
        seconds = setting.much(SECONDS)
        answered: list[int] = []
        yield [
            Comparison(
                f"prediction, {connections} connection{'s' if connections > 1 else ''}",
                _quantities(connections),
                (
                    Contender("hw serve, logged", "us", _go(ours, loads["us"], connections, seconds, answered)),
                    Contender(BARE, "floor", _go(floor, loads["floor"], connections, seconds, [])),
                ),
                warm=True,
            )
            for connections in CONNECTIONS
        ]
    require_kept(project, answered)


def _quantities(connections: int) -> tuple[Quantity, ...]:
    rate = Quantity(f"predictions, {connections} at once", "/s", "higher", Goal(0.7, of=BARE), cpu_unit="ms/request")
    late = Quantity(f"99 of 100 answered within, {connections} at once", "ms", "lower")
    return rate, late


def require_kept(project: Path, answered: list[int]) -> None:
    """Raise MeasureError unless the project's log holds every prediction that was answered."""
    asked = run([HW, "--json", "sql", "SELECT count(*) AS kept FROM predictions"], project)
    kept = json.loads(asked.output)[0]["kept"]
    if kept < sum(answered):
        raise MeasureError(f"{sum(answered):,} predictions were answered and only {kept:,} are in the log")


def _go(server: Server, load: Load, connections: int, seconds: int, answered: list[int]) -> Go:
    rate, late = _quantities(connections)

    def go(folder: Path) -> dict[str, Sample]:
        before = server.cpu_s()
        driven = drive(load, connections, seconds, folder)
        answered.append(driven.requests)
        cpu = (server.cpu_s() - before) / driven.requests * 1000
        return {rate.name: Sample(driven.rate, cpu), late.name: Sample(driven.p99_ms)}

    return go

"""One prediction a request over HTTP, ours validated and logged, under 1, 8 and 64 connections of wrk.

The peers serve scikit-learn's model as they do by themselves, with one worker; the floor and we serve its ONNX.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from bench.load import Load, drive
from bench.process import Server, free_port, run, serving
from bench.servers import MODEL_SERVERS, fit_for_peer, floor_server, our_server_in
from bench.setting import HW, PROGRAMS, PYTHON, Setting, new_project
from bench.values import Comparison, Contender, Go, Goal, MeasureError, Quantity, Sample, absent

BARE = "bare Starlette + onnxruntime"
CONNECTIONS = (1, 8, 64)
SECONDS = 5
WORKERS, BY_WORKERS, STALL_MS = 2, 8, 10.0


@contextmanager
def prediction(setting: Setting) -> Iterator[list[Comparison]]:
    """Yield a comparison per number of connections, and one of two workers, with all servers up all the while."""
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
        peers = [_Peer(setting, servers, loads["floor"].body, each) for each in MODEL_SERVERS]
        yield [
            Comparison(
                f"prediction, {connections} connection{'s' if connections > 1 else ''}",
                _quantities(connections),
                (
                    Contender("hw serve, logged", "us", _go(ours, loads["us"], connections, seconds, answered)),
                    Contender(BARE, "floor", _go(floor, loads["floor"], connections, seconds, [])),
                    *(each.contender(connections, seconds) for each in peers),
                ),
                warm=True,
            )
            for connections in CONNECTIONS
        ] + [_by_workers(servers, project, loads["us"].body, seconds, answered)]
    require_kept(project, answered)


def _by_workers(servers: ExitStack, project: Path, body: str, seconds: int, answered: list[int]) -> Comparison:
    """Return what two workers on one port do; a connection that one of them leaves waiting shows in the median."""
    command, url, folder, more = our_server_in(project, free_port(), "serve")
    server = servers.enter_context(serving([*command, "--workers", str(WORKERS)], url, folder, more))
    name = f"prediction, {BY_WORKERS} connections, {WORKERS} workers"
    load = Load(f"{server.url}/v1/models/tumour/predict", body)
    go = _go(server, load, BY_WORKERS, seconds, answered)
    rate, half, late = _quantities(BY_WORKERS)
    quantities = (replace(rate, goal=None), replace(half, goal=Goal(STALL_MS)), late)
    return Comparison(name, quantities, (Contender(f"hw serve --workers {WORKERS}, logged", "us", go),), warm=True)


class _Peer:
    """A peer's server that is up all the while, or why there is none."""

    def __init__(self, setting: Setting, servers: ExitStack, body: str, peer: str) -> None:
        self._body, self._missing = body, ""
        self._name, start = MODEL_SERVERS[peer]
        folder = setting.place / "prediction" / peer
        try:
            program = setting.peers.program(peer, peer)
            fit_for_peer(peer, program, folder)
            self._server = servers.enter_context(serving(*start(program, folder, free_port())))
        except MeasureError as error:
            self._missing = str(error)

    def contender(self, connections: int, seconds: int) -> Contender:
        if self._missing:
            return absent(self._name, "peer", self._missing)
        load = Load(f"{self._server.url}/invocations", self._body)
        return Contender(self._name, "peer", _go(self._server, load, connections, seconds, []))


def _quantities(connections: int) -> tuple[Quantity, ...]:
    rate = Quantity(f"predictions, {connections} at once", "/s", "higher", Goal(0.7, of=BARE), cpu_unit="ms/request")
    half = Quantity(f"half answered within, {connections} at once", "ms", "lower")
    late = Quantity(f"99 of 100 answered within, {connections} at once", "ms", "lower")
    return rate, half, late


def require_kept(project: Path, answered: list[int]) -> None:
    """Raise MeasureError unless the project's log holds every prediction that was answered."""
    asked = run([HW, "--json", "sql", "SELECT count(*) AS kept FROM predictions"], project)
    kept = json.loads(asked.output)[0]["kept"]
    if kept < sum(answered):
        raise MeasureError(f"{sum(answered):,} predictions were answered and only {kept:,} are in the log")


def _go(server: Server, load: Load, connections: int, seconds: int, answered: list[int]) -> Go:
    rate, half, late = _quantities(connections)

    def go(folder: Path) -> dict[str, Sample]:
        before = server.cpu_s()
        driven = drive(load, connections, seconds, folder)
        answered.append(driven.requests)
        cpu = (server.cpu_s() - before) / driven.requests * 1000
        found = (Sample(driven.rate, cpu), Sample(driven.p50_ms), Sample(driven.p99_ms))
        return {quantity.name: sample for quantity, sample in zip((rate, half, late), found, strict=True)}

    return go

"""`hw serve` from nothing until its first answer and what it holds, and what joining requests gains a wide model."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bench.load import Load, drive
from bench.process import Server, free_port, run, serving
from bench.servers import MODEL_SERVERS, Start, fit_for_peer, floor_server, our_server_in
from bench.setting import PROGRAMS, PYTHON, Setting, new_project
from bench.values import Comparison, Contender, Go, Goal, Quantity, Sample

READY, IDLE = "serving: start to first answer", "serving: memory with a small model (PSS)"
ALONE = "hw serve, batching off"
CONNECTIONS, SECONDS, SETTLE_S = 64, 5, 2.0
_JOINED = Quantity(
    f"answers of a wide model, {CONNECTIONS} at once", "/s", "higher", Goal(3.0, of=ALONE), cpu_unit="ms/request"
)


@contextmanager
def served(setting: Setting) -> Iterator[list[Comparison]]:
    """Yield the comparisons: starting, and batches on and off over the same model."""
    folder = setting.place / "serving"
    folder.mkdir(parents=True, exist_ok=True)
    small = _project(folder / "small", "make_model.py")
    wide = {name: _project(folder / name, "make_wide_model.py") for name in ("on", "off")}
    for name, project in wide.items():
        settings = project / "headwater.toml"
        settings.write_text(settings.read_text() + f'\n[serve.models.wide]\nbatching = "{name}"\n')
    more = {"FLOOR_MODEL": str(small / "model.onnx")}
    quantities = (Quantity(READY, "s", "lower", Goal(1.0)), Quantity(IDLE, "MiB", "lower", Goal(120)))
    starting = (
        Contender("hw serve", "us", lambda place: _start(_ready(our_server_in(small, free_port(), "serve")))),
        Contender(
            "bare Starlette + onnxruntime",
            "floor",
            lambda place: _start(floor_server(place, free_port(), "predict_app", more)),
        ),
        *(_peer(setting, folder / peer, peer) for peer in MODEL_SERVERS),
    )
    with ExitStack() as servers:
        up = {
            name: servers.enter_context(serving(*_ready(our_server_in(project, free_port(), "serve"))))
            for name, project in wide.items()
        }
        body = (wide["on"] / "ours.json").read_text()
        seconds = setting.much(SECONDS)
        yield [
            Comparison("serving, start", quantities, starting, warm=True),
            Comparison(
                "serving, batches",
                (_JOINED,),
                (
                    Contender("hw serve, batching on", "us", _go(up["on"], body, seconds)),
                    Contender(ALONE, "floor", _go(up["off"], body, seconds)),
                ),
                warm=True,
            ),
        ]


def _peer(setting: Setting, folder: Path, peer: str) -> Contender:
    name, start = MODEL_SERVERS[peer]

    def make(program: Path) -> Go:
        fit_for_peer(peer, program, folder)
        return lambda place: _start(start(program, folder, free_port()))

    return setting.peer(name, peer, peer, make)


def _project(folder: Path, program: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    project = new_project(folder)
    run([PYTHON, PROGRAMS / program], project)
    return project


def _ready(start: Start) -> Start:
    command, url, folder, more = start
    return command, url.replace("/healthz", "/readyz"), folder, more


def _start(start: Start) -> dict[str, Sample]:
    with serving(*start) as running:
        used = running.cpu_s()
        time.sleep(SETTLE_S)
        return {READY: Sample(running.started_s, used), IDLE: Sample(running.memory_mib(), running.cpu_s())}


def _go(server: Server, body: str, seconds: int) -> Go:
    def go(folder: Path) -> dict[str, Sample]:
        before = server.cpu_s()
        driven = drive(Load(f"{server.url}/v1/models/wide/predict", body), CONNECTIONS, seconds, folder)
        return {_JOINED.name: Sample(driven.rate, (server.cpu_s() - before) / driven.requests * 1000)}

    return go

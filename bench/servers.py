"""How each server is started: the command, the address that answers first, its folder and its environment."""

from __future__ import annotations

from pathlib import Path

from .process import run
from .setting import HW, PROGRAMS, PYTHON, ROOT, new_project

Start = tuple[list[str | Path], str, Path, dict[str, str]]


def our_server(folder: Path, port: int, what: str = "up") -> Start:
    """Return how ``hw up`` (or ``hw serve``) is started in a fresh project under ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    return our_server_in(new_project(folder), port, what)


def our_server_in(project: Path, port: int, what: str = "up") -> Start:
    """Return how ``hw up`` (or ``hw serve``) is started in a project."""
    return [HW, what, "--port", str(port)], f"http://127.0.0.1:{port}/healthz", project, {}


def floor_server(folder: Path, port: int, app: str = "metrics_app", more: dict[str, str] | None = None) -> Start:
    """Return how a bare Starlette application is started on granian, with one worker."""
    folder.mkdir(parents=True, exist_ok=True)
    granian = PYTHON.parent / "granian"
    command: list[str | Path] = [granian, "--interface", "asgi", "--factory", "--workers", "1", "--no-ws"]
    command += ["--log-level", "warning", "--no-access-log", "--port", str(port), f"bench.programs.{app}:create"]
    given = {"PYTHONPATH": str(ROOT), "FLOOR_DATABASE": str(folder / "floor.db"), **(more or {})}
    return command, f"http://127.0.0.1:{port}/healthz", folder, given


def mlflow_server(mlflow: Path, folder: Path, port: int) -> Start:
    """Return how MLflow's server is started as light as it goes: one worker, no job runners, SQLite."""
    folder.mkdir(parents=True, exist_ok=True)
    command: list[str | Path] = [mlflow, "server", "--backend-store-uri", f"sqlite:///{folder}/mlflow.db"]
    command += ["--artifacts-destination", folder / "artifacts", "--host", "127.0.0.1", "--port", str(port)]
    given = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "PATH": f"{mlflow.parent}:/usr/bin:/bin"}
    return [*command, "--workers", "1"], f"http://127.0.0.1:{port}/health", folder, given


def mlflow_model_server(mlflow: Path, folder: Path, port: int) -> Start:
    """Return how ``mlflow models serve`` is started on the model that ``fit_for_peer`` fitted in this folder."""
    command: list[str | Path] = [mlflow, "models", "serve", "-m", "model", "--env-manager", "local"]
    return [*command, "-p", str(port)], f"http://127.0.0.1:{port}/ping", folder, _model_settings(mlflow, folder)


def bentoml_server(bentoml: Path, folder: Path, port: int) -> Start:
    """Return how ``bentoml serve`` is started, with one worker, on the model fitted in this folder."""
    command: list[str | Path] = [bentoml, "serve", "service:Tumour", "-p", str(port)]
    return command, f"http://127.0.0.1:{port}/readyz", folder, _model_settings(bentoml, folder)


MODEL_SERVERS = {
    "mlflow": ("mlflow models serve", mlflow_model_server),
    "bentoml": ("bentoml serve, 1 worker", bentoml_server),
}
"""The peers that serve the model of the prediction measure: what they are called and how they are started."""


def fit_for_peer(peer: str, program: Path, folder: Path) -> None:
    """Fit the model of the prediction measure in a peer's own environment, as its server wants it."""
    folder.mkdir(parents=True, exist_ok=True)
    run([program.parent / "python", PROGRAMS / "peer_models.py", peer], folder, _model_settings(program, folder))


def _model_settings(program: Path, folder: Path) -> dict[str, str]:
    return {
        "PATH": f"{program.parent}:/usr/bin:/bin",
        "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "true",
        "BENTOML_HOME": str(folder / "store"),
        "BENTOML_DO_NOT_TRACK": "true",
    }

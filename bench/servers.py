"""How each server is started: the command, the address that answers first, its folder and its environment."""

from __future__ import annotations

from pathlib import Path

from .setting import HW, PYTHON, ROOT, new_project

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

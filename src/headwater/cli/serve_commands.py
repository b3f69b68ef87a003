"""``hw serve`` and ``hw up``: servers in the foreground."""

from __future__ import annotations

import os
from collections.abc import Sequence

import click

from headwater.errors import InvalidInputError

from .context import Context, pass_context

LOOPBACK = ("127.0.0.1", "localhost", "::1")


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Beyond loopback the project must have accounts.")
@click.option("--port", default=8787, show_default=True, type=click.IntRange(1, 65_535))
@click.option(
    "--workers", default=1, show_default=True, type=click.IntRange(0, 64), help="Threads that run jobs; 0: none."
)
@pass_context
def up(context: Context, host: str, port: int, workers: int) -> None:
    """Start the server: pages, API, serving, scheduler and worker."""
    os.environ["HEADWATER_WORKERS"] = str(workers)
    _run(context, "headwater.web.app:create_server", host, port)


@click.command()
@click.argument("models", nargs=-1, metavar="[MODEL[@CHANNEL]]...")
@click.option("--host", default="127.0.0.1", show_default=True, help="Beyond loopback the project must have accounts.")
@click.option("--port", default=8788, show_default=True, type=click.IntRange(1, 65_535))
@click.option(
    "--workers", default=1, show_default=True, type=click.IntRange(1, 64), help="Processes that answer on this port."
)
@pass_context
def serve(context: Context, models: tuple[str, ...], host: str, port: int, workers: int) -> None:
    """Answer predictions over HTTP, and nothing else: for the models named, or for all that are released.

    A model without a channel is answered by its production channel. Where one model is named, POST /predict and
    MLflow's /invocations answer for it; each model has /v1/models/NAME/predict, and the Open Inference Protocol
    under /v2. The page to try it is /v1/docs; /healthz, /readyz and /metrics are for whoever runs it.
    """
    os.environ["HEADWATER_SERVE_MODELS"] = " ".join(models)
    _run(context, "headwater.api.serving:create_app", host, port, processes=workers, models=models)


def _run(
    context: Context, target: str, host: str, port: int, *, processes: int = 1, models: Sequence[str] = ()
) -> None:
    """Serve until stopped. Each process follows releases by itself, and one answer is made by one of them."""
    import socket

    from granian import Granian
    from granian.constants import Interfaces
    from granian.log import LogLevels

    from headwater.access import accounts_exist
    from headwater.model import get_model
    from headwater.project import LocalProject
    from headwater.serve.meters import clear

    with context.open() as project:
        if not isinstance(project, LocalProject):
            raise InvalidInputError("a server opens its project by folder; give --project FOLDER.")
        if host not in LOOPBACK and not accounts_exist(project):
            raise InvalidInputError(
                f"'{host}' is reached by others, and this project has no accounts, so anybody could claim any name. "
                "Make one first: hw people add NAME --role admin --password"
            )
        for each in models:
            get_model(project, each.partition("@")[0])
        if processes > 1:
            os.environ["HEADWATER_SERVE_GROUP"] = str(port)
            clear(project.state / "serving", str(port))
        os.environ["HEADWATER_PROJECT"] = str(project.folder)
        if project.actor.name:
            os.environ["HEADWATER_AS"] = project.actor.name
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise InvalidInputError(
                f"{host}:{port} is taken ({error.strerror}). Stop what listens there, or choose another --port."
            ) from error
    click.echo(f"http://{host}:{port}")
    Granian(
        target,
        address=host,
        port=port,
        interface=Interfaces.ASGI,
        factory=True,
        workers=processes,
        websockets=False,  # nothing here speaks them, and each request would be looked at for one
        log_access=False,
        log_level=LogLevels.warning,
        respawn_failed_workers=True,
    ).serve()

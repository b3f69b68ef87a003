"""``hw serve`` and ``hw up``: servers in the foreground."""

from __future__ import annotations

import os

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
@click.option("--host", default="127.0.0.1", show_default=True, help="Beyond loopback the project must have accounts.")
@click.option("--port", default=8788, show_default=True, type=click.IntRange(1, 65_535))
@pass_context
def serve(context: Context, host: str, port: int) -> None:
    """Answer predictions over HTTP, and nothing else."""
    _run(context, "headwater.api.serving:create_app", host, port)


def _run(context: Context, target: str, host: str, port: int) -> None:
    """Serve until stopped; one process answers, so that one answer is made by one version."""
    import socket

    from granian import Granian
    from granian.constants import Interfaces
    from granian.log import LogLevels

    from headwater.access import accounts_exist
    from headwater.project import LocalProject

    with context.open() as project:
        if not isinstance(project, LocalProject):
            raise InvalidInputError("a server opens its project by folder; give --project FOLDER.")
        if host not in LOOPBACK and not accounts_exist(project):
            raise InvalidInputError(
                f"'{host}' is reached by others, and this project has no accounts, so anybody could claim any name. "
                "Make one first: hw people add NAME --role admin --password"
            )
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
        workers=1,
        websockets=False,  # nothing here speaks them, and each request would be looked at for one
        log_access=False,
        log_level=LogLevels.warning,
        respawn_failed_workers=True,
    ).serve()

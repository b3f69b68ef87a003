"""The ASGI application: operations, streaming routes, and whatever pages and serving routes are mounted beside them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from headwater import __version__
from headwater.errors import HeadwaterError
from headwater.project import LocalProject

from . import streams
from .identity import actor_of, root_project
from .openapi import openapi_document
from .operations import load_operations, run_operation
from .wire import answer, error_answer


async def about_project(request: Request) -> Response:
    """GET /api/v1/project: which project this is, and whom the server takes the caller for."""
    project = root_project(request)
    actor = actor_of(request)
    return answer(request, {"id": project.id, "name": project.name, "version": __version__, "actor": actor})


async def openapi(request: Request) -> Response:
    """GET /api/v1/openapi.json: the operations described."""
    document = await run_in_threadpool(openapi_document, root_project(request).name, __version__)
    return answer(request, document)


async def healthy(request: Request) -> Response:
    """GET /healthz: 200 while the ledger answers."""

    def look() -> Any:
        with root_project(request).ledger.read() as tx:
            return tx.value("SELECT 1")

    await run_in_threadpool(look)
    return answer(request, {"status": "ok"})


def on_error(request: Request, error: Exception) -> Response:
    """Answer an error of ours as a document."""
    assert isinstance(error, HeadwaterError)
    return error_answer(request, error)


ROUTES: list[BaseRoute] = [
    Route("/api/v1/project", about_project),
    Route("/api/v1/openapi.json", openapi),
    Route("/api/v1/operations/{name}", run_operation, methods=["POST"]),
    *streams.ROUTES,
    Route("/healthz", healthy),
]


def build_app(
    project: LocalProject,
    *,
    routes: Sequence[BaseRoute] = (),
    middleware: Sequence[Middleware] = (),
    lifespan: Any = None,
    handlers: dict[Any, Any] | None = None,
) -> Starlette:
    """Return the application that serves one open project."""
    load_operations()
    app = Starlette(
        routes=[*ROUTES, *routes],
        middleware=list(middleware),
        lifespan=lifespan,
        exception_handlers={HeadwaterError: on_error, **(handlers or {})},
    )
    app.state.project = project
    return app

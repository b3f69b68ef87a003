"""The whole server: pages, API, serving, scheduler and worker in one ASGI application."""

from __future__ import annotations

import os
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlencode

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Mount
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from headwater.api.app import build_app
from headwater.api.identity import actor_of
from headwater.api.wire import error_answer
from headwater.durable import write_new
from headwater.errors import HeadwaterError, UnauthenticatedError
from headwater.project import LocalProject, open_project

from .background import Background
from .rendering import CONTENT_POLICY, HERE, page
from .routes import PAGES, PARTS


def create_server() -> Starlette:
    """Return the application for the project that $HEADWATER_PROJECT names; what granian's worker calls."""
    project = open_project(os.environ.get("HEADWATER_PROJECT"))
    assert isinstance(project, LocalProject), "a server opens its project by folder"
    return build_server(project, workers=int(os.environ.get("HEADWATER_WORKERS", "1")))


def build_server(project: LocalProject, *, workers: int = 1) -> Starlette:
    """Return the application that serves an open project, with ``workers`` threads that run jobs (0: none here)."""
    from headwater.ingest.receiving import ingest_routes
    from headwater.jobs.hooks import hook_routes
    from headwater.serve import Engine, serve_routes

    background = Background(project, workers)
    engine = Engine(project)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        await run_in_threadpool(engine.start)
        background.start()
        try:
            yield
        finally:
            await run_in_threadpool(background.stop)
            await run_in_threadpool(engine.close)
            project.close()

    routes: list[BaseRoute] = [
        *serve_routes(engine, identify=actor_of),
        *ingest_routes(project, identify=actor_of),
        *hook_routes(project),
        *PAGES,
        *PARTS,
        Mount("/static", StaticFiles(directory=HERE / "static"), name="static"),
    ]
    return build_app(
        project,
        routes=routes,
        middleware=[
            Middleware(SecureHeaders),
            Middleware(GZipMiddleware, minimum_size=2000),
            Middleware(SessionMiddleware, secret_key=_session_key(project), same_site="strict", max_age=14 * 86_400),
        ],
        lifespan=lifespan,
        handlers={HeadwaterError: on_error, HTTPException: on_http_error},
    )


def on_error(request: Request, error: Exception) -> Response:
    """Answer an error of ours: a document to a program, a page to a person."""
    assert isinstance(error, HeadwaterError)
    if _for_program(request):
        return error_answer(request, error)
    if isinstance(error, UnauthenticatedError):
        after = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return RedirectResponse(f"/sign-in?{urlencode({'next': after})}", 303)
    return page(request, "error.html", error.http_status, title="That did not work", error=error)


def on_http_error(request: Request, error: Exception) -> Response:
    """Answer a path that is not there, or a method that a path does not take."""
    assert isinstance(error, HTTPException)
    found = HeadwaterError(f"{error.detail}: {request.method} {request.url.path}")
    if _for_program(request):
        answered = error_answer(request, found)
        answered.status_code = error.status_code
        return answered
    return page(request, "error.html", error.status_code, title=error.detail, error=found)


def _for_program(request: Request) -> bool:
    return request.url.path.startswith(("/api/", "/v1/")) or "text/html" not in request.headers.get("accept", "")


def _session_key(project: LocalProject) -> str:
    """Return the secret that signs session cookies, made once per project folder."""
    path: Path = project.state / "session.key"
    if not path.exists():
        write_new(path, secrets.token_hex(32).encode(), "web.session_key")
        path.chmod(0o600)
    return path.read_text()


class SecureHeaders:
    """Adds the content policy and its companions to every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.setdefault("Content-Security-Policy", CONTENT_POLICY)  # what a step wrote has a stricter one
                headers["X-Content-Type-Options"] = "nosniff"
                headers["Referrer-Policy"] = "same-origin"
            await send(message)

        await self.app(scope, receive, with_headers)

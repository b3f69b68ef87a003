"""Serving over HTTP: predictions, what models expect, outcomes, and the document that describes them."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

import msgspec

from headwater.errors import HeadwaterError, InvalidInputError, as_document
from headwater.project import Actor, LocalProject
from headwater.project.permissions import require

from .bodies import Receive, Scope, Send, read_body
from .engine import Engine
from .openapi import openapi_document
from .outcomes import record_outcomes
from .values import Answer, Outcome

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.routing import BaseRoute

Identify = Callable[["Request"], Actor]

MOST_BYTES = 4 << 20
"""The largest request body; a kept row may have 8 MiB, and base64 makes it a third longer."""

TRUST_S = 1.0
"""How long an answer to 'who asks?' is taken for granted: a token revoked may predict for so much longer."""

_TRUSTED_MOST = 1024


class PredictRequest(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a request for predictions; ``occurred_at`` is UTC microseconds or an RFC 3339 time."""

    inputs: list[dict[str, Any]]
    occurred_at: int | str | None = None
    channel: str = "production"


class OutcomesRequest(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a report of outcomes."""

    outcomes: list[Outcome]
    source: str = ""


_predict_decoder = msgspec.json.Decoder(PredictRequest)
_outcomes_decoder = msgspec.json.Decoder(OutcomesRequest)
_encode = msgspec.json.Encoder().encode
Handler = Callable[[Scope, Receive], Coroutine[Any, Any, Any]]
_CREDENTIALS = frozenset((b"authorization", b"cookie", b"x-headwater-as"))
_BROKE = HeadwaterError("the server failed to answer this request; its log says why. Tell whoever runs it.")
_log = logging.getLogger("headwater.serve")


class Endpoint:
    """One route as a plain ASGI application: checks the permission, runs the act, answers JSON.

    What the act raises as our errors becomes their status and document. Starlette's own wrapping of a function, with
    its request and response objects, would cost a prediction a fifth of its time.
    """

    def __init__(self, points: Endpoints, act: Handler, needs: str) -> None:
        self._points = points
        self._act = act
        self._needs = needs

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        status, body = await self._answer(scope, receive)
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _answer(self, scope: Scope, receive: Receive) -> tuple[int, bytes]:
        try:
            if self._points.asks:
                require(await self._points.actor(scope), self._needs, scope["path"])
            return 200, _encode(await self._act(scope, receive))
        except HeadwaterError as error:
            return error.http_status, _error_body(error)
        except Exception:  # noqa: BLE001  # the user's own model may raise anything
            _log.exception("answering %s failed", scope["path"])
            return 500, _error_body(_BROKE)


class Endpoints:
    """The acts behind the routes of one engine."""

    def __init__(self, engine: Engine, identify: Identify | None) -> None:
        self.engine = engine
        self.asks = identify is not None
        self._identify = identify
        self._trusted: dict[tuple[tuple[bytes, bytes], ...], tuple[float, Actor]] = {}

    async def predict(self, scope: Scope, receive: Receive) -> Answer:
        """POST /v1/models/{model}/predict."""
        self.engine.under_way += 1
        try:
            asked = _predict_decoder.decode(await read_body(scope, receive, MOST_BYTES))
            return await self.engine.answer(
                scope["path_params"]["model"],
                asked.inputs,
                occurred_at=_moment(asked.occurred_at),
                channel=asked.channel,
            )
        except msgspec.DecodeError as error:
            raise _not_understood(error, '{"inputs": [{...}], "occurred_at": optional, "channel": optional}') from error
        finally:
            self.engine.under_way -= 1

    async def outcomes(self, scope: Scope, receive: Receive) -> Any:
        """POST /v1/outcomes."""
        from starlette.concurrency import run_in_threadpool

        try:
            told = _outcomes_decoder.decode(await read_body(scope, receive, MOST_BYTES))
        except msgspec.DecodeError as error:
            raise _not_understood(error, '{"outcomes": [{"prediction": ID, "label": ...}]}') from error
        project = self.engine.project
        if self.asks:
            project = project.as_actor(await self.actor(scope))
        return await run_in_threadpool(record_outcomes, project, told.outcomes, source=told.source)

    async def models(self, scope: Scope, receive: Receive) -> Any:
        """GET /v1/models."""
        from starlette.concurrency import run_in_threadpool

        return {"models": await run_in_threadpool(self.engine.served)}

    async def model(self, scope: Scope, receive: Receive) -> Any:
        """GET /v1/models/{model}: the version that answers, and its contract; ``?channel=`` picks another channel."""
        from starlette.concurrency import run_in_threadpool
        from starlette.requests import Request

        channel = Request(scope).query_params.get("channel", "production")
        deployed = await run_in_threadpool(self.engine.deployment, scope["path_params"]["model"], channel)
        version = deployed.version
        return {
            "model": version.model,
            "channel": channel,
            "version": deployed.label,
            "model_version": version.id,
            "description": version.description,
            "flavour": version.flavour,
            "contract": version.contract,
        }

    async def openapi(self, scope: Scope, receive: Receive) -> Any:
        """GET /v1/openapi.json."""
        from starlette.concurrency import run_in_threadpool

        return await run_in_threadpool(openapi_document, self.engine)

    async def actor(self, scope: Scope) -> Actor:
        """Return who asks, asking the project at most once a second for the same credentials."""
        key = tuple([(name, value) for name, value in scope["headers"] if name in _CREDENTIALS])
        known = self._trusted.get(key)
        now = time.monotonic()
        if known is not None and now - known[0] < TRUST_S:
            return known[1]
        from starlette.concurrency import run_in_threadpool
        from starlette.requests import Request

        actor = await run_in_threadpool(cast(Identify, self._identify), Request(scope))
        if len(self._trusted) >= _TRUSTED_MOST:
            self._trusted.clear()
        self._trusted[key] = (now, actor)
        return actor


def serve_routes(engine: Engine, *, identify: Identify | None = None) -> list[BaseRoute]:
    """Return the routes under /v1 for an engine, which the caller starts and closes.

    ``identify`` says who sends a request (``headwater.api.identity.actor_of``); without it nobody is asked.
    """
    from starlette.routing import Route

    points = Endpoints(engine, identify)

    def route(path: str, act: Handler, needs: str, method: str = "GET") -> Route:
        return Route(path, Endpoint(points, act, needs), methods=[method], name=act.__name__)

    return [
        route("/v1/models/{model}/predict", points.predict, "serve:predict", "POST"),
        route("/v1/outcomes", points.outcomes, "serve:predict", "POST"),
        route("/v1/models", points.models, "serve:read"),
        route("/v1/models/{model}", points.model, "serve:read"),
        route("/v1/openapi.json", points.openapi, "serve:read"),
    ]


def serve_app(project: LocalProject, *, identify: Identify | None = None, models: list[str] | None = None) -> Starlette:
    """Return the ASGI application of ``hw serve``: it loads the models when it starts, and then follows releases."""
    from starlette.applications import Starlette
    from starlette.responses import Response
    from starlette.routing import Route

    engine = Engine(project, models=models)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        from starlette.concurrency import run_in_threadpool

        await run_in_threadpool(engine.start)
        try:
            yield
        finally:
            await run_in_threadpool(engine.close)

    async def healthy(request: Request) -> Response:
        return Response(b'{"status":"ok"}', media_type="application/json")

    app = Starlette(routes=[*serve_routes(engine, identify=identify), Route("/healthz", healthy)], lifespan=lifespan)
    app.state.project = project
    app.state.engine = engine
    return app


def _moment(given: int | str | None) -> int | None:
    if not isinstance(given, str):
        return given
    try:
        moment = datetime.fromisoformat(given)
    except ValueError as error:
        raise InvalidInputError(
            f"occurred_at '{given}' is no time: write 2026-11-01T12:00:00Z, or microseconds since 1970."
        ) from error
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1e6)


def _not_understood(error: msgspec.DecodeError, wanted: str) -> InvalidInputError:
    return InvalidInputError(f"the request body cannot be read: {error}. It should be JSON such as {wanted}.")


def _error_body(error: HeadwaterError) -> bytes:
    document = as_document(error)
    try:
        return _encode({"error": document})
    except (TypeError, UnicodeEncodeError):
        plain = {key: str(value).encode("utf-8", "replace").decode() for key, value in document["values"].items()}
        message = document["message"].encode("utf-8", "replace").decode()
        return _encode({"error": {**document, "message": message, "values": plain}})

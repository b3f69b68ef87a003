"""Serving over HTTP: predictions, what models expect, outcomes, and the document that describes them."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

import msgspec

from headwater.errors import HeadwaterError, InvalidInputError, StorageError, UnavailableError, as_document
from headwater.project import Actor, LocalProject
from headwater.project.permissions import require

from .bodies import Receive, Scope, Send, read_body
from .doors.files import FileDoor
from .doors.inference import InferenceDoor
from .doors.mlflow import MlflowDoor
from .engine import Engine
from .limits import deadline_of
from .meters import exposition
from .openapi import openapi_document
from .outcomes import record_outcomes
from .page import Page
from .replies import Reply
from .traffic import key_of
from .values import Answer, Outcome

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.routing import BaseRoute, Route

Identify = Callable[["Request"], Actor]

MOST_BYTES = 4 << 20
"""The largest request body; a kept row may have 8 MiB, and base64 makes it a third longer."""

TRUST_S = 1.0
"""How long an answer to 'who asks?' is taken for granted: a token revoked may predict for so much longer."""

TRUST_AWAY_S = 900.0
"""While the ledger is away, the same credentials are taken for granted for so long."""

_TRUSTED_MOST = 1024
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class PredictRequest(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a request for predictions; ``occurred_at`` is UTC microseconds or an RFC 3339 time."""

    inputs: msgspec.Raw
    occurred_at: int | str | None = None
    channel: str = ""


class OutcomesRequest(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a report of outcomes."""

    outcomes: list[Outcome]
    source: str = ""


_predict_decoder = msgspec.json.Decoder(PredictRequest)
_outcomes_decoder = msgspec.json.Decoder(OutcomesRequest)
_encode = msgspec.json.Encoder().encode
_JSON = b"application/json"
Handler = Callable[[Scope, Receive], Coroutine[Any, Any, Any]]
Act = Callable[[Scope, bytes, str, float], Coroutine[Any, Any, Any]]
_CREDENTIALS = frozenset((b"authorization", b"cookie", b"x-headwater-as"))
_TOO_DEEP = InvalidInputError("the request holds lists or objects nested too deeply to be read: send flatter values.")
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
        reply = await self._reply(scope, receive)
        self._points.engine.meter.statuses[reply.status] += 1
        headers = [*reply.headers, (b"content-length", b"%d" % len(reply.body))]
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        await send({"type": "http.response.body", "body": reply.body})

    async def _reply(self, scope: Scope, receive: Receive) -> Reply:
        try:
            if self._points.asks and self._needs:
                require(await self._points.actor(scope), self._needs, scope["path"])
            said = await self._act(scope, receive)
            return said if type(said) is Reply else Reply(_encode(said), _JSON)
        except HeadwaterError as error:
            wait = error.values.get("retry_after_s")
            headers = [(b"retry-after", str(wait).encode())] if wait is not None else []
            return Reply(_error_body(error), _JSON, error.http_status, headers)
        except RecursionError:
            return Reply(_error_body(_TOO_DEEP), _JSON, _TOO_DEEP.http_status)
        except Exception:  # noqa: BLE001  # the user's own model may raise anything
            _log.exception("answering %s failed", scope["path"])
            return Reply(_error_body(_BROKE), _JSON, 500)


class Endpoints:
    """The acts behind the routes of one engine."""

    def __init__(self, engine: Engine, identify: Identify | None) -> None:
        self.engine = engine
        self.asks = identify is not None
        self._identify = identify
        self._trusted: dict[tuple[tuple[bytes, bytes], ...], tuple[float, Actor]] = {}

    async def predict(self, scope: Scope, receive: Receive) -> Answer:
        """POST /v1/models/{model}/predict, and /predict where this server answers for one model."""
        answer: Answer = await self.admitted(scope, receive, self._predict)
        return answer

    async def _predict(self, scope: Scope, body: bytes, caller: str, deadline_s: float) -> Answer:
        try:
            asked = _predict_decoder.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise _not_understood(error, '{"inputs": [{...}], "occurred_at": optional, "channel": optional}') from error
        return await self.engine.answer(
            scope["path_params"].get("model") or await self.only_model(),
            bytes(asked.inputs),
            occurred_at=_moment(asked.occurred_at),
            channel=asked.channel,
            caller=caller,
            key=key_of(scope["headers"]),
            deadline_s=deadline_s,
            alone=self.engine.gate.under_way == 1,
        )

    async def admitted(self, scope: Scope, receive: Receive, act: Act) -> Any:
        """Return what an act makes of a request's body, if the server takes it on.

        Raises:
            BusyError: too many requests are under way.
            SlowRequestError: the body did not arrive in time.
        """
        gate = self.engine.gate
        caller = await self.caller(scope)
        began_s = gate.enter(caller)
        try:
            deadline_s = deadline_of(scope["headers"], self.engine.settings.deadline_s)
            return await act(scope, await self.body(scope, receive), caller, deadline_s)
        finally:
            gate.leave(caller, began_s)

    async def body(self, scope: Scope, receive: Receive) -> bytes:
        """Return the body of a request.

        Raises:
            InvalidInputError: it is too large, or the client went away.
            SlowRequestError: it did not arrive in time.
        """
        return await read_body(scope, receive, MOST_BYTES, self.engine.settings.body_s)

    async def only_model(self) -> str:
        """Return the model that a request without a model's name is for."""
        from starlette.concurrency import run_in_threadpool

        return await run_in_threadpool(self.engine.only_model)

    async def caller(self, scope: Scope) -> str:
        """Return the name of who asks; empty where nobody is asked for one."""
        return (await self.actor(scope)).name if self.asks else ""

    async def outcomes(self, scope: Scope, receive: Receive) -> Any:
        """POST /v1/outcomes: counted and limited as predictions are."""
        return await self.admitted(scope, receive, self._outcomes)

    async def _outcomes(self, scope: Scope, body: bytes, caller: str, deadline_s: float) -> Any:
        from starlette.concurrency import run_in_threadpool

        try:
            told = _outcomes_decoder.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
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

        channel = Request(scope).query_params.get("channel", "")
        key = key_of(scope["headers"])
        deployed = await run_in_threadpool(self.engine.deployment, scope["path_params"]["model"], channel, key)
        version = deployed.version
        return {
            "model": version.model,
            "channel": deployed.channel,
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

    async def metrics(self, scope: Scope, receive: Receive) -> Reply:
        """GET /metrics: what was counted, for Prometheus."""
        from starlette.concurrency import run_in_threadpool

        numbers = await run_in_threadpool(self.engine.numbers)
        return Reply(exposition(numbers).encode(), b"text/plain; version=0.0.4; charset=utf-8")

    async def healthy(self, scope: Scope, receive: Receive) -> Any:
        """GET /healthz: the process answers."""
        return {"status": "ok"}

    async def ready(self, scope: Scope, receive: Receive) -> Reply:
        """GET /readyz: 200 once everything this server was told to answer for is loaded, and says what it waits for.

        It stays 200 while the ledger is away, since the last known release answers, and says so. It is 503 again from
        when the server is told to stop, while it answers what it has begun.
        """
        waiting, notice, stopping = self.engine.waiting_for(), self.engine.notice(), self.engine.stopping
        ready = not waiting and not stopping
        more = {"stopping": stopping, "waiting_for": waiting, "notice": notice}
        said = {"ready": ready, **{name: value for name, value in more.items() if value}}
        return Reply(_encode(said), _JSON, 200 if ready else 503)

    async def actor(self, scope: Scope) -> Actor:
        """Return who asks, asking the project at most once a second for the same credentials."""
        key = tuple([(name, value) for name, value in scope["headers"] if name in _CREDENTIALS])
        known = self._trusted.get(key)
        now = time.monotonic()
        if known is not None and now - known[0] < TRUST_S:
            return known[1]
        from starlette.concurrency import run_in_threadpool
        from starlette.requests import Request

        try:
            actor = await run_in_threadpool(cast(Identify, self._identify), Request(scope))
        except (UnavailableError, StorageError):
            if known is None or now - known[0] > TRUST_AWAY_S:
                raise
            return known[1]  # the ledger is away: who was known goes on asking
        if len(self._trusted) >= _TRUSTED_MOST:
            self._trusted.clear()
        self._trusted[key] = (now, actor)
        return actor


def serve_routes(engine: Engine, *, identify: Identify | None = None) -> list[BaseRoute]:
    """Return the routes under /v1 for an engine, which the caller starts and closes.

    ``identify`` says who sends a request (``headwater.api.identity.actor_of``); without it nobody is asked.
    """
    points = Endpoints(engine, identify)
    return [_route(points, *each) for each in _native(points)]


def _native(points: Endpoints) -> list[tuple[str, Handler, str, str]]:
    page, files = Page(points), FileDoor(points)
    return [
        ("/v1/models/{model}/predict", points.predict, "serve:predict", "POST"),
        ("/v1/models/{model}/predict/file", files.predict, "serve:predict", "POST"),
        ("/v1/outcomes", points.outcomes, "serve:predict", "POST"),
        ("/v1/models", points.models, "serve:read", "GET"),
        ("/v1/models/{model}", points.model, "serve:read", "GET"),
        ("/v1/openapi.json", points.openapi, "serve:read", "GET"),
        ("/v1/docs", page.show, "serve:read", "GET"),
        ("/v1/docs", page.attempt, "serve:predict", "POST"),
        ("/metrics", points.metrics, "serve:read", "GET"),
        ("/readyz", points.ready, "", "GET"),
    ]


def _other_doors(points: Endpoints) -> list[tuple[str, Handler, str, str]]:
    inference, mlflow = InferenceDoor(points), MlflowDoor(points)
    one = "/v2/models/{model}"
    return [
        ("/predict", points.predict, "serve:predict", "POST"),
        ("/predict/file", FileDoor(points).predict, "serve:predict", "POST"),
        ("/v2", inference.server, "", "GET"),
        ("/v2/health/live", inference.live, "", "GET"),
        ("/v2/health/ready", points.ready, "", "GET"),
        (one, inference.describe, "serve:read", "GET"),
        (f"{one}/ready", inference.ready, "serve:read", "GET"),
        (f"{one}/infer", inference.infer, "serve:predict", "POST"),
        (f"{one}/versions/{{version}}", inference.describe, "serve:read", "GET"),
        (f"{one}/versions/{{version}}/ready", inference.ready, "serve:read", "GET"),
        (f"{one}/versions/{{version}}/infer", inference.infer, "serve:predict", "POST"),
        ("/ping", mlflow.ping, "", "GET"),
        ("/health", mlflow.ping, "", "GET"),
        ("/version", mlflow.version, "", "GET"),
        ("/invocations", mlflow.invocations, "serve:predict", "POST"),
    ]


def _route(points: Endpoints, path: str, act: Handler, needs: str, method: str) -> Route:
    from starlette.routing import Route

    return Route(path, Endpoint(points, act, needs), methods=[method], name=f"{method} {path}")


class Front:
    """The application of ``hw serve``: predictions by name go straight to their endpoint, the rest through Starlette.

    Finding a route and passing two layers of error handling would cost a prediction a tenth of its time.
    """

    def __init__(self, rest: Starlette, points: Endpoints) -> None:
        self.rest = rest
        self._predict = Endpoint(points, points.predict, "serve:predict")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "POST":
            path: str = scope["path"]
            if path.startswith(_BEFORE) and path.endswith(_AFTER):
                model = path[len(_BEFORE) : -len(_AFTER)]
                if model and "/" not in model:
                    scope["path_params"] = {"model": model}
                    scope["app"] = self.rest
                    await self._predict(scope, receive, send)
                    return
        await self.rest(scope, receive, send)


_BEFORE, _AFTER = "/v1/models/", "/predict"


def serve_app(project: LocalProject, *, identify: Identify | None = None, models: list[str] | None = None) -> Front:
    """Return the ASGI application of ``hw serve``: it loads the models when it starts, and then follows releases.

    ``models`` limits what it answers for: names, or ``NAME@CHANNEL``.
    """
    from starlette.applications import Starlette

    engine = Engine(project, models=models)
    points = Endpoints(engine, identify)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        from starlette.concurrency import run_in_threadpool

        await run_in_threadpool(engine.start)
        try:
            yield
        finally:
            await run_in_threadpool(engine.close)
            await run_in_threadpool(project.close)

    routes = [*_native(points), ("/healthz", points.healthy, "", "GET"), *_other_doors(points)]
    rest = Starlette(routes=[_route(points, *each) for each in routes], lifespan=lifespan)
    rest.state.project = project
    rest.state.engine = engine
    return Front(rest, points)


def _moment(given: int | str | None) -> int | None:
    if not isinstance(given, str):
        return given
    try:
        moment = datetime.fromisoformat(given)
    except ValueError as error:
        raise InvalidInputError(
            f"occurred_at '{given}' is no time: write 2026-11-01T12:00:00Z, or microseconds since 1970."
        ) from error
    return ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - _EPOCH) // timedelta(microseconds=1)


def _not_understood(error: Exception, wanted: str) -> InvalidInputError:
    return InvalidInputError(f"the request body cannot be read: {error}. It should be JSON such as {wanted}.")


def _error_body(error: HeadwaterError) -> bytes:
    document = as_document(error)
    try:
        return _encode({"error": document})
    except (TypeError, UnicodeEncodeError):
        plain = {key: str(value).encode("utf-8", "replace").decode() for key, value in document["values"].items()}
        message = document["message"].encode("utf-8", "replace").decode()
        return _encode({"error": {**document, "message": message, "values": plain}})

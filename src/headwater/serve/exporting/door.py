"""The HTTP door of an exported package: a plain ASGI application, served by granian or any ASGI server.

``POST /predict`` takes ``{"inputs": [{...}], "occurred_at": optional}``; ``/healthz`` says that the process lives,
``/readyz`` that it answers, ``/contract`` what it takes, ``/metrics`` what it did, ``/openapi.json`` all of it.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn

import msgspec

from headwater.errors import HeadwaterError, InvalidInputError, NotFoundError, UnavailableError, as_document
from headwater.model.contract import ContractError
from headwater.model.rendering import example_row, json_schema
from headwater.serve.bodies import Receive, Scope, Send, read_body

from .packaged import Package, PackagedAnswer

MOST_BYTES = 12 * 2**20
BODY_S = 20.0
MOST_ROWS = 10_000
MOST_WAITING = 64
"""So many requests may wait for the model; one more is answered 503 at once, so that waits stay short."""

MOST_READING = 256
"""So many bodies may be on their way, each of MOST_BYTES at most."""

IN_LOOP_S = 0.001
"""An answer that takes less is computed in the event loop: handing it to a thread costs about a tenth of that."""

_BROKE = HeadwaterError("the model failed to answer this request; the log says why.")
_encode = msgspec.json.Encoder().encode


class Request(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a request for predictions; ``occurred_at`` is UTC microseconds."""

    inputs: list[dict[str, Any]]
    occurred_at: int | None = None


_decode = msgspec.json.Decoder(Request).decode
Act = Callable[[Scope, Receive], Awaitable[Any]]


class Door:
    """The application. Ready once the model is loaded and has answered an example of its contract."""

    def __init__(self, package: Package) -> None:
        self.package = package
        self.ready = False
        self._row_s = 0.0
        self._reading = self._waiting = 0
        self._one = threading.Lock()
        self._counts = {"predictions": 0, "requests": 0, "refused": 0, "failed": 0, "turned_away": 0}
        self._seconds = 0.0
        self._acts: dict[tuple[str, str], Act] = {
            ("POST", "/predict"): self.predict,
            ("GET", "/healthz"): self.healthz,
            ("GET", "/readyz"): self.readyz,
            ("GET", "/contract"): self.contract,
            ("GET", "/openapi.json"): self.openapi,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or begin and end with the server."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        if scope["type"] != "http":
            return
        if (scope["method"], scope["path"]) == ("GET", "/metrics"):
            await _send(send, 200, self.metrics().encode(), b"text/plain; version=0.0.4; charset=utf-8")
            return
        status, body, headers = await self._answer(scope, receive)
        await _send(send, status, body, b"application/json", headers)

    def open(self) -> None:
        """Load the model and let it answer an example, so that the first request need not wait."""
        loaded = self.package.open()
        row = example_row(self.package.contract)
        if not self.package.contract.problems([row]):
            for _ in range(3):
                start = time.perf_counter()
                loaded.predict([row], validated=True)
                self._row_s = time.perf_counter() - start
        self.ready = True

    async def predict(self, scope: Scope, receive: Receive) -> PackagedAnswer:
        """POST /predict."""
        if not self.ready:
            raise UnavailableError("the model is still being loaded: try again in a moment.")
        # Read first: a client that sends its body slowly holds none of the places for those who wait for the model.
        body = await self._body(scope, receive)
        if self._waiting >= MOST_WAITING:
            self._turn_away()
        self._waiting += 1
        start = time.perf_counter()
        try:
            asked = _read(body)
            if self._row_s * len(asked.inputs) < IN_LOOP_S:
                answer = self._compute(asked)
            else:
                answer = await asyncio.to_thread(self._compute_alone, asked)
        except ContractError:
            self._counts["refused"] += 1
            raise
        finally:
            self._waiting -= 1
            self._counts["requests"] += 1
            self._seconds += time.perf_counter() - start
        self._counts["predictions"] += len(answer.predictions)
        return answer

    async def _body(self, scope: Scope, receive: Receive) -> bytes:
        if self._waiting >= MOST_WAITING or self._reading >= MOST_READING:
            self._turn_away()
        self._reading += 1
        try:
            return await read_body(scope, receive, MOST_BYTES, BODY_S)
        finally:
            self._reading -= 1

    def _turn_away(self) -> NoReturn:
        self._counts["turned_away"] += 1
        raise UnavailableError(
            f"{self._waiting} requests wait for the model and {self._reading} are being read already: try again in a "
            "second."
        )

    async def healthz(self, scope: Scope, receive: Receive) -> Any:
        """GET /healthz."""
        return {"status": "ok"}

    async def readyz(self, scope: Scope, receive: Receive) -> Any:
        """GET /readyz."""
        if not self.ready:
            raise UnavailableError("the model is still being loaded.")
        version = self.package.about.version
        return {"status": "ready", "model": version.model, "version": f"v{version.number}", "model_version": version.id}

    async def contract(self, scope: Scope, receive: Receive) -> Any:
        """GET /contract."""
        return self.package.contract

    async def openapi(self, scope: Scope, receive: Receive) -> Any:
        """GET /openapi.json."""
        return openapi_document(self.package)

    def metrics(self) -> str:
        """Return what happened so far in the text form of Prometheus."""
        version = self.package.about.version
        of = f'{{model="{version.model}",version="v{version.number}"}}'
        lines = []
        for name, count in (*self._counts.items(), ("seconds", self._seconds)):
            lines += [f"# TYPE model_{name}_total counter", f"model_{name}_total{of} {count}"]
        lines += ["# TYPE model_waiting gauge", f"model_waiting{of} {self._waiting}"]
        return "\n".join(lines) + "\n"

    def _compute_alone(self, asked: Request) -> PackagedAnswer:
        # One answer at a time: with two the engine's one thread each would fight for the same processor.
        with self._one:
            return self._compute(asked)

    def _compute(self, asked: Request) -> PackagedAnswer:
        return self.package.answer(asked.inputs, occurred_at=asked.occurred_at)

    async def _answer(self, scope: Scope, receive: Receive) -> tuple[int, bytes, list[tuple[bytes, bytes]]]:
        act = self._acts.get((scope["method"], scope["path"]))
        try:
            if act is None:
                offered = ", ".join(f"{method} {path}" for method, path in self._acts)
                raise NotFoundError(f"there is no {scope['method']} {scope['path']}; there are {offered}.")
            return 200, _encode(await act(scope, receive)), []
        except UnavailableError as error:
            return error.http_status, _error_body(error), [(b"retry-after", b"1")]
        except HeadwaterError as error:
            return error.http_status, _error_body(error), []
        except Exception:  # the engine may raise anything
            import logging

            logging.getLogger("headwater.serve").exception("answering %s failed", scope["path"])
            self._counts["failed"] += 1
            return 500, _error_body(_BROKE), []

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                try:
                    self.open()
                except HeadwaterError as error:
                    await send({"type": "lifespan.startup.failed", "message": error.message})
                    return
                await send({"type": "lifespan.startup.complete"})
            elif message["type"] == "lifespan.shutdown":
                await send({"type": "lifespan.shutdown.complete"})
                return


def openapi_document(package: Package) -> dict[str, Any]:
    """Return the OpenAPI 3.1 document of a package's door."""
    version = package.about.version
    row = json_schema(version.contract.inputs, title=f"One input of {version.model}")
    answer = json_schema(version.contract.outputs, title=f"One answer of {version.model}", strict=False)
    asked = {
        "type": "object",
        "required": ["inputs"],
        "additionalProperties": False,
        "properties": {
            "inputs": {"type": "array", "minItems": 1, "maxItems": MOST_ROWS, "items": row},
            "occurred_at": {"type": ["integer", "null"], "description": "UTC microseconds"},
        },
    }
    texts: dict[str, Any] = {name: {"type": "string"} for name in ("id", "model", "version", "model_version")}
    told = {
        "type": "object",
        "required": [*texts, "occurred_at", "predictions"],
        "properties": {**texts, "occurred_at": {"type": "integer"}, "predictions": {"type": "array", "items": answer}},
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": version.label, "version": str(version.number), "description": version.description},
        "paths": {
            "/predict": {
                "post": {
                    "operationId": "predict",
                    "requestBody": {"required": True, "content": {"application/json": {"schema": asked}}},
                    "responses": {
                        "200": {"description": "one answer per row", "content": {"application/json": {"schema": told}}},
                        "422": {"description": "rows do not keep the contract; every problem is listed"},
                        "503": {"description": "too many requests wait, or the model is still being loaded"},
                    },
                }
            }
        },
    }


def _read(body: bytes) -> Request:
    try:
        asked = _decode(body)
    except (msgspec.DecodeError, RecursionError) as error:
        wanted = '{"inputs": [{...}], "occurred_at": optional}'
        raise InvalidInputError(
            f"the request body cannot be read: {error}. It should be JSON such as {wanted}."
        ) from error
    if not 0 < len(asked.inputs) <= MOST_ROWS:
        raise InvalidInputError(f"a request holds 1 to {MOST_ROWS:,} rows, not {len(asked.inputs):,}.")
    return asked


def _error_body(error: HeadwaterError) -> bytes:
    return msgspec.json.encode({"error": as_document(error)}, enc_hook=str)


async def _send(
    send: Send, status: int, body: bytes, media: bytes, more: list[tuple[bytes, bytes]] | None = None
) -> None:
    headers = [(b"content-type", media), (b"content-length", str(len(body)).encode()), *(more or [])]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})

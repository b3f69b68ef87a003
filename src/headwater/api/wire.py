"""Bodies on the wire: MessagePack between our own client and server, JSON for everybody else."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from headwater.errors import HeadwaterError, as_document

MSGPACK = "application/msgpack"
JSON = "application/json"


def decode_body(body: bytes, content_type: str, kind: Any) -> Any:
    """Return a request body as ``kind``; an empty body is an empty object."""
    if content_type.startswith(MSGPACK):
        return msgspec.msgpack.decode(body or b"\x80", type=kind)
    return msgspec.json.decode(body or b"{}", type=kind)


def answer(request: Request, value: Any, status: int = 200) -> Response:
    """Return a value as the client asked for it; JSON has no NaN, so it becomes null there."""
    if MSGPACK in request.headers.get("accept", ""):
        return Response(msgspec.msgpack.encode(value), status, media_type=MSGPACK)
    return Response(msgspec.json.encode(value), status, media_type=JSON)


def error_answer(request: Request, error: HeadwaterError) -> Response:
    """Return an error with its kind, message and values, under the status that its class has."""
    document = {"error": _plain(as_document(error))}
    return answer(request, document, error.http_status)


def _plain(document: dict[str, Any]) -> dict[str, Any]:
    return {**document, "values": {key: _simple(value) for key, value in document["values"].items()}}


def _simple(value: Any) -> Any:
    try:
        msgspec.msgpack.encode(value)
    except (TypeError, OverflowError):
        return str(value)
    return value

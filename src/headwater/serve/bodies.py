"""The body of a request to a plain ASGI application."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from headwater.errors import InvalidInputError

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


async def read_body(scope: Scope, receive: Receive, most: int) -> bytes:
    """Return the body of a request: as many bytes as its head says, or all that come where it says nothing.

    Raises:
        InvalidInputError: it is larger than ``most`` bytes, or the client went away.
    """
    length = next((int(value) for name, value in scope["headers"] if name == b"content-length"), None)
    message = await receive()
    body: bytes = message.get("body", b"")
    # Servers send an empty message after the last bytes; who waits for it pays for one more turn of the loop.
    if len(body) == length and length <= most:
        return body
    parts, size = [], 0
    while message["type"] == "http.request":
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > most:
            raise InvalidInputError(
                f"the request has {size:,} bytes or more; {most:,} is what one may have: send it in several.",
                bytes=size,
            )
        if not message.get("more_body"):
            return b"".join(parts)
        message = await receive()
    raise InvalidInputError("the request ended before its body did: send it again.")

"""The body of a request to a plain ASGI application."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from headwater.errors import InvalidInputError, TooLargeError

from .limits import SlowRequestError

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_MOST_DIGITS = 15


async def read_body(scope: Scope, receive: Receive, most: int, within_s: float | None = None) -> bytes:
    """Return the body of a request: as many bytes as its head says, or all that come where it says nothing.

    Raises:
        TooLargeError: it is larger than ``most`` bytes.
        InvalidInputError: its head says no length that can be read, or the client went away.
        SlowRequestError: it did not arrive ``within_s`` seconds.
    """
    length = next((_length(value) for name, value in scope["headers"] if name == b"content-length"), None)
    if within_s is None:
        return await _pieces(receive, most, length)
    waiting = _pieces(receive, most, length)
    try:
        async with asyncio.timeout(within_s):
            return await waiting
    except TimeoutError as error:
        raise SlowRequestError(
            f"the body of the request did not arrive within {within_s:g} s: send it faster, or in several requests.",
            within_s=within_s,
        ) from error


async def _pieces(receive: Receive, most: int, length: int | None) -> bytes:
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
            raise _too_large(size, most)
        if not message.get("more_body"):
            return b"".join(parts)
        message = await receive()
    raise InvalidInputError("the request ended before its body did: send it again.")


def _length(told: bytes) -> int:
    if not told.isdigit() or len(told) > _MOST_DIGITS:
        raise InvalidInputError(
            f"the header Content-Length is {told.decode('latin-1')[:40]!r}: give the number of bytes of the body."
        )
    return int(told)


def _too_large(size: int, most: int) -> TooLargeError:
    return TooLargeError(
        f"the request has {size:,} bytes or more; {most:,} is what one may have: send it in several.", bytes=size
    )

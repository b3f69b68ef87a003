"""One POST of JSON to an address that was looked at, asked again where the answer may change."""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import msgspec

from headwater.errors import InvalidInputError, RefusedError, UnavailableError
from headwater.ingest.addresses import connected
from headwater.ingest.fetching import agent, split_url
from headwater.ingest.secrets import resolve_within, scrubbed

LARGEST_ANSWER = 32 << 20
_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})
_LONGEST_WAIT_S = 5.0
_SHOWN = 300


def post_json(
    url: str,
    body: Any,
    *,
    headers: Mapping[str, str],
    timeout_s: float,
    retries: int,
    private: bool | list[str] = False,
    before: Callable[[], None] = lambda: None,
) -> Any:
    """Return the JSON that a server answers; no redirect is followed, secrets are taken from the environment.

    ``before`` is called before each attempt, also the second and later, and may end it by raising. ``timeout_s`` is how
    long an attempt waits for a connection, and then for all of the answer.

    Raises:
        InvalidInputError: a header's value, with its secret in place, cannot be sent.
        RefusedError: an address is not public, or the answer will not change (a redirect, most 4xx).
        UnavailableError: no answer after the retries, or one that is no JSON or too large.
    """
    data = msgspec.json.encode(body)
    sent = {"Content-Type": "application/json", "User-Agent": agent()}
    sent |= {name: _sendable(name, resolve_within(value)) for name, value in headers.items()}
    for attempt in range(retries + 1):
        before()
        try:
            status, answer, wait_s = _once(url, data, sent, timeout_s, private)
        except (OSError, http.client.HTTPException, UnavailableError) as error:
            status, answer, wait_s = 0, str(error).encode(), 0.0
        if 200 <= status < 300:
            return _decoded(answer)
        told = scrubbed(answer[:_SHOWN].decode("utf-8", "replace"))
        if status and status not in _AGAIN:
            raise RefusedError(f"the API refused the request: {status} {told}", status=status)
        if attempt < retries:
            time.sleep(min(max(wait_s, 0.1 * 2**attempt), _LONGEST_WAIT_S))
    raise UnavailableError(
        f"the API did not answer after {retries + 1} attempts: {status or 'no connection'} {told}", status=status
    )


def _once(
    url: str, data: bytes, headers: Mapping[str, str], timeout_s: float, private: bool | list[str]
) -> tuple[int, bytes, float]:
    """Return the status, the body, and how long the server asks to wait."""
    parts = split_url(url)
    host = parts.hostname or ""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    allowed = private if isinstance(private, bool) else host in private
    opened = connected(host, port, private=allowed, timeout_s=timeout_s)
    if parts.scheme == "https":
        context = ssl.create_default_context()
        opened = context.wrap_socket(opened, server_hostname=host, do_handshake_on_connect=False)
    connection = http.client.HTTPConnection(host, port, timeout=timeout_s)
    connection.sock = opened
    try:
        with _within(opened, timeout_s):
            if isinstance(opened, ssl.SSLSocket):
                opened.do_handshake()
            target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            connection.request("POST", target, body=data, headers=dict(headers))
            response = connection.getresponse()
            answer = response.read(LARGEST_ANSWER + 1)
    finally:
        connection.close()
    if len(answer) > LARGEST_ANSWER:
        raise UnavailableError(f"the API answered with more than {LARGEST_ANSWER:,} bytes.")
    wait = response.getheader("Retry-After") or ""
    return response.status, answer, float(wait) if wait.isdecimal() else 0.0


@contextmanager
def _within(opened: socket.socket, within_s: float) -> Iterator[None]:
    """Cut a connection that is not done in time: a byte now and then would keep the socket's own limit content."""
    late = threading.Event()

    def cut() -> None:
        late.set()
        with suppress(OSError):
            socket.socket.shutdown(opened, socket.SHUT_RDWR)  # not SSLSocket's, which forgets its encryption first

    timer = threading.Timer(within_s, cut)
    timer.daemon = True
    timer.start()
    try:
        yield
    except (OSError, http.client.HTTPException):
        if not late.is_set():
            raise
    finally:
        timer.cancel()
    if late.is_set():  # also where nothing was raised: a body without a length ends with its connection
        raise UnavailableError(f"the API's answer was not whole after {within_s:g} s.")


def _sendable(name: str, value: str) -> str:
    # Looked at here: the message of http.client would show the value, and so a secret.
    if any(each in value for each in "\r\n\0") or max(value, default="") > "\xff":
        raise InvalidInputError(
            f"the header {name}, with its secret in place, has a line end or a character beyond Latin-1."
        )
    return value


def _decoded(answer: bytes) -> Any:
    try:
        return msgspec.json.decode(answer)
    except (msgspec.DecodeError, RecursionError) as error:
        told = scrubbed(answer[:_SHOWN].decode("utf-8", "replace"))
        raise UnavailableError(f"the API answered with what is no JSON: {told}") from error

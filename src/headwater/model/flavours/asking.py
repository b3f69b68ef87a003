"""One POST of JSON to an address that was looked at, asked again where the answer may change."""

from __future__ import annotations

import http.client
import ssl
import time
from collections.abc import Mapping
from typing import Any

import msgspec

from headwater.errors import RefusedError, UnavailableError
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
) -> Any:
    """Return the JSON that a server answers; no redirect is followed, secrets are taken from the environment.

    Raises:
        RefusedError: an address is not public, or the answer will not change (a redirect, most 4xx).
        UnavailableError: no answer after the retries, or one that is no JSON or too large.
    """
    data = msgspec.json.encode(body)
    sent = {"Content-Type": "application/json", "User-Agent": agent()}
    sent |= {name: resolve_within(value) for name, value in headers.items()}
    for attempt in range(retries + 1):
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
        opened = ssl.create_default_context().wrap_socket(opened, server_hostname=host)
    connection = http.client.HTTPConnection(host, port, timeout=timeout_s)
    connection.sock = opened
    try:
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request("POST", target, body=data, headers=dict(headers))
        response = connection.getresponse()
        answer = response.read(LARGEST_ANSWER + 1)
    finally:
        connection.close()
    if len(answer) > LARGEST_ANSWER:
        raise UnavailableError(f"the API answered with more than {LARGEST_ANSWER:,} bytes.")
    wait = response.getheader("Retry-After") or ""
    return response.status, answer, float(wait) if wait.isdigit() else 0.0


def _decoded(answer: bytes) -> Any:
    try:
        return msgspec.json.decode(answer)
    except (msgspec.DecodeError, RecursionError) as error:
        told = scrubbed(answer[:_SHOWN].decode("utf-8", "replace"))
        raise UnavailableError(f"the API answered with what is no JSON: {told}") from error

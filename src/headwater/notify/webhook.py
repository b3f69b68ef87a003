"""Sending a webhook: a signed POST to an address that was looked at first."""

from __future__ import annotations

import ipaddress
import socket
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

from headwater.access.signing import HEADER, timed_signature
from headwater.errors import InvalidInputError, RefusedError, UnavailableError

from .declared import Webhook

if TYPE_CHECKING:
    import http.client

TIMEOUT_S = 10.0
_KEPT_ANSWER = 500
_TRANSLATED = ipaddress.ip_network("64:ff9b::/96")
# Answers that may change when asked again; every other 3xx and 4xx means the same the next time.
_AGAIN = frozenset({408, 425, 429})


def post(way: Webhook, body: bytes, *, delivery: str, timestamp_s: int) -> str:
    """Send a body and return what the other side answered (status and the beginning of the text).

    No redirect is followed, and the connection goes to the very address that was checked.

    Raises:
        RefusedError: the address is private, or the answer will not change (a redirect, most 4xx).
        UnavailableError: no connection, no answer in time, or an answer that may change.
        InvalidInputError: the URL is not one.
    """
    import http.client

    parts = _parts(way.url)
    address = _address(parts, allow_private=way.allow_private)
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "headwater",
        "Headwater-Delivery": delivery,
    }
    if way.secret:
        headers[HEADER] = timed_signature(way.secret, timestamp_s, body)
    connection = _connection(parts, address)
    try:
        connection.request("POST", _path(parts), body=body, headers=headers)
        response = connection.getresponse()
        text = response.read(_KEPT_ANSWER).decode("utf-8", "replace")
    except (OSError, http.client.HTTPException) as error:
        raise UnavailableError(f"'{parts.hostname}' does not answer: {error}.", host=parts.hostname) from error
    finally:
        connection.close()
    answer = f"{response.status} {text}".strip()
    if 200 <= response.status < 300:
        return answer
    if 300 <= response.status < 500 and response.status not in _AGAIN:
        raise RefusedError(f"'{parts.hostname}' refuses the webhook: {answer}", status=response.status)
    raise UnavailableError(f"'{parts.hostname}' could not take the webhook: {answer}", status=response.status)


def _parts(url: str) -> SplitResult:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InvalidInputError("a webhook's URL begins with https:// or http:// and names a host.")
    return parts


def _port(parts: SplitResult) -> int:
    return parts.port or (443 if parts.scheme == "https" else 80)


def _path(parts: SplitResult) -> str:
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def _address(parts: SplitResult, *, allow_private: bool) -> str:
    host = parts.hostname or ""
    try:
        found = {str(entry[4][0]) for entry in socket.getaddrinfo(host, _port(parts), type=socket.SOCK_STREAM)}
    except OSError as error:
        raise UnavailableError(f"the host '{host}' of a webhook is not known: {error}.", host=host) from error
    private = sorted(address for address in found if not _is_public(address))
    if private and not allow_private:
        raise RefusedError(
            f"the webhook's host '{host}' is {private[0]}, an address of a private network. If it is meant, write "
            "'allow_private = true' beside it in headwater.toml.",
            host=host,
        )
    # IPv4 first: a host with both answers there more often.
    return sorted(found, key=lambda address: (":" in address, address))[0]


def _is_public(address: str) -> bool:
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            return found.ipv4_mapped.is_global
        if found.sixtofour is not None or found.teredo is not None or found in _TRANSLATED:
            return False  # an IPv4 address inside, which may be a private one
    return found.is_global and not found.is_multicast


def _connection(parts: SplitResult, address: str) -> http.client.HTTPConnection:
    import http.client
    import ssl

    host = parts.hostname or ""
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        connection = http.client.HTTPSConnection(host, _port(parts), timeout=TIMEOUT_S)
    else:
        connection = http.client.HTTPConnection(host, _port(parts), timeout=TIMEOUT_S)

    # Asking for the name a second time could give another address than the one that was checked.
    try:
        plain = socket.create_connection((address, _port(parts)), timeout=TIMEOUT_S)
        if parts.scheme == "https":
            connection.sock = ssl.create_default_context().wrap_socket(plain, server_hostname=host)
        else:
            connection.sock = plain
    except OSError as error:
        raise UnavailableError(f"'{host}' cannot be reached: {error}.", host=host) from error
    return connection

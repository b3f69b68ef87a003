"""A project opened by URL: operations, bytes and event batches go to a server, which checks who is asking."""

from __future__ import annotations

import copy
import functools
import http.client
import os
import socket
import threading
import urllib.parse
from typing import TYPE_CHECKING, Any, NoReturn, Self

import msgspec

from headwater.errors import InvalidInputError, UnavailableError, from_document

from .base import Actor, Project, utc_now_us
from .local import claimed_actor
from .settings import Settings

if TYPE_CHECKING:
    from headwater.events import EventLog
    from headwater.ledger import Ledger
    from headwater.objects import ObjectStore
    from headwater.operation import Operation

MSGPACK = "application/msgpack"
TIMEOUT_S = 300.0
SMALL_BODY_BYTES = 16 << 10


class _Joining:
    """Sends the head of a request and a small body together: in two packets the server would wake twice."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._held: list[bytes] | None = None

    def request(self, method: str, url: str, body: Any = None, headers: Any = None, **options: Any) -> None:
        held: list[bytes] = []
        self._held = held if isinstance(body, bytes) and len(body) <= SMALL_BODY_BYTES else None
        try:
            super().request(method, url, body, headers or {}, **options)  # type: ignore[misc]  # of the connection
        finally:
            self._held = None
        if held:
            self.send(b"".join(held))

    def send(self, data: Any) -> None:
        if self._held is not None:
            self._held.append(data)
        else:
            super().send(data)  # type: ignore[misc]


class _Http(_Joining, http.client.HTTPConnection):
    pass


class _Https(_Joining, http.client.HTTPSConnection):
    pass


class _WithThread:
    """Closes a thread's connection when the thread, and with it its local state, goes."""

    def __init__(self, connection: http.client.HTTPConnection) -> None:
        self.connection = connection

    def __del__(self) -> None:
        self.connection.close()


class Transport:
    """One keep-alive connection per thread to a server; errors come back as the classes that were raised there."""

    def __init__(self, url: str, actor: Actor, token: str | None) -> None:
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise InvalidInputError(f"'{url}' is not the address of a server: write http://HOST:PORT.", url=url)
        self.url = url.rstrip("/")
        self.host = parts.hostname
        self.port = parts.port or (443 if parts.scheme == "https" else 80)
        self.secure = parts.scheme == "https"
        self.base = parts.path.rstrip("/")
        self.headers = {"Accept": MSGPACK, "X-Headwater-As": urllib.parse.quote(actor.name)}
        if token:
            self.headers["Authorization"] = f"Bearer {token}"
        self._local = threading.local()
        self._all: list[http.client.HTTPConnection] = []

    def as_actor(self, actor: Actor) -> Self:
        """Return the same transport, over the same connections, that says somebody else asks."""
        seen = copy.copy(self)
        seen.headers = {**self.headers, "X-Headwater-As": urllib.parse.quote(actor.name)}
        return seen

    def send(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> bytes:
        """Send one request and return the body of its answer.

        A connection that the server closed while idle is opened again once; a request that reached the server
        is not repeated.

        Raises:
            HeadwaterError: whatever the server raised, as its own class.
            UnavailableError: no server answers there.
        """
        response = self.open(method, path, body, headers)
        return response.read()

    def open(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> http.client.HTTPResponse:
        """Send one request and return its answer unread, for streams."""
        fresh = getattr(self._local, "connection", None) is None
        try:
            response = self._once(method, path, body, headers)
        except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError) as error:
            self._drop()
            if fresh or not (body is None or isinstance(body, bytes)):
                raise self._unreachable(error) from error
            try:
                response = self._once(method, path, body, headers)
            except (OSError, http.client.HTTPException) as again:
                self._drop()
                raise self._unreachable(again) from again
        except (OSError, http.client.HTTPException) as error:
            self._drop()
            raise self._unreachable(error) from error
        if response.status >= 400:
            raise _error_of(response)
        return response

    def _once(self, method: str, path: str, body: Any, headers: dict[str, str] | None) -> http.client.HTTPResponse:
        connection: http.client.HTTPConnection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = (_Https if self.secure else _Http)(self.host, self.port, timeout=TIMEOUT_S)
            connection.connect()
            connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._local.connection = connection
            self._all.append(connection)
            self._local.closer = _WithThread(connection)
        connection.request(method, self.base + path, body=body, headers={**self.headers, **(headers or {})})
        return connection.getresponse()

    def _drop(self) -> None:
        connection = getattr(self._local, "connection", None)
        if connection is not None:
            connection.close()
            if connection in self._all:
                self._all.remove(connection)
            self._local.connection = None

    def _unreachable(self, error: Exception) -> UnavailableError:
        return UnavailableError(
            f"no answer from {self.url} ({error}). Is the server up? 'hw up' starts one; check the address.",
            url=self.url,
        )

    def close(self) -> None:
        """Close the connections of all threads."""
        while self._all:
            self._all.pop().close()
        self._local = threading.local()


def _error_of(response: http.client.HTTPResponse) -> Exception:
    data = response.read()
    try:
        document = msgspec.msgpack.decode(data)
        return from_document(document["error"])
    except (msgspec.DecodeError, KeyError, TypeError):
        text = data[:300].decode("utf-8", "replace")
        return UnavailableError(f"the server answered {response.status} {response.reason}: {text}")


class RemoteProject(Project):
    """A project on a server. The token comes from $HEADWATER_TOKEN, the claimed name from ``--as``."""

    root = None

    def __init__(self, url: str, *, actor: str | None = None, token: str | None = None) -> None:
        self.actor = claimed_actor(actor)
        self.clock = utc_now_us
        self.settings = Settings({})
        self._transport = Transport(url, self.actor, token or os.environ.get("HEADWATER_TOKEN"))
        about = msgspec.msgpack.decode(self._transport.send("GET", "/api/v1/project"))
        self.id = about["id"]
        self.name = about["name"]

    @property
    def url(self) -> str:
        """The address of the server."""
        return self._transport.url

    @property
    def ledger(self) -> Ledger:
        self._only_there("the ledger")

    @functools.cached_property
    def _remote_objects(self) -> Any:
        from .remote_bytes import RemoteObjects

        return RemoteObjects(self._transport, self.id)

    @functools.cached_property
    def _remote_events(self) -> Any:
        from .remote_bytes import RemoteEvents

        return RemoteEvents(self._transport)

    @property
    def objects(self) -> ObjectStore:
        return self._remote_objects  # type: ignore[no-any-return]  # the part of ObjectStore that streaming routes offer

    @property
    def events(self) -> EventLog:
        return self._remote_events  # type: ignore[no-any-return]  # the part of EventLog that streaming routes offer

    def call(self, operation: Operation, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        signature = operation.signature()
        if len(args) > len(signature.positional):
            raise TypeError(f"{operation.name} takes {len(signature.positional)} arguments, {len(args)} were given")
        arguments = {**dict(zip(signature.positional, args, strict=False)), **kwargs}
        body = msgspec.msgpack.encode(arguments)
        answer = self._transport.send("POST", f"/api/v1/operations/{operation.name}", body, {"Content-Type": MSGPACK})
        return msgspec.msgpack.decode(answer, type=signature.returns)

    def as_actor(self, actor: Actor | str) -> Self:
        seen = copy.copy(self)
        seen.__dict__.pop("_remote_objects", None)
        seen.__dict__.pop("_remote_events", None)
        seen.actor = Actor(name=actor) if isinstance(actor, str) else actor
        seen._transport = self._transport.as_actor(seen.actor)
        return seen

    def close(self) -> None:
        self._transport.close()

    def _only_there(self, what: str) -> NoReturn:
        raise InvalidInputError(f"{what} of '{self.name}' is on the server {self.url}; call an operation instead.")

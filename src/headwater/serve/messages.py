"""Messages between a server and the process of an isolated model: MessagePack behind its length in 4 bytes."""

from __future__ import annotations

import socket
from typing import Any

import msgspec

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode


def send(connection: socket.socket, message: Any) -> None:
    """Send one message."""
    data = _encode(message)
    connection.sendall(len(data).to_bytes(4, "big") + data)


def receive(connection: socket.socket) -> Any:
    """Return the next message.

    Raises:
        EOFError: the other side is gone.
    """
    return _decode(_exactly(connection, int.from_bytes(_exactly(connection, 4), "big")))


def _exactly(connection: socket.socket, size: int) -> bytearray:
    data = bytearray(size)
    view = memoryview(data)
    while view:
        count = connection.recv_into(view)
        if not count:
            raise EOFError("the connection ended")
        view = view[count:]
    return data

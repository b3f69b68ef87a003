"""Messages between a run and its workers: MessagePack frames behind their length, on a socket."""

from __future__ import annotations

import socket
import struct
from typing import Any

import msgspec

_LENGTH = struct.Struct("<Q")
INLINE_BYTES = 1 << 20


def send(channel: socket.socket, message: Any, descriptors: list[int] | None = None) -> None:
    """Send one message; ``descriptors`` ride along with it."""
    data = msgspec.msgpack.encode(message)
    head = _LENGTH.pack(len(data))
    if descriptors:
        socket.send_fds(channel, [head], descriptors)
        channel.sendall(data)
    else:
        channel.sendall(head + data if len(data) < 65536 else head)
        if len(data) >= 65536:
            channel.sendall(data)


def receive(channel: socket.socket, descriptors: int = 0) -> tuple[Any, list[int]]:
    """Return one message and the descriptors that came with it; (None, []) when the other side is gone."""
    found: list[int] = []
    if descriptors:
        head, found, _, _ = socket.recv_fds(channel, _LENGTH.size, descriptors)
    else:
        head = channel.recv(_LENGTH.size)
    if not head:
        return None, []
    while len(head) < _LENGTH.size:
        more = channel.recv(_LENGTH.size - len(head))
        if not more:
            return None, []
        head += more
    data = _exactly(channel, _LENGTH.unpack(head)[0])
    return (None, []) if data is None else (msgspec.msgpack.decode(data), found)


def _exactly(channel: socket.socket, size: int) -> bytes | None:
    data = bytearray(size)
    view = memoryview(data)
    at = 0
    while at < size:
        count = channel.recv_into(view[at:])
        if not count:
            return None
        at += count
    return bytes(data)

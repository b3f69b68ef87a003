"""Choosing ports on which nothing listens."""

import random
import socket

GRPC_OFFSET = 10_000  # SeaweedFS serves gRPC on each port + 10000, and takes no other number for it


def free_port() -> int:
    """Return a loopback port that is free, as is the port 10,000 above it.

    Both lie below 32768, where Linux starts to hand out ports to outgoing connections, so that a
    connection made between the choice and the server's start cannot take it.
    """
    for _ in range(200):
        port = random.randrange(10_000, 22_000)  # not a secret
        if _is_free(port) and _is_free(port + GRPC_OFFSET):
            return port
    raise OSError("no free port found between 10000 and 32000 on 127.0.0.1 in 200 tries")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True

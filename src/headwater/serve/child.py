"""The process of an isolated model: ``python -m headwater.serve.child DESCRIPTOR``.

It holds one model version and nothing else: no project, no credentials. The bytes of its files come over the socket it
was started with, and so do rows.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from typing import Any

import msgspec

from headwater.errors import HeadwaterError, as_document
from headwater.model.execution import execution_of
from headwater.model.flavours import open_flavour
from headwater.model.loaded import Loaded
from headwater.model.values import ModelVersion

from .messages import receive, send


def answer_for(connection: socket.socket) -> None:
    """Load the version that is named first, then answer rows until the server is gone."""
    version = msgspec.convert(receive(connection), ModelVersion, strict=False)

    def get(digest: str) -> bytes:
        send(connection, {"get": digest})
        return bytes(receive(connection))

    try:
        loaded = Loaded(version, open_flavour(version, get, version.flavour), execution_of(version.flavour))
    except Exception as error:  # noqa: BLE001  # a model's code may raise anything; the server tells of it
        send(connection, {"error": _told(error)})
        return
    send(connection, {"ready": msgspec.to_builtins(loaded.execution)})
    while True:
        rows = receive(connection)
        try:
            said: dict[str, Any] = {"outputs": loaded.predict(rows, validated=True)}
        except Exception as error:  # noqa: BLE001  # as above
            said = {"error": _told(error)}
        send(connection, said)


def _told(error: Exception) -> dict[str, Any]:
    if isinstance(error, HeadwaterError):
        document = as_document(error)
        return {**document, "values": {key: str(value) for key, value in document["values"].items()}}
    return {"kind": "", "message": f"{type(error).__name__}: {error}", "values": {}}


def _end_with(parent: int) -> None:
    """End when the server is gone, also in the middle of an answer."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(0)


def main() -> None:
    """Answer over the descriptor that the command line names."""
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    with socket.socket(fileno=int(sys.argv[1])) as connection:
        try:
            answer_for(connection)
        except (EOFError, ConnectionError):
            return


if __name__ == "__main__":
    main()

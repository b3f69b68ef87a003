"""A web server for tests that answers as it is told, well or badly, and remembers what it was asked."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Handler(BaseHTTPRequestHandler):
    """Looks the path up among the site's answers."""

    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        self.server.asked.append((self.command, self.path, {k.lower(): v for k, v in self.headers.items()}))
        answer = self.server.answers.get(self.path.partition("?")[0])
        if answer is None:
            self.reply(404, b"nothing here")
        elif callable(answer):
            answer(self)
        else:
            self.reply(200, answer)

    do_HEAD = do_GET  # noqa: N815  # the name that the standard library calls

    def reply(self, status: int, body: bytes = b"", *, length: int = -1, **headers: str) -> None:
        """Answer with these headers (``_`` stands for ``-``); ``length`` says another length than the body has."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body) if length < 0 else length))
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


Answer = bytes | Callable[[Handler], None]


class Server(ThreadingHTTPServer):
    """Answers by path; ``asked`` holds method, path and headers of every request."""

    daemon_threads = True
    answers: dict[str, Answer]
    asked: list[tuple[str, str, dict[str, str]]]

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def paths(self) -> list[str]:
        return [path for _, path, _ in self.asked]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is part of the tests."""


@contextmanager
def web(**answers: Answer) -> Iterator[Server]:
    """Serve answers on a loopback port."""
    server = Server(("127.0.0.1", 0), Handler)
    server.answers = dict(answers)
    server.asked = []
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


def versioned(body: bytes, etag: str) -> Callable[[Handler], None]:
    """Return an answer that knows its ETag, and ranges under If-Range."""

    def answer(handler: Handler) -> None:
        if handler.headers.get("If-None-Match") == etag:
            handler.reply(304, ETag=etag)
            return
        handler.reply(200, body, ETag=etag)

    return answer

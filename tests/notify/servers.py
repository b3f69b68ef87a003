"""A real web server and a real mail server, each in a thread, that keep what they are sent."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import msgspec


class Posted(msgspec.Struct, frozen=True):
    """One request that the web server took."""

    path: str
    headers: dict[str, str]
    body: bytes


class Hooks:
    """What the web server was sent, and the statuses it answers with in turn (then always the last)."""

    def __init__(self) -> None:
        self.url = ""
        self.posted: list[Posted] = []
        self.statuses = [200]


@contextmanager
def web_server() -> Iterator[Hooks]:
    hooks = Hooks()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            hooks.posted.append(Posted(self.path, dict(self.headers.items()), body))
            status = hooks.statuses.pop(0) if len(hooks.statuses) > 1 else hooks.statuses[0]
            self.send_response(status)
            if status == 302:
                self.send_header("Location", hooks.url + "/elsewhere")
            self.send_header("Content-Length", "4")
            self.end_headers()
            self.wfile.write(b"noted"[:4])

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing: the tests read what was sent."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    hooks.url = f"http://127.0.0.1:{server.server_port}"
    with _in_thread(server.serve_forever):
        try:
            yield hooks
        finally:
            server.shutdown()
            server.server_close()


class Mails:
    """What the mail server was sent (sender, receivers, text), and the addresses it refuses."""

    def __init__(self) -> None:
        self.port = 0
        self.lines: list[str] = []
        self.taken: list[tuple[str, list[str], str]] = []
        self.refused: dict[str, str] = {}


@contextmanager
def mail_server() -> Iterator[Mails]:
    """Speak as much SMTP (RFC 5321) as a client needs; STARTTLS is not offered."""
    mails = Mails()
    loop = asyncio.new_event_loop()
    ready = threading.Event()
    stop = asyncio.Event()

    async def serve() -> None:
        server = await asyncio.start_server(lambda reader, writer: _talk(mails, reader, writer), "127.0.0.1", 0)
        mails.port = server.sockets[0].getsockname()[1]
        ready.set()
        async with server:
            await stop.wait()

    with _in_thread(lambda: loop.run_until_complete(serve())):
        ready.wait(10)
        try:
            yield mails
        finally:
            loop.call_soon_threadsafe(stop.set)
    loop.close()


async def _talk(mails: Mails, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    def say(text: str) -> None:
        writer.write(f"{text}\r\n".encode())

    sender, receivers = "", list[str]()
    say("220 test")
    while line := (await reader.readline()).decode().strip():
        mails.lines.append(line)
        verb = line.split()[0].upper()
        if verb == "EHLO":
            say("250-test")
            say("250 AUTH PLAIN")
        elif verb == "AUTH":
            say("235 welcome")
        elif verb == "MAIL":
            sender, receivers = line.partition(":")[2].split()[0].strip("<>"), []
            say("250 ok")
        elif verb == "RCPT":
            receiver = line.partition(":")[2].strip().strip("<>")
            receivers += [] if receiver in mails.refused else [receiver]
            say(mails.refused.get(receiver, "250 ok"))
        elif verb == "DATA":
            say("354 go on")
            text = (await reader.readuntil(b"\r\n.\r\n")).decode()
            mails.taken.append((sender, receivers, text))
            say("250 taken")
        elif verb == "QUIT":
            say("221 bye")
            break
        else:
            say("250 ok")
    await writer.drain()
    writer.close()


@contextmanager
def _in_thread(act: Callable[[], object]) -> Iterator[None]:
    thread = threading.Thread(target=act, daemon=True)
    thread.start()
    try:
        yield
    finally:
        thread.join(10)

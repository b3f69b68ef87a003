"""A vendor's API on this machine, which counts what it is asked."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


class Vendor:
    """A server that says late from 16 on; ``codes`` are answered first."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.codes: list[int] = []
        self.body: bytes | None = None
        self.drips = ""
        vendor = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                given = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                vendor.asked.append(given)
                vendor.headers.append(dict(self.headers))
                code = vendor.codes.pop(0) if vendor.codes else 200
                late = given["rows"][0]["hour"] >= 16
                answer = vendor.body or json.dumps({"answers": [{"late": late, "sure": 0.75}]}).encode()
                if vendor.drips:
                    self.drip()
                    return
                self.send_response(code)
                if code == 302:
                    self.send_header("Location", "http://127.0.0.1:1/")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def drip(self) -> None:
                """Answer a byte now and then, in the head or in the body, which has no stated length."""
                head = b"HTTP/1.0 200 OK\r\n\r\n"
                at_once = head if vendor.drips == "body" else b""
                try:
                    self.wfile.write(at_once)
                    for byte in (head + b"1" * 20)[len(at_once) :]:
                        time.sleep(0.05)
                        self.wfile.write(bytes([byte]))
                except OSError:
                    return

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self.thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

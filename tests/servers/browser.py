"""A headless Chromium, driven over its debugging port."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tests.servers import process

if TYPE_CHECKING:
    from playwright.sync_api import Page

QUIET = [
    "--headless=new",
    "--no-sandbox",  # it refuses to run as root with one; it only sees our own pages
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def start(folder: Path) -> tuple[subprocess.Popen[bytes], dict[str, str]]:
    """Start a browser with an empty profile in ``folder``; return it and ``{"cdp": ...}``."""
    program = process.required_program("chromium", package="chromium")
    profile, log = folder / "profile", folder / "log"
    command = [program, *QUIET, f"--user-data-dir={profile}", "--remote-debugging-port=0", "about:blank"]
    server = process.start(command, log=log, environment={"HOME": str(folder)})
    port = profile / "DevToolsActivePort"
    process.wait_until(lambda: port.exists() and port.read_text() != "", server, log=log, timeout_s=60)
    return server, {"cdp": f"http://127.0.0.1:{port.read_text().splitlines()[0]}"}


@contextmanager
def new_page(cdp: str) -> Iterator[Page]:
    """Yield a page with its own cookies and storage; afterwards, fail if it broke or asked another host.

    The driver lives as long as the page: one kept for the whole run would leave its event loop
    running in this thread, and every later `asyncio.run` would fail.
    """
    from playwright.sync_api import sync_playwright

    wrong: list[str] = []

    def note_request(url: str) -> None:
        if urlsplit(url).scheme in ("http", "https", "ws", "wss") and urlsplit(url).hostname != "127.0.0.1":
            wrong.append(f"asked another host: {url}")

    def note_console(text: str) -> None:
        if "Content Security Policy" in text:
            wrong.append(text)

    with sync_playwright() as playwright:
        context = playwright.chromium.connect_over_cdp(cdp).new_context()
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.on("pageerror", lambda error: wrong.append(f"uncaught in the page: {error}"))
        page.on("console", lambda message: note_console(message.text))
        page.on("request", lambda request: note_request(request.url))
        yield page
        context.close()
    if wrong:
        raise AssertionError("\n".join(wrong))

"""Floor of metric logging: one Starlette route that writes what it is given to SQLite, synced, and answers.

Served by granian with one worker, as Headwater is; the database is named by $FLOOR_DATABASE.
"""

import json
import os
import sqlite3

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route


def create() -> Starlette:
    """Return the application, with its table made."""
    ledger = sqlite3.connect(os.environ["FLOOR_DATABASE"])
    ledger.execute("PRAGMA journal_mode=WAL")
    ledger.execute("PRAGMA synchronous=FULL")
    ledger.execute("CREATE TABLE IF NOT EXISTS points (run, key, step, at, value)")

    async def log(request: Request) -> Response:
        points = json.loads(await request.body())
        with ledger:
            ledger.executemany("INSERT INTO points VALUES (?, ?, ?, ?, ?)", points)
        return Response(b"{}")

    async def healthy(request: Request) -> Response:
        return Response(b"{}")

    return Starlette(routes=[Route("/log", log, methods=["POST"]), Route("/healthz", healthy)])

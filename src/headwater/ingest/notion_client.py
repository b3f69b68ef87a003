"""Asking Notion's API: its version, its pages of results, its rate limit, its refusals.

Source: the public reference at developers.notion.com, version 2025-09-03 (databases hold data sources).
"""

from __future__ import annotations

import http.client
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from typing import Any

import msgspec

from ..errors import HeadwaterError, InvalidInputError, SourceMissingError, UnavailableError
from .fetching import agent
from .secrets import scrubbed

VERSION = "2025-09-03"
PAGE_SIZE = 100  # the most that Notion gives at once
_TRIES = 6
_LONGEST_WAIT_S = 120.0
_AGAIN = frozenset({409, 429, 500, 502, 503, 504, 529})


class NotionClient:
    """Reads; never more than ``per_second`` requests a second, and later where Notion says so.

    ``server_time`` is Notion's own clock at the last answer, in seconds since 1970 (0 before the first).
    """

    def __init__(self, address: str, token: str, *, per_second: float, timeout_s: float) -> None:
        self._address = address.rstrip("/")
        self._token = token
        self._interval_s = 1 / per_second
        self._timeout_s = timeout_s
        self._next_at = 0.0
        self.server_time = 0.0

    def get(self, path: str, **query: str) -> dict[str, Any]:
        """Return what a path answers."""
        return self._asked("GET", path + (f"?{urllib.parse.urlencode(query)}" if query else ""), None)

    def get_all(self, path: str) -> Iterator[dict[str, Any]]:
        """Yield the results of a path, page after page."""
        cursor: dict[str, str] = {}
        while True:
            answer = self.get(path, page_size=str(PAGE_SIZE), **cursor)
            yield from answer.get("results", [])
            cursor = _next(answer, cursor, path)
            if not cursor:
                return

    def query_all(self, path: str, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Yield the results of a query, page after page."""
        cursor: dict[str, str] = {}
        while True:
            answer = self._asked("POST", path, {**body, "page_size": PAGE_SIZE, **cursor})
            yield from answer.get("results", [])
            cursor = _next(answer, cursor, path)
            if not cursor:
                return

    def _asked(self, method: str, path: str, body: dict[str, Any] | None) -> dict[str, Any]:
        why = ""
        for attempt in range(_TRIES):
            self._wait_for_turn()
            try:
                return self._answer(method, path, body)
            except urllib.error.HTTPError as error:
                with error:
                    text, wait_s = _said(error), _wait_s(error, attempt)
                if error.code not in _AGAIN:
                    raise _refusal(error.code, text, path) from None
                why = f"{error.code} {text}"
            except (OSError, http.client.HTTPException) as error:
                why, wait_s = str(error) or type(error).__name__, 2.0**attempt / 2
            self._next_at = time.monotonic() + min(wait_s, _LONGEST_WAIT_S)
        raise UnavailableError(
            f"Notion did not answer {path} in {_TRIES} tries: {scrubbed(why)}. Nothing was taken in; pull again later.",
            path=path,
        )

    def _wait_for_turn(self) -> None:
        left_s = self._next_at - time.monotonic()
        if left_s > 0:
            time.sleep(left_s)
        self._next_at = time.monotonic() + self._interval_s

    def _answer(self, method: str, path: str, body: dict[str, Any] | None) -> dict[str, Any]:
        request = urllib.request.Request(
            f"{self._address}/v1/{path}",
            method=method,
            data=None if body is None else msgspec.json.encode(body),
            headers={
                "Authorization": f"Bearer {self._token}",
                "Notion-Version": VERSION,
                "Content-Type": "application/json",
                "User-Agent": agent(),
            },
        )
        with urllib.request.urlopen(request, timeout=self._timeout_s) as answer:
            self.server_time = _clock(answer.headers.get("Date"))
            try:
                found: dict[str, Any] = msgspec.json.decode(answer.read())
            except msgspec.DecodeError as error:
                raise OSError(f"the answer is no JSON: {error}") from None
            return found


def _next(answer: dict[str, Any], before: dict[str, str], path: str) -> dict[str, str]:
    """Return the cursor of the next page, {} at the end."""
    following = answer.get("next_cursor")
    if not answer.get("has_more") or not following:
        return {}
    if before.get("start_cursor") == following:
        raise UnavailableError(f"Notion gives the same page of {path} again and again. Pull again later.", path=path)
    return {"start_cursor": following}


def _wait_s(error: urllib.error.HTTPError, attempt: int) -> float:
    said = error.headers.get("Retry-After", "") if error.headers else ""
    return float(said) if said.replace(".", "", 1).isdigit() else 2.0**attempt / 2


def _said(error: urllib.error.HTTPError) -> str:
    data = error.read(10_000)
    try:
        return str(msgspec.json.decode(data)["message"])[:500]
    except (msgspec.DecodeError, KeyError, TypeError):
        return data[:200].decode("utf-8", "replace")


def _refusal(status: int, text: str, path: str) -> HeadwaterError:
    said = f"Notion answered {status} to {path}: {scrubbed(text).rstrip('.')}."
    if status == 401:
        return InvalidInputError(f"{said} Check the token in the environment variable that 'token' names.", path=path)
    if status == 403:
        return InvalidInputError(f"{said} Give the integration the capability to read content.", path=path)
    if status == 404:
        return SourceMissingError(
            f"{said} Check the id, and share the page or database with the integration ('Connections' in its menu).",
            path=path,
        )
    return InvalidInputError(f"{said} Correct the source's settings.", path=path)


def _clock(date: str | None) -> float:
    if not date:
        return time.time()
    try:
        return parsedate_to_datetime(date).timestamp()
    except ValueError:
        return time.time()

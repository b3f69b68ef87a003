"""What notifiers and deliveries are, as operations take and return them."""

from __future__ import annotations

from typing import Any, Literal

import msgspec


class Notifier(msgspec.Struct, frozen=True, kw_only=True):
    """Who is told of what: one ``[[notify]]`` of headwater.toml.

    ``on`` holds kinds of announcements, ``match`` the attributes that the fact must have (``*`` is anything).
    ``target`` is the URL, or the addresses joined by commas.
    """

    name: str
    kind: Literal["webhook", "email"]
    on: tuple[str, ...]
    match: dict[str, str]
    target: str


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """One message to one notifier. ``next_at`` is when it is tried next, by the database's time."""

    id: str
    notifier: str
    event: str
    ref: str
    body: dict[str, Any]
    status: Literal["waiting", "sent", "failed"]
    attempts: int
    next_at: int
    answer: str
    created_at: int
    ended_at: int | None

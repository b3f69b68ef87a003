"""What a door answers, where that is more than a JSON document."""

from __future__ import annotations

from collections.abc import Sequence

Header = tuple[bytes, bytes]


class Reply:
    """An answer that is not a JSON document of its own, or has headers of its own."""

    __slots__ = ("body", "headers", "status")

    def __init__(self, body: bytes, content_type: bytes, status: int = 200, headers: Sequence[Header] = ()) -> None:
        self.body = body
        self.status = status
        self.headers = [(b"content-type", content_type), *headers]

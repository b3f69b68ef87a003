"""What a verification found: the one value that every room's ``verify`` yields."""

from __future__ import annotations

from typing import Literal

import msgspec


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """Something that is not as it should be.

    ``kind`` is a fixed word ("object", "pack", ...), ``what`` names the thing (a digest, an id, a path),
    ``message`` says what is wrong and what to do. A note is no damage, only worth knowing.
    """

    kind: str
    what: str
    message: str
    severity: Literal["error", "note"] = "error"

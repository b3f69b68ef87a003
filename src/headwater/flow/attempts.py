"""Whether a step that failed is run again, and when."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from headwater.canonical import digest

if TYPE_CHECKING:
    from .steps import Options

LONGEST_BACKOFF_S = 3600.0


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One execution of a step that failed and was followed by another, after ``waited_s``."""

    started_at: int
    seconds: float
    error: str
    waited_s: float


def pause_before_next(options: Options, failed: int, answer: dict[str, Any], task: str) -> float | None:
    """Return after how many seconds a step that failed ``failed`` times runs again, None when it does not.

    ``answer`` is that of the last attempt. The pause doubles with each attempt and is shortened by up to half, by a
    share that the task's id decides, so that many which failed together do not come back together.
    """
    if failed > options.retries or answer.get("refused"):
        return None
    kinds = answer.get("kinds", [])
    if options.retry_on:
        if not any(kind in options.retry_on for kind in kinds):
            return None
    elif kinds[:1] in (["MemoryError"], ["CancelledError"]) and "killed" in answer:
        return None  # it would need as much again; or somebody wanted it to end
    share = int(digest(f"{task}:{failed}".encode())[:8], 16) / 2**32
    longest = min(options.backoff_s * 2 ** (failed - 1), LONGEST_BACKOFF_S)
    return float(longest * (1 - share / 2))

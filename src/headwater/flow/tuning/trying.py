"""One trial of a search: a flow run in a process of its own, so that it can be stopped. Prints how it went as JSON."""

from __future__ import annotations

import sys
from typing import Any

import msgspec


class Asked(msgspec.Struct, kw_only=True):
    """What to run: the project's place, the flow, its arguments, the run to be made and the search it belongs to."""

    place: str
    actor: str
    flow: str
    arguments: dict[str, Any]
    parent: str
    tags: dict[str, str]
    workers: int


class Tried(msgspec.Struct, kw_only=True):
    """How it went; ``value`` is what the flow returned where that is a number or a mapping of numbers."""

    run: str
    status: str
    error: str
    value: float | dict[str, float] | None = None


def main() -> None:
    """Read what to run from standard input, run it, and print how it went."""
    from headwater.project import open_project

    from ..running import execute_flow

    asked = msgspec.json.decode(sys.stdin.buffer.read(), type=Asked)
    with open_project(asked.place, actor=asked.actor) as project:
        done = execute_flow(
            project, asked.flow, asked.arguments, workers=asked.workers, tags=asked.tags, parent=asked.parent
        )
    tried = Tried(run=done.run.id, status=done.run.status, error=done.run.error, value=_numbers(done.returned))
    sys.stdout.write(f"\n{msgspec.json.encode(tried).decode()}\n")


def _numbers(returned: Any) -> float | dict[str, float] | None:
    if isinstance(returned, dict):
        return {str(key): float(value) for key, value in returned.items() if _is_number(value)}
    return float(returned) if _is_number(returned) else None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) or (hasattr(value, "item") and getattr(value, "shape", None) == ())


if __name__ == "__main__":
    main()

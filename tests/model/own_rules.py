"""The rule of ``own_models``, in a module of its own."""

from typing import Any


def is_late(hours: Any, limit: int) -> Any:
    """Tell of each hour whether it is late."""
    return hours >= limit

"""A kit for testing flows: run one on a sample in this process, look at what each step got and gave.

    result = testing.run(monthly, {"month": "2026-01"}, data={"flights@main": frame}, rows=1000)
    assert result.step("clean").value["delay"].min() >= 0

``import headwater.testing``; pytest finds the fixtures ``hw_project`` and ``hw_flow`` by itself. What this room leaves
to others: running for good (flow).
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .calls import StepCall, StepCalls
    from .data import put_data
    from .running import Result, run, temporary_project

_HOMES = {
    "Result": "running",
    "StepCall": "calls",
    "StepCalls": "calls",
    "put_data": "data",
    "run": "running",
    "temporary_project": "running",
}

__all__ = ["Result", "StepCall", "StepCalls", "put_data", "run", "temporary_project"]


def __getattr__(name: str) -> Any:
    # Loaded when used: pytest imports this package for its fixtures in every project that has Headwater installed.
    if name not in _HOMES:
        raise AttributeError(f"module 'headwater.testing' has no attribute '{name}'")
    value = getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)
    globals()[name] = value
    return value

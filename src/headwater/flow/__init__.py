"""Flows: plain functions as steps, remembered soundly, run in parallel in processes of their own.

``step`` and ``flow`` mark functions; ``execute_flow`` runs a flow in this process, ``run_flow`` is the operation.
What this room leaves to others: when to run (jobs), where models go (model), what runs look like (track).
"""

from __future__ import annotations

import importlib
import sys
import types
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .current import active_run, current_run_id, current_task_id
    from .explaining import ExplainedTask, Explanation, explain
    from .finding import FlowInfo, list_flows, show_flow
    from .handles import Handle
    from .operations import Task, get_tasks, load_result, run_flow
    from .refs import DataRef
    from .running import Outcome, execute_flow
    from .saving import Format, register_format
    from .steps import Flow, Step, flow, step
    from .tasks import TaskReport

# Names are loaded when first used: a worker imports only what a worker needs, a remembered run only what it needs.
_HOMES = {
    "DataRef": "refs",
    "TaskReport": "tasks",
    "ExplainedTask": "explaining",
    "Explanation": "explaining",
    "Flow": "steps",
    "FlowInfo": "finding",
    "Format": "saving",
    "Handle": "handles",
    "Outcome": "running",
    "Step": "steps",
    "Task": "operations",
    "active_run": "current",
    "current_run_id": "current",
    "current_task_id": "current",
    "execute_flow": "running",
    "explain": "explaining",
    "flow": "steps",
    "get_tasks": "operations",
    "list_flows": "finding",
    "load_result": "operations",
    "register_format": "saving",
    "run_flow": "operations",
    "show_flow": "finding",
    "step": "steps",
}

__all__ = [
    "DataRef",
    "ExplainedTask",
    "Explanation",
    "Flow",
    "FlowInfo",
    "Format",
    "Handle",
    "Outcome",
    "Step",
    "Task",
    "TaskReport",
    "active_run",
    "current_run_id",
    "current_task_id",
    "execute_flow",
    "explain",
    "flow",
    "get_tasks",
    "list_flows",
    "load_result",
    "register_format",
    "run_flow",
    "show_flow",
    "step",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'headwater.flow' has no attribute '{name}'")
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


# The operations of this room exist from here on: faces find them by importing the room.
importlib.import_module(f"{__name__}.operations")


class _CallableModule(types.ModuleType):
    """This package under the name ``hw.flow``, which is also the decorator: importing a package binds its name."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        from .steps import flow

        return flow(*args, **kwargs)


sys.modules[__name__].__class__ = _CallableModule

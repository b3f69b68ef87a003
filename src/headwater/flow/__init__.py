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
    from .approving import Approved, approval
    from .attempts import Attempt
    from .cancelling import cancel_run
    from .cards import CardInfo, list_cards, read_card
    from .command_files import File
    from .commands import command
    from .current import active_run, current_run_id, current_task_id
    from .described import check_flow_file
    from .drawing import draw_flow
    from .explaining import ExplainedTask, Explanation, explain
    from .finding import FlowInfo, list_flows, show_flow
    from .handles import Handle
    from .items import DataFile, Partition, RowBatch
    from .live import Spectator
    from .notebooks import notebook
    from .operations import Task, get_tasks, load_result, run_flow
    from .progressing import Progress, TaskPage, get_progress, list_spans, list_tasks
    from .publishing import NotebookInfo, get_notebook, list_notebooks
    from .questions import Question, approve_run, list_questions, reject_run
    from .refs import DataRef
    from .running import Outcome, execute_flow
    from .saving import Format, register_format
    from .schemas import Field, Schema
    from .steps import Flow, Step, flow, step
    from .stream_contracts import Contract
    from .streams import (
        Advance,
        Rejected,
        Stream,
        StreamStatus,
        accept_contract,
        advance_stream,
        list_rejects,
        list_streams,
        stream_status,
    )
    from .tasks import TaskReport
    from .telling import card, log_artefact, progress

# Names are loaded when first used: a worker imports only what a worker needs, a remembered run only what it needs.
_HOMES = {
    "Advance": "streams",
    "Approved": "approving",
    "Contract": "stream_contracts",
    "Question": "questions",
    "Rejected": "streams",
    "Stream": "streams",
    "StreamStatus": "streams",
    "accept_contract": "streams",
    "advance_stream": "streams",
    "approval": "approving",
    "approve_run": "questions",
    "list_questions": "questions",
    "list_rejects": "streams",
    "list_streams": "streams",
    "reject_run": "questions",
    "stream_status": "streams",
    "Attempt": "attempts",
    "read_card": "cards",
    "list_cards": "cards",
    "CardInfo": "cards",
    "TaskPage": "progressing",
    "Progress": "progressing",
    "list_spans": "progressing",
    "list_tasks": "progressing",
    "get_progress": "progressing",
    "Spectator": "live",
    "cancel_run": "cancelling",
    "log_artefact": "telling",
    "card": "telling",
    "progress": "telling",
    "DataFile": "items",
    "DataRef": "refs",
    "Field": "schemas",
    "Partition": "items",
    "RowBatch": "items",
    "Schema": "schemas",
    "TaskReport": "tasks",
    "ExplainedTask": "explaining",
    "Explanation": "explaining",
    "File": "command_files",
    "Flow": "steps",
    "FlowInfo": "finding",
    "Format": "saving",
    "Handle": "handles",
    "Outcome": "running",
    "Step": "steps",
    "Task": "operations",
    "active_run": "current",
    "check_flow_file": "described",
    "command": "commands",
    "current_run_id": "current",
    "current_task_id": "current",
    "execute_flow": "running",
    "explain": "explaining",
    "flow": "steps",
    "get_tasks": "operations",
    "list_flows": "finding",
    "draw_flow": "drawing",
    "get_notebook": "publishing",
    "list_notebooks": "publishing",
    "NotebookInfo": "publishing",
    "load_result": "operations",
    "notebook": "notebooks",
    "register_format": "saving",
    "run_flow": "operations",
    "show_flow": "finding",
    "step": "steps",
}

__all__ = [
    "Advance",
    "Approved",
    "Attempt",
    "CardInfo",
    "Contract",
    "DataFile",
    "DataRef",
    "ExplainedTask",
    "Explanation",
    "Field",
    "File",
    "Flow",
    "FlowInfo",
    "Format",
    "Handle",
    "NotebookInfo",
    "Outcome",
    "Partition",
    "Progress",
    "Question",
    "Rejected",
    "RowBatch",
    "Schema",
    "Spectator",
    "Step",
    "Stream",
    "StreamStatus",
    "Task",
    "TaskPage",
    "TaskReport",
    "accept_contract",
    "active_run",
    "advance_stream",
    "approval",
    "approve_run",
    "cancel_run",
    "card",
    "check_flow_file",
    "command",
    "current_run_id",
    "current_task_id",
    "draw_flow",
    "execute_flow",
    "explain",
    "flow",
    "get_notebook",
    "get_progress",
    "get_tasks",
    "list_cards",
    "list_flows",
    "list_notebooks",
    "list_questions",
    "list_rejects",
    "list_spans",
    "list_streams",
    "list_tasks",
    "load_result",
    "log_artefact",
    "notebook",
    "progress",
    "read_card",
    "register_format",
    "reject_run",
    "run_flow",
    "show_flow",
    "step",
    "stream_status",
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

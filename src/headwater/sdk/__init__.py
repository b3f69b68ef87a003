"""What ``import headwater as hw`` offers: a small, lazy, typed front to the rooms below.

Each name is loaded from its room when it is first used, so that importing Headwater costs nothing.
"""

from __future__ import annotations

import importlib
from typing import Any

NAMES: dict[str, str] = {
    "open": "headwater.project:open_project",
    "init": "headwater.project:create_project",
    "current": "headwater.project:current_project",
    "data": "headwater.sdk.reading:data",
    "files": "headwater.sdk.reading:files",
    "commit": "headwater.sdk.reading:commit",
    "step": "headwater.flow:step",
    "flow": "headwater.flow:flow",
    "approval": "headwater.flow:approval",
    "progress": "headwater.flow:progress",
    "card": "headwater.flow:card",
    "log_artefact": "headwater.flow:log_artefact",
    "command": "headwater.flow:command",
    "File": "headwater.flow:File",
    "notebook": "headwater.flow:notebook",
    "Schema": "headwater.flow:Schema",
    "Field": "headwater.flow:Field",
    "track": "headwater.track:here",
    "check": "headwater.check:check",
    "source": "headwater.ingest:source",
    "theory": "headwater.ingest:theory",
    "gate": "headwater.release:gate",
    "register_model": "headwater.sdk.models:register_model",
    "load_model": "headwater.sdk.models:load_model",
    "model": "headwater.sdk.models:model",
}


def __getattr__(name: str) -> Any:
    if name not in NAMES:
        raise AttributeError(f"module 'headwater.sdk' has no attribute '{name}'")
    module, _, attribute = NAMES[name].partition(":")
    value = getattr(importlib.import_module(module), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(NAMES)

"""A team's own gates: Python functions in files of the project."""

from __future__ import annotations

import importlib.util
import inspect
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from headwater.errors import InvalidInputError, NotFoundError
from headwater.project import Project

from ..values import GateResult
from .reader import Gate, GateReader


def python_gate(project: Project, function: str) -> Gate:
    """Return the gate ``FILE.py:FUNCTION`` of the project's folder. A gate that raises is closed, and says so.

    Raises:
        NotFoundError: there is no such file or function.
        InvalidInputError: the file is outside the project's folder, or the function is not marked with ``@hw.gate``.
    """
    own = _load(project, function)
    name = f"python:{function}"
    wants = (own.__doc__ or f"{own.__name__} to hold").strip().split("\n", 1)[0]

    def look(reader: GateReader) -> GateResult:
        try:
            return _result(name, wants, own(reader))
        except Exception as error:  # noqa: BLE001  # a team's own code; a gate that cannot answer is closed
            where = traceback.extract_tb(error.__traceback__)[-1]
            found = f"it raised {type(error).__name__}: {error} ({Path(where.filename).name}:{where.lineno})"
            return GateResult(name=name, open=False, found=found, wants=wants)

    return look


def _load(project: Project, function: str) -> Callable[[GateReader], Any]:
    file, _, attribute = function.rpartition(":")
    root = project.root
    if root is None or not file or not (root / file).resolve().is_relative_to(root.resolve()):
        raise InvalidInputError(
            f"the gate 'python:{function}' must name a file inside the project's folder and a function: "
            "python:gates.py:reviewed."
        )
    path = root / file
    spec = importlib.util.spec_from_file_location(f"headwater_gates_{path.stem}", path)
    if spec is None or spec.loader is None or not path.exists():
        raise NotFoundError(f"the gate 'python:{function}' names '{file}', which is not in the project's folder.")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    own = getattr(module, attribute, None)
    if own is None:
        raise NotFoundError(f"'{file}' has no function '{attribute}', which the gate 'python:{function}' names.")
    if not getattr(own, "headwater_gate", False):
        raise InvalidInputError(f"'{attribute}' in '{file}' is not marked as a gate: write @hw.gate above it.")
    found: Callable[[GateReader], Any] = own
    return found


def _result(name: str, wants: str, said: Any) -> GateResult:
    """Return what a function said as a gate's result: True alone opens, and what is neither True nor False is told."""
    given = said.open if isinstance(said, GateResult) else said[0] if isinstance(said, tuple) and said else said
    if not isinstance(given, bool | np.bool_):
        # A text is truthy, and so are NaN and a coroutine that nobody awaited: none of them is a yes.
        if inspect.iscoroutine(given):
            given.close()
        found = f"it said {type(given).__name__} {str(given)[:80]!r}, neither True nor False: let it return one of them"
        return GateResult(name=name, open=False, found=found, wants=wants)
    if isinstance(said, GateResult):
        return msgspec.structs.replace(said, open=bool(given))
    _, found = said if isinstance(said, tuple) else (said, "")
    return GateResult(
        name=name, open=bool(given), found=str(found) or ("it holds" if given else "it does not"), wants=wants
    )

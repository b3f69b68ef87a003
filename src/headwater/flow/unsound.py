"""What makes a key unsound, in sentences: seen in the code before a step runs, and in what it did after."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .facts import Hazard
    from .steps import Options


def static_warnings(options: Options, hazards: Iterable[tuple[str, Hazard]]) -> list[str]:
    """Return a sentence for each call in a step's code that no key can see, with its file and line."""
    if options.impure:
        return []
    return [
        f"{path}:{hazard.line}: {hazard.text}: a remembered result will not see it change. "
        "Pass it as an argument, or mark the step impure=True."
        for path, hazard in hazards
        if not (hazard.seeded and options.seed is not None)
    ]


def runtime_warnings(options: Options, answer: dict[str, Any]) -> list[str]:
    """Return a sentence for each thing that a step read, by a worker's answer, and did not declare."""
    if options.impure:
        return []
    declared = {os.path.normpath(each) for each in options.files}
    found = []
    for kind, name, *_ in answer.get("reads", ()):
        if kind == "file" and os.path.normpath(name) not in declared:
            found.append(
                f"it read the file {name}, which it does not declare: its content is remembered with the result. "
                f"Declare it: @step(files=[{name!r}])."
            )
        elif kind == "env" and name not in options.env:
            found.append(
                f"it read the environment variable {name}, which it does not declare: its value is remembered with "
                f"the result. Declare it: @step(env=[{name!r}])."
            )
    for address in answer.get("sockets", ()):
        found.append(
            f"it connected to {address}: a remembered result will not see what is there change. "
            "Mark the step impure=True, or fetch in a step of its own."
        )
    return found

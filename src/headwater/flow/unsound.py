"""What makes a key unsound, in sentences: seen in the code before a step runs, and in what it did after."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .facts import Hazard
    from .steps import Options


# How a worker's answer tells a started program from an address.
PROGRAM = "program "


def static_warnings(options: Options, hazards: Iterable[tuple[str, Hazard]]) -> list[str]:
    """Return a sentence for each call in a step's code that no key can see, with its file and line."""
    if options.impure:
        return []
    return [
        f"{path}:{hazard.line}: {hazard.text}: {_advice(hazard.settles)}"
        for path, hazard in hazards
        if not _settled(hazard.settles, options)
    ]


def _settled(by: str, options: Options) -> bool:
    if by == "seed":
        return options.seed is not None
    return bool(options.files) if by == "files" else by.startswith("env:") and by[4:] in options.env


def _advice(settles: str) -> str:
    if settles == "files":
        return "a remembered result will not see it change. Declare what it reads: @step(files=[...])."
    if settles.startswith("env:"):
        return f"its value is remembered with the result. Declare it: @step(env=[{settles[4:]!r}])."
    more = "Give it a seed, say @step(seed=1)" if settles == "seed" else "Pass it as an argument"
    return f"a remembered result will not see it change. {more}, or mark the step impure=True."


def runtime_warnings(options: Options, answer: dict[str, Any], said: Iterable[str] = ()) -> list[str]:
    """Return a sentence for each thing that a step read, by a worker's answer, and did not declare.

    ``said`` are the warnings there are already: a variable that one of them names is not named again.
    """
    known = " ".join(said)
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
        elif kind == "env" and name not in options.env and f"environment variable {name}:" not in known:
            found.append(
                f"it read the environment variable {name}, which it does not declare: its value is remembered with "
                f"the result. Declare it: @step(env=[{name!r}])."
            )
    for address in answer.get("sockets", ()):
        if address.startswith(PROGRAM):
            found.append(
                f"it started {address.removeprefix(PROGRAM)}: what a program reads is not seen. Declare its files "
                "with @step(files=[...]), make it a command step, or mark the step impure=True."
            )
            continue
        found.append(
            f"it connected to {address}: a remembered result will not see what is there change. "
            "Mark the step impure=True, or fetch in a step of its own."
        )
    return found

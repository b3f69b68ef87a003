"""Operations on a dataset of the lake that also take a frame in memory, which cannot travel to a server.

With a dataset's ref such an operation runs where the project is. With a frame its body runs here, and what it reads and
records are operations of their own, so that it works on a project opened by URL too.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, TypeVar

from headwater.project import Project

P = ParamSpec("P")
R = TypeVar("R")


def or_frame(
    declared: Callable[Concatenate[Project, str, str, P], R],
) -> Callable[Concatenate[Project, str, Any, P], R]:
    """Let an operation ``(project, model, data, ...)`` take a frame for ``data`` as well as a dataset's ref."""
    body: Callable[..., R] = declared.operation.body  # type: ignore[attr-defined]  # @operation put it there

    def either(project: Project, model: str, data: Any, /, *args: P.args, **kwargs: P.kwargs) -> R:
        act = declared if isinstance(data, str) else body
        return act(project, model, data, *args, **kwargs)

    functools.update_wrapper(either, declared)
    return either


def or_frame_of_two(
    declared: Callable[Concatenate[Project, str, str, str, P], R],
) -> Callable[Concatenate[Project, str, str, Any, P], R]:
    """Let an operation ``(project, champion, challenger, data, ...)`` take a frame as ``or_frame`` does."""
    body: Callable[..., R] = declared.operation.body  # type: ignore[attr-defined]  # @operation put it there

    def either(project: Project, champion: str, challenger: str, data: Any, /, *args: P.args, **kwargs: P.kwargs) -> R:
        act = declared if isinstance(data, str) else body
        return act(project, champion, challenger, data, *args, **kwargs)

    functools.update_wrapper(either, declared)
    return either

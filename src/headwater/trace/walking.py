"""Walking the lineage."""

from __future__ import annotations

from headwater.operation import operation
from headwater.project import Project

from .values import Direction, Graph


@operation("trace.walk", needs="trace:read")
def trace(
    project: Project, ref: str, direction: Direction = "up", *, depth: int = 20, most: int = 2000
) -> Graph:
    """Return what a thing came from (``up``) or what came from it (``down``)."""
    raise NotImplementedError

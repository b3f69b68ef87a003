"""Windows."""

from __future__ import annotations

from headwater.operation import operation
from headwater.project import Project

from .values import Kind, Window


@operation("monitor.windows.list", needs="monitor:read")
def list_windows(
    project: Project,
    monitor: str,
    *,
    kind: Kind | None = None,
    version: str | None = None,
    limit: int = 100,
    before: int | None = None,
) -> list[Window]:
    """Return measured windows, newest first; ``before`` is a ``start_at`` to continue below."""
    raise NotImplementedError

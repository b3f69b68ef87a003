"""``hw.track``: a block of one's own code as a run of the current project."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

from headwater.project import Project
from headwater.track import ActiveRun
from headwater.track import track as track_run

from .current import current_project


def track(
    name: str, params: dict[str, Any] | None = None, *, project: Project | None = None, **options: Any
) -> AbstractContextManager[ActiveRun]:
    """Return a block that is a run: ``with hw.track("fit", {"depth": 8}) as run: run.log(loss=0.3)``."""
    return track_run(project or current_project(), name, params, **options)

"""``hw serve``: predictions over HTTP and nothing else."""

from __future__ import annotations

import os

from starlette.applications import Starlette

from headwater.project import LocalProject, open_project
from headwater.serve import serve_app

from .identity import actor_of


def create_app() -> Starlette:
    """Return the application for the project that $HEADWATER_PROJECT names; what granian's worker calls."""
    project = open_project(os.environ.get("HEADWATER_PROJECT"))
    assert isinstance(project, LocalProject), "a server opens its project by folder"
    return serve_app(project, identify=actor_of)

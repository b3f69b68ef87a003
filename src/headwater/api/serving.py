"""``hw serve``: predictions over HTTP and nothing else."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from headwater.project import LocalProject, open_project
from headwater.serve import serve_app

from .identity import actor_of

if TYPE_CHECKING:
    from headwater.serve.http import Front

MODELS = "HEADWATER_SERVE_MODELS"
"""What a server answers for, as it was told: names or NAME@CHANNEL, separated by spaces; unset for all."""


def create_app() -> Front:
    """Return the application for the project that $HEADWATER_PROJECT names; what granian's worker calls."""
    project = open_project(os.environ.get("HEADWATER_PROJECT"))
    assert isinstance(project, LocalProject), "a server opens its project by folder"
    models = os.environ.get(MODELS, "").split()
    return serve_app(project, identify=actor_of, models=models or None)

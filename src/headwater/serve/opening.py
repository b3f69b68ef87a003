"""Opening a version to serve it: in this process, or in one of its own where its flavour or the settings want that."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from headwater.model import load_version

from .isolation import Isolated
from .settings import read_settings

if TYPE_CHECKING:
    from headwater.model import Loaded, ModelVersion
    from headwater.project import LocalProject, Project

RUN_CODE = frozenset({"python", "mlflow", "pytorch"})
"""Flavours whose files hold code: what it may do to its process nobody knows."""


def open_version(project: Project, version: ModelVersion) -> Loaded:
    """Return a version ready to answer; raises as ``headwater.model.load`` does."""
    settings = read_settings(cast("LocalProject", project).settings).of(version.model)
    if settings.isolate == "always" or (settings.isolate == "auto" and version.flavour in RUN_CODE):
        return Isolated(version, project.objects.get, settings)
    return load_version(project, version)

"""Loading a model version: the same bytes and one thread, so that it answers the same each time."""

from __future__ import annotations

from headwater.project import Project

from .execution import execution_of
from .flavours import open_flavour
from .loaded import Loaded
from .registry import get_model_version
from .values import ModelVersion

__all__ = ["Loaded", "load", "load_version"]


def load(project: Project, ref: str, *, flavour: str | None = None) -> Loaded:
    """Return the version a ref names, ready to predict with one thread; ``flavour`` picks another of its files.

    Works with a project opened by URL: the bytes come through the project's objects and are verified.

    Raises:
        NotFoundError: there is no such version, or it has no file of that flavour.
        MissingExtraError: the flavour's engine is not installed.
        RefusedError: loading would construct a type that was not trusted when the version was registered.
    """
    return load_version(project, get_model_version(project, ref), flavour=flavour)


def load_version(project: Project, version: ModelVersion, *, flavour: str | None = None) -> Loaded:
    """Return a version ready to predict; see ``load``."""
    predictor = open_flavour(version, project.objects.get, flavour or version.flavour)
    return Loaded(version, predictor, execution_of(flavour or version.flavour))

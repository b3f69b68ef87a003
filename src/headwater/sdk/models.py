"""Registering and loading models of the current project."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headwater.evaluate import register_model as register_estimator
from headwater.flow import current_run_id
from headwater.model import Loaded, ModelVersion, load
from headwater.project import Project, current_project, open_project
from headwater.project.opening import find_root

if TYPE_CHECKING:
    from headwater.serve.following import FollowedModel


def register_model(
    name: str, estimator: Any, sample: Any, *, project: Project | None = None, **details: Any
) -> ModelVersion:
    """Register a fitted scikit-learn estimator: files, contract, training profile, ONNX export and its parity.

    ``details`` are those of ``headwater.evaluate.register_model``: params, metrics, trained_on, card, …; ``run`` is the
    flow's run that calls it, unless given.
    """
    return register_estimator(
        project or current_project(), name, estimator, sample, **{"run": current_run_id(), **details}
    )


def load_model(ref: str, *, project: Project | None = None) -> Loaded:
    """Return the version that a ref names, ready to predict: ``hw.load_model("delay@production").predict(rows)``."""
    return load(project or current_project(), ref)


def model(
    ref: str, *, project: Project | str | None = None, record: bool = True, every_s: float = 1.0
) -> FollowedModel:
    """Return the version that a channel points to, which follows it: ``hw.model("delay@production").predict(rows)``.

    A release takes over within ``every_s`` seconds, between two answers. While the project cannot be reached the last
    known version answers, also in a process that starts then; predictions (``record``) wait on the disk and are sent
    later. ``project`` is a project, or the folder or URL of one; the current one unless given.

    Raises:
        NotFoundError: there is no such model, or nothing was released to the channel.
        UnavailableError: the project cannot be reached, and no version is kept on this machine.
    """
    from headwater.serve.following import FollowedModel

    connect, place = _connecting(project)
    return FollowedModel(ref, connect, place, record=record, every_s=every_s)


def _connecting(project: Project | str | None) -> tuple[Callable[[], Project], str]:
    """Return what opens a project, now or when it can be reached, and the place by which it is known."""
    if isinstance(project, str):
        return (lambda: open_project(project)), project
    if project is not None:
        return (lambda: project), str(getattr(project, "url", None) or project.root)
    place = os.environ.get("HEADWATER_PROJECT") or str(find_root(Path.cwd()))
    return (lambda: open_project(place)), place

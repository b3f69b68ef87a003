"""Finding the model version that a run left."""

from __future__ import annotations

from typing import Any

from headwater.flow import get_tasks
from headwater.model import ModelVersion, find_model_version, list_model_versions
from headwater.project import Project
from headwater.track import Run

from .pipeline import Pipeline
from .walking import StageFailed

_REMEMBERED_AMONG = 50
"""How many of a model's newest versions are looked at for the one that a remembered run made."""


def version_made_by(project: Project, pipeline: Pipeline, run: Run, returned: Any) -> ModelVersion:
    """Return the version that a run made, or that the run made whose results it remembered.

    That is what the flow returned where it names a version; else the version that names the run; else the newest one
    that was registered by steps whose results this run remembered.

    Raises:
        StageFailed: there is none.
    """
    model = pipeline.model
    if isinstance(returned, str):
        named = find_model_version(project, returned)
        if named is not None and named.model == model:
            return named
    versions = list_model_versions(project, model, limit=_REMEMBERED_AMONG)
    for version in versions:
        if version.run == run.id:
            return version
    results = {task.result for task in get_tasks(project, run.id) if task.result}
    for version in versions:
        if version.run and results and _registered_by(project, version) <= results:
            return version
    raise StageFailed(
        f"the run {run.id} of '{pipeline.flow}' left no version of '{model}'. A flow that is delivered registers "
        "one (hw.register_model) and returns its id"
    )


def _registered_by(project: Project, version: ModelVersion) -> set[str]:
    """Return the results of the steps that were under way when a version was registered; "" for one without."""
    assert version.run is not None
    tasks = get_tasks(project, version.run)
    under_way = [task for task in tasks if task.started_at <= version.created_at <= task.ended_at]
    return {task.result or "" for task in under_way} or {""}

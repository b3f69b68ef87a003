"""A version's name also says how it was measured beside its parent, once both were evaluated on the same rows."""

from __future__ import annotations

from headwater.model import ModelVersion, find_model_version
from headwater.model.naming import measured_change
from headwater.model.registry import tell_measured
from headwater.project import Project

from .evidence import list_evidence
from .tasks import MAIN_METRIC
from .values import Evidence


def tell_version(project: Project, version: ModelVersion, evidence: Evidence) -> str:
    """Add to a version's name what an evaluation of it shows beside its parent's on the same rows; return that.

    Nothing is added where the parent was not evaluated on these rows, or did not differ.
    """
    parent = find_model_version(project, version.parent) if version.parent else None
    if parent is None:
        return ""
    for earlier in list_evidence(project, parent.ref, kind="evaluation"):
        body = earlier.body
        if all(body.get(each) == evidence.body[each] for each in ("rows_digest", "task")):
            said = measured_change(MAIN_METRIC[body["task"]], body, evidence.body)
            if said:
                tell_measured(project, version.id, said)
            return said
    return ""

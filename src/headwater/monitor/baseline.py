"""What a version is held against: its training profile and its newest evaluation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from headwater.errors import NotFoundError
from headwater.evaluate.evidence import read_evidence
from headwater.model import documents, get_model_version

if TYPE_CHECKING:
    from headwater.model import ModelVersion
    from headwater.project import Project

Profile = dict[str, Any]


class Baseline(msgspec.Struct, frozen=True, kw_only=True):
    """A version with the profiles of its inputs and outputs, and the metrics of its evaluation; empty where unknown.

    ``evidence`` is the ref of that evaluation. ``notes`` say in sentences what is missing.
    """

    version: ModelVersion
    inputs: dict[str, Profile]
    outputs: dict[str, Profile]
    metrics: dict[str, dict[str, float]]
    evidence: str | None
    notes: tuple[str, ...]


def read_baseline(project: Project, version_id: str) -> Baseline:
    """Return what a version is held against."""
    version = get_model_version(project, version_id)
    notes = []
    profile: dict[str, Any] = {}
    if version.reference is None:
        notes.append(f"{version.label} was registered without a training profile, so its drift cannot be measured.")
    else:
        try:
            profile = documents.parse(project.objects.get(version.reference).decode())
        except NotFoundError as error:
            notes.append(f"the training profile of {version.label} is gone, so its drift cannot be measured: {error}")
    with project.ledger.read() as tx:
        found = read_evidence(tx, version.ref, "evaluation", limit=1)
    if not found:
        notes.append(
            f"{version.label} has no evaluation, so there is no value that its performance could fall below. "
            f"Run 'hw model evaluate {version.label}'."
        )
    inputs, outputs = profile.get("inputs", {}), profile.get("outputs", {})
    # What is personal is not kept of predictions, so there is nothing to compare with training.
    watched = [each for each in version.contract.inputs if each.name in inputs and not each.personal]
    return Baseline(
        version=version,
        inputs={each.name: inputs[each.name] for each in watched},
        outputs={each.name: outputs[each.name] for each in version.contract.outputs if each.name in outputs},
        metrics=found[0].body.get("metrics", {}) if found else {},
        evidence=f"evidence:{found[0].id}" if found else None,
        notes=tuple(notes),
    )

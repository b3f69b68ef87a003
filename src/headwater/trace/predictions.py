"""The lineage of predictions: they are events, so what they came from is told by the event itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headwater.errors import NotFoundError
from headwater.model import get_model_version
from headwater.serve import Prediction, get_prediction

from .describing import About

if TYPE_CHECKING:
    from headwater.project import Project


def about_prediction(project: Project, ref: str) -> About | None:
    """Return a prediction's inputs, outputs and circumstances; None when there is none of that id."""
    found = _find(project, ref)
    if found is None:
        return None
    version = get_model_version(project, found.version)
    facts = {
        "model": found.model,
        "version": version.label,
        "channel": found.channel,
        "occurred_at": found.occurred_at,
        "recorded_at": found.recorded_at,
        "inputs": found.inputs,
        "outputs": found.outputs,
        "batch": found.batch,
        "position": found.position,
        "batch_size": found.batch_size,
        "execution": found.execution,
    }
    if found.outcome_at is not None:
        facts |= {"outcome": found.outcome, "outcome_at": found.outcome_at}
    return About(title=f"prediction by {version.label}", facts=facts)


def parents_of_prediction(project: Project, ref: str) -> list[tuple[str, str, str]]:
    """Return the edges from a prediction to its model version, and to the release that had put it in its channel."""
    found = _find(project, ref)
    if found is None:
        return []
    edges = [(ref, "model", f"modelversion:{found.version}")]
    with project.ledger.read() as tx:
        release = tx.one(
            "SELECT id FROM releases WHERE model = ? AND channel = ? AND version = ? AND released_at <= ? "
            "ORDER BY seq DESC LIMIT 1",
            (found.model, found.channel, found.version, found.recorded_at),
        )
    if release is not None:
        edges.append((ref, "release", f"release:{release.id}"))
    return edges


def served_by_version(project: Project, ref: str) -> tuple[str, About] | None:
    """Return a ref that stands for all predictions of a model version, and how many there are; None without any."""
    version = ref.partition(":")[2]
    count, first, last = project.events.query(
        "SELECT count(*), min(occurred_at), max(occurred_at) FROM predictions WHERE version = ?",
        [version],
        streams=["predictions"],
    ).fetchall()[0]
    if not count:
        return None
    facts = {"predictions": count, "first_at": first, "last_at": last}
    return f"predictions:{version}", About(title=f"{count:,} predictions", facts=facts)


def _find(project: Project, ref: str) -> Prediction | None:
    try:
        return get_prediction(project, ref)
    except NotFoundError:
        return None

"""Outcomes: what turned out to be true of predictions, joined to them by id."""

from __future__ import annotations

from collections.abc import Sequence

from headwater.errors import InvalidInputError
from headwater.ids import is_id, parse
from headwater.model import documents
from headwater.operation import operation
from headwater.project import Project

from . import recording
from .limits import checked_moment
from .recent import recent_ids
from .values import Outcome, OutcomeReport

LATEST_OUTCOMES = (
    "SELECT prediction, arg_max(label, recorded_at) AS label, arg_max(occurred_at, recorded_at) AS outcome_at "
    "FROM outcomes GROUP BY prediction"
)
"""SQL over the stream: the newest label of each prediction."""


@operation("serve.outcomes.record", needs="serve:predict", audited=False)
def record_outcomes(project: Project, outcomes: Sequence[Outcome], *, source: str = "") -> OutcomeReport:
    """Keep what turned out to be true of predictions; the newest label of a prediction counts.

    Outcomes of ids that no prediction has are not kept but reported. ``source`` says where the truth comes from. Of
    two outcomes of one prediction in one call, the last counts.

    Raises:
        InvalidInputError: one happened at a time that cannot be kept.
        StorageError: the disk or the database failed.
    """
    latest = {each.prediction.removeprefix("prediction:").upper(): each for each in outcomes}
    wellformed = {parse(key): each for key, each in latest.items() if is_id(key)}
    known = known_predictions(project, list(wellformed))
    now = project.clock()
    rows = [
        {
            "prediction": key,
            "occurred_at": checked_moment(each.occurred_at) if each.occurred_at is not None else now,
            "label": documents.dump(each.label),
            "source": source,
        }
        for key, each in wellformed.items()
        if key in known
    ]
    project.events.append(recording.OUTCOMES.name, rows)
    unknown = [each.prediction for key, each in latest.items() if not is_id(key) or parse(key) not in known]
    return OutcomeReport(recorded=len(rows), unknown=tuple(unknown))


def known_predictions(project: Project, ids: Sequence[str]) -> set[str]:
    """Return which of some ids are of predictions: this process remembers its latest, the log is asked for the rest."""
    recent = recent_ids(project.events).among(ids)
    rest = [each for each in ids if each not in recent]
    if not rest:
        return recent
    found = project.events.query(
        "SELECT prediction FROM predictions WHERE prediction BETWEEN ? AND ? "
        "AND prediction IN (SELECT unnest(?::VARCHAR[]))",
        [min(rest), max(rest), rest],
        streams=["predictions"],
    )
    return recent | {row[0] for row in found.fetchall()}


def parse_outcomes(given: object) -> list[Outcome]:
    """Return outcomes from plain dicts, for callers who have no types.

    Raises:
        InvalidInputError: one lacks its prediction or its label.
    """
    import msgspec

    try:
        return msgspec.convert(given, list[Outcome])
    except msgspec.ValidationError as error:
        raise InvalidInputError(f"these are no outcomes: {error}. Each needs 'prediction' and 'label'.") from error

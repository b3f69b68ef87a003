"""Reading kept predictions: one, a page of them, and how many there were when."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from headwater import canonical
from headwater.errors import InvalidInputError, NotFoundError
from headwater.ids import is_id, parse
from headwater.model import documents
from headwater.operation import operation
from headwater.project import Project

from . import recording
from .outcomes import LATEST_OUTCOMES
from .values import Prediction, ServingCount

_COLUMNS = (
    "p.prediction, p.batch, p.position, p.batch_size, p.model, p.version, p.channel, p.occurred_at, p.recorded_at, "
    "p.inputs, p.outputs, p.execution, p.latency_us, p.caller, p.left_out, p.commitment"
)
_STREAM = recording.PREDICTIONS.name


@operation("serve.predictions.get", needs="serve:read")
def get_prediction(project: Project, prediction: str) -> Prediction:
    """Return one prediction by id or ref, with its newest outcome.

    Raises:
        NotFoundError: there is none of that id.
    """
    identifier = prediction.removeprefix("prediction:")
    if not is_id(identifier):
        raise InvalidInputError(f"'{prediction}' does not name a prediction: write prediction:ID, or the id alone.")
    found = _fetch(project, "p.prediction = ?", [parse(identifier)], 1)
    if not found:
        raise NotFoundError(f"there is no prediction '{identifier}'. 'hw serve log' lists the newest ones.")
    return found[0]


@operation("serve.predictions.list", needs="serve:read")
def list_predictions(
    project: Project,
    model: str | None = None,
    *,
    version: str | None = None,
    channel: str | None = None,
    start: int | None = None,
    end: int | None = None,
    limit: int = 50,
    before: str | None = None,
) -> list[Prediction]:
    """Return predictions, newest first by id; ``before`` is the id to continue behind.

    ``version`` is the id of a model version; ``start`` and ``end`` (excluded) limit ``occurred_at``.
    """
    given = {"model = ?": model, "version = ?": version, "channel = ?": channel, "prediction < ?": before}
    clauses = [f"p.{clause}" for clause, value in given.items() if value is not None]
    values = [value for value in given.values() if value is not None]
    return _fetch(project, " AND ".join(clauses) or "true", values, limit, start, end)


@operation("serve.predictions.count", needs="serve:read")
def count_predictions(
    project: Project,
    model: str | None = None,
    *,
    start: int | None = None,
    end: int | None = None,
    bucket_s: int = 86_400,
) -> list[ServingCount]:
    """Return predictions per version, channel and stretch of ``bucket_s`` seconds of ``occurred_at``, oldest first."""
    width = bucket_s * 1_000_000
    rows = project.events.query(
        "SELECT model, version, channel, occurred_at - occurred_at % ? AS start_at, count(*), "
        "quantile_disc(latency_us, 0.5), quantile_disc(latency_us, 0.99), "
        "count(*) FILTER (WHERE left_out <> '*'), count(*) FILTER (WHERE left_out = '*') FROM predictions "
        "WHERE model = coalesce(?, model) GROUP BY ALL ORDER BY start_at, model, channel, version",
        [width, model],
        streams=[_STREAM],
        start=start,
        end=end,
    ).fetchall()
    return [
        ServingCount(
            model=name,
            version=version,
            channel=channel,
            start_at=start_at,
            predictions=count,
            latency_p50_us=p50,
            latency_p99_us=p99,
            masked=masked,
            sampled_out=sampled_out,
        )
        for name, version, channel, start_at, count, p50, p99, masked, sampled_out in rows
    ]


def _fetch(
    project: Project,
    where: str,
    values: Sequence[Any],
    limit: int,
    start: int | None = None,
    end: int | None = None,
) -> list[Prediction]:
    page = project.events.query(
        f"SELECT {_COLUMNS} FROM predictions p WHERE {where} ORDER BY p.prediction DESC LIMIT {int(limit)}",
        values,
        streams=[_STREAM],
        start=start,
        end=end,
    ).dicts()
    outcomes = latest_outcomes(project, [row["prediction"] for row in page])
    return [_prediction(row, outcomes) for row in page]


def latest_outcomes(project: Project, ids: Sequence[str]) -> dict[str, tuple[Any, int]]:
    """Return the newest label of each of some predictions that has one, and when it happened."""
    if not ids:
        return {}
    rows = project.events.query(
        f"SELECT * FROM ({LATEST_OUTCOMES}) WHERE prediction IN (SELECT unnest(?::VARCHAR[]))",
        [list(ids)],
        streams=["outcomes"],
    ).fetchall()
    return {prediction: (documents.parse(label), at) for prediction, label, at in rows}


def _prediction(row: dict[str, Any], outcomes: dict[str, tuple[Any, int]]) -> Prediction:
    outcome, outcome_at = outcomes.get(row["prediction"], (None, None))
    return Prediction(
        id=row["prediction"],
        inputs=canonical.decode(row["inputs"]) if row["inputs"] else {},
        outputs=canonical.decode(row["outputs"]) if row["outputs"] else {},
        outcome=outcome,
        outcome_at=outcome_at,
        **{key: row[key] for key in row if key not in ("prediction", "inputs", "outputs")},
    )

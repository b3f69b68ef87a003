"""Taking in predictions that were made elsewhere: by a process that follows a channel by itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import msgspec

from headwater import canonical
from headwater.errors import ConflictError, InvalidInputError, UnavailableError
from headwater.ids import parse
from headwater.lake.turns import in_turn
from headwater.model import Execution, ModelVersion, get_model_version
from headwater.operation import operation
from headwater.project import LocalProject, Project

from . import recording
from .keeping import Keeping, check_mask, commitment_key
from .limits import checked_moment
from .outcomes import known_predictions
from .recent import recent_ids
from .settings import read_settings

MOST = 10_000
_RECEIVING = "predictions_received"
"""The counter whose row whoever receives on Postgres holds; it counts the calls."""


class MadePrediction(msgspec.Struct, frozen=True, kw_only=True):
    """One prediction made elsewhere; as the event of that name, with the version by id and bytes in canonical form."""

    prediction: str
    batch: str
    position: int
    batch_size: int
    version: str
    channel: str
    occurred_at: int
    inputs: bytes
    outputs: bytes
    latency_us: int


class Received(msgspec.Struct, frozen=True, kw_only=True):
    """How many predictions were kept now, and how many had been kept before."""

    kept: int
    known: int


@operation("serve.predictions.receive", needs="serve:predict", audited=False)
def receive_predictions(project: Project, predictions: Sequence[MadePrediction], execution: Execution) -> Received:
    """Keep predictions that were computed elsewhere, each once however often it is sent.

    Of their inputs is kept what the model's policy and the contract's personal fields leave. Servers receive one call
    after the other, on one machine and on several: a call and its repetition must not both find the predictions
    unknown.

    Raises:
        InvalidInputError: there are too many, an id is none, or bytes are not canonical.
        NotFoundError: a model version is not of this project.
        UnavailableError: others were received for long, or the settings of a model are wrong; send them again.
        StorageError: the disk or the database failed; send them again.
    """
    if len(predictions) > MOST:
        raise InvalidInputError(f"{len(predictions):,} predictions at once; at most {MOST:,} may be sent.")
    ids = [parse(each.prediction) for each in predictions]
    models = {each.version: get_model_version(project, each.version) for each in predictions}
    rows = {identifier: _rows(each) for identifier, each in zip(ids, predictions, strict=True)}
    digest = recording.record_execution(project, execution)
    keepings = {version.id: _keeping(project, version) for version in models.values()}
    events = {
        identifier: {
            "prediction": identifier,
            "batch": each.batch,
            "position": each.position,
            "batch_size": each.batch_size,
            "model": models[each.version].model,
            "version": models[each.version].id,
            "channel": each.channel,
            "occurred_at": checked_moment(each.occurred_at),
            "execution": digest,
            "latency_us": each.latency_us,
            "caller": project.actor.name,
            **keepings[models[each.version].id].row(identifier, *rows[identifier]),
        }
        for identifier, each in zip(ids, predictions, strict=True)
    }
    with in_turn(project, recording.PREDICTIONS.name, "receive") as in_time:
        if not in_time:
            raise UnavailableError("this server is busy with predictions that others sent: send them again.")
        new = _append_new(project, events)
        recent_ids(project.events).add(new)
    return Received(kept=len(new), known=len(predictions) - len(new))


def _append_new(project: Project, events: dict[str, dict[str, Any]]) -> list[str]:
    """Append those events, by the ids of their predictions, that are not there yet; return their ids.

    A project in a folder is of one machine, whose turn the caller has. Servers that share Postgres may be on several:
    each holds a row of the ledger from before it looks until its rows are committed with it, so that of a call and
    its repetition the second looks when the first is there.
    """
    if project.ledger.dialect != "postgres":
        new = _unknown(project, events)
        project.events.append(recording.PREDICTIONS.name, [events[each] for each in new])
        return new
    try:
        return _append_new_alone(project, events, alone=False)
    except ConflictError:
        # Not of these rows: a hook of the ledger recorded packs meanwhile (events.table).
        return _append_new_alone(project, events, alone=True)


def _append_new_alone(project: Project, events: dict[str, dict[str, Any]], *, alone: bool) -> list[str]:
    with project.ledger.write(alone=alone) as tx:
        tx.next(_RECEIVING)
        new = _unknown(project, events)
        project.events.append_within(tx, recording.PREDICTIONS.name, [events[each] for each in new])
    return new


def _unknown(project: Project, events: dict[str, dict[str, Any]]) -> list[str]:
    known = known_predictions(project, list(events))
    return [each for each in events if each not in known]


def _keeping(project: Project, version: ModelVersion) -> Keeping:
    settings = read_settings(project.settings).of(version.model)
    try:
        check_mask(project, settings, version)
    except InvalidInputError as error:  # whoever sends them can do nothing about it: they wait until it is corrected
        raise UnavailableError(f"predictions of {version.label} are not kept now: {error.message}") from error
    return Keeping(settings, version.contract, commitment_key(cast(LocalProject, project)))


def _rows(given: MadePrediction) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the inputs and outputs of a prediction."""
    try:
        inputs, outputs = canonical.decode(given.inputs), canonical.decode(given.outputs)
    except msgspec.DecodeError:
        inputs = outputs = None
    if not isinstance(inputs, dict) or not isinstance(outputs, dict) or not 0 <= given.position < given.batch_size:
        raise InvalidInputError(
            f"prediction '{given.prediction}' cannot be kept: its inputs or outputs are no canonical row, or its "
            "position is beyond its batch."
        )
    return inputs, outputs

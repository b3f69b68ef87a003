"""Recorded traffic: the rows that a channel was asked and answered, newest first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from headwater import canonical
from headwater.errors import NotFoundError
from headwater.model import ModelVersion, get_model, get_model_version

from ..recording import PREDICTIONS

if TYPE_CHECKING:
    from headwater.project import Project


class Recorded(msgspec.Struct, frozen=True, kw_only=True):
    """One row as it was asked and answered; ``inputs`` is None where they were sampled out or partly masked."""

    prediction: str
    version: str
    caller: str
    occurred_at: int
    inputs: dict[str, Any] | None
    outputs: dict[str, Any]


class Traffic(msgspec.Struct, frozen=True, kw_only=True):
    """Some recorded rows of a channel, in the order they were made in, and what the channel points to."""

    champion: ModelVersion
    rows: list[Recorded]

    @property
    def kept(self) -> list[Recorded]:
        """The rows that can be asked again."""
        return [each for each in self.rows if each.inputs is not None]

    @property
    def span(self) -> tuple[int, int]:
        """The times of the oldest and the newest row; zeros without any."""
        times = [each.occurred_at for each in self.rows]
        return (min(times), max(times)) if times else (0, 0)


def champion_of(project: Project, model: str, channel: str) -> ModelVersion:
    """Return what a channel points to.

    Raises:
        NotFoundError: nothing was released to it, so that nothing can be recorded of it.
    """
    found = get_model(project, model).channels.get(channel)
    if found is None:
        raise NotFoundError(
            f"nothing of '{model}' was released to {channel}, so it has no recorded traffic to rehearse with. "
            "The first release of a channel needs none.",
            model=model,
            channel=channel,
        )
    return get_model_version(project, found)


def read_recorded(
    project: Project,
    model: str,
    channel: str,
    *,
    start: int | None = None,
    end: int | None = None,
    rows: int,
    callers: Sequence[str] | None = None,
) -> list[Recorded]:
    """Return the newest rows that a channel answered, oldest first; ``callers`` only those of some callers.

    ``start`` and ``end`` (excluded) limit ``occurred_at``.
    """
    asked = "" if callers is None else "AND coalesce(caller, '') IN (SELECT unnest(?::VARCHAR[]))"
    found = project.events.query(
        "SELECT prediction, version, caller, occurred_at, inputs, outputs, left_out FROM predictions "
        f"WHERE model = ? AND channel = ? {asked} ORDER BY prediction DESC LIMIT {int(rows)}",
        [model, channel, *([] if callers is None else [list(callers)])],
        streams=[PREDICTIONS.name],
        start=start,
        end=end,
    ).dicts()
    return [_recorded(row) for row in reversed(found)]


def _recorded(row: dict[str, Any]) -> Recorded:
    whole = row["inputs"] is not None and not row["left_out"]
    return Recorded(
        prediction=row["prediction"],
        version=row["version"],
        caller=row["caller"] or "",
        occurred_at=row["occurred_at"],
        inputs=canonical.decode(row["inputs"]) if whole else None,
        outputs=canonical.decode(row["outputs"]) if row["outputs"] is not None else {},
    )

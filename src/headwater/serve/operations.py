"""Predicting, and what is served, as operations."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from typing import Any, cast

from headwater.operation import operation
from headwater.project import LocalProject, Project

from .engine import Engine, fleet_of, served_by
from .values import Answer, Served


@operation("serve.predict", needs="serve:predict", audited=False)
def predict(
    project: Project,
    model: str,
    rows: Sequence[dict[str, Any]],
    *,
    occurred_at: int | None = None,
    channel: str = "production",
    key: str = "",
) -> Answer:
    """Return a model's answer to some rows; each is kept as a prediction before it is given.

    While a canary grows, calls of the same ``key`` are answered by the same version; without one chance decides.

    Raises:
        NotFoundError: there is no such model, or nothing was released to the channel.
        ContractError: rows do not keep the contract; it lists every problem.
        StorageError: the answer could not be kept, so it is not given.
    """
    with closing(Engine(cast(LocalProject, project))) as engine:  # a shadow's copy is computed by a thread of its own
        caller = project.actor.name
        return engine.predict(model, rows, occurred_at=occurred_at, channel=channel, caller=caller, key=key)


@operation("serve.list", needs="serve:read")
def list_served(project: Project) -> list[Served]:
    """Return what the channels of all models point to, by model and channel."""
    return served_by(project, fleet_of(project))

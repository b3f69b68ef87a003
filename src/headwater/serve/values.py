"""What serving hands out: answers, what is deployed, kept predictions, and what came of outcomes."""

from __future__ import annotations

from typing import Any

import msgspec


class Answer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The answer to one request, by one model version.

    ``predictions`` has one dict per row in the order asked: ``id`` and the outputs of the contract. ``id`` is the id of
    the first of them. ``version`` is the number people use (``v3``), ``model_version``
    the id that travels. ``notice`` is there only while the ledger is away: the answer is by the last known release.
    """

    id: str
    model: str
    version: str
    model_version: str
    channel: str
    occurred_at: int
    predictions: list[dict[str, Any]]
    notice: str = ""


class Served(msgspec.Struct, frozen=True, kw_only=True):
    """A version that a channel of a model points to. ``loaded``: this process has it ready to answer."""

    model: str
    channel: str
    version: str
    number: int
    loaded: bool
    flavour: str
    latency_us: int | None = None
    """How long one row took when it was warmed up; None before."""


class Prediction(msgspec.Struct, frozen=True, kw_only=True):
    """One kept prediction: its inputs as validated, its outputs as answered, and who computed it how.

    ``batch`` and ``position`` say where in which request the row stood; ``execution`` is the digest of the record
    of engines, threads and CPU. ``outcome`` is the newest label that arrived, None while there is none.
    ``caller`` is who asked. ``left_out`` names the inputs that were masked (they are None), or is ``*`` where inputs
    and outputs were sampled out (they are empty); None where all is kept. Then ``commitment`` is to the inputs.
    """

    id: str
    batch: str
    position: int
    batch_size: int
    model: str
    version: str
    channel: str
    occurred_at: int
    recorded_at: int
    inputs: dict[str, Any]
    outputs: dict[str, Any]
    execution: str
    latency_us: int
    caller: str | None = None
    left_out: str | None = None
    commitment: str | None = None
    outcome: Any = None
    outcome_at: int | None = None

    @property
    def ref(self) -> str:
        """The text that names this prediction everywhere."""
        return f"prediction:{self.id}"


class ServingCount(msgspec.Struct, frozen=True, kw_only=True):
    """How many predictions a version gave on a channel in one stretch of time, how fast, and how many have outcomes.

    Times are of ``occurred_at``. ``latency_p50_us`` and ``latency_p99_us`` are of computing, without the network.
    """

    model: str
    version: str
    channel: str
    start_at: int
    predictions: int
    latency_p50_us: int
    latency_p99_us: int
    masked: int = 0
    """How many of them were kept without some of their inputs."""
    sampled_out: int = 0
    """How many of them were kept without inputs and outputs."""


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What turned out to be true of a prediction. ``label`` is any JSON value; ``occurred_at`` None means now."""

    prediction: str
    label: Any
    occurred_at: int | None = None


class OutcomeReport(msgspec.Struct, frozen=True, kw_only=True):
    """How many outcomes were kept, and the ids that no prediction has; those were not kept."""

    recorded: int
    unknown: tuple[str, ...] = ()

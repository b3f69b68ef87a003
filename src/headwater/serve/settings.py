"""How serving is set up: the table ``[serve]`` of headwater.toml, and ``[serve.models.NAME]`` for each model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

from headwater.errors import InvalidInputError

if TYPE_CHECKING:
    from headwater.project.settings import Settings

TABLE = "serve"


class ModelSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How one model is served.

    ``events``: ``group`` keeps predictions of requests under way with one sync, ``sync`` gives each request a sync of
    its own, ``sampled`` keeps the inputs and outputs of the share ``sample`` and waits for those alone. ``mask`` names
    inputs that are never kept, beside those that the contract calls personal.

    ``batching``: rows of requests under way are computed together; ``auto`` where the version was seen to give the same
    bytes alone and together, ``on`` for any version (a replay repeats the batch), ``off`` for none.

    ``isolate``: the model runs in a process of its own, which is killed when an answer takes longer than ``answer_s``
    seconds or when it holds more than ``most_memory_mib``; ``auto`` isolates flavours that run code of others.
    """

    events: Literal["group", "sync", "sampled"] = "group"
    sample: float = 1.0
    mask: tuple[str, ...] = ()
    batching: Literal["auto", "on", "off"] = "auto"
    most_batch_rows: int = 64
    isolate: Literal["auto", "always", "never"] = "auto"
    answer_s: float = 30.0
    most_memory_mib: int = 4096

    def __post_init__(self) -> None:
        if not 0 <= self.sample <= 1 or self.most_batch_rows < 1 or self.answer_s <= 0 or self.most_memory_mib < 1:
            raise ValueError("sample is from 0 to 1; most_batch_rows, answer_s and most_memory_mib are positive")


class ServeSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one process takes on at once.

    ``most_under_way`` requests are begun at the same time, ``most_per_caller`` of one caller (0: as many as there are);
    the next is turned away at once with the time to wait. A request is answered within ``deadline_s`` seconds or not
    at all, and its body must arrive within ``body_s``.
    """

    most_under_way: int = 512
    most_per_caller: int = 0
    deadline_s: float = 30.0
    body_s: float = 20.0
    models: dict[str, ModelSettings] = {}

    def of(self, model: str) -> ModelSettings:
        """Return how a model is served."""
        return self.models.get(model, _PLAIN)


_PLAIN = ModelSettings()


def read_settings(settings: Settings) -> ServeSettings:
    """Return what headwater.toml says of serving.

    Raises:
        InvalidInputError: a name is unknown or a value does not fit; the message says which.
    """
    try:
        return msgspec.convert(settings.table(TABLE), ServeSettings)
    except msgspec.ValidationError as error:
        raise InvalidInputError(
            f"[{TABLE}] in headwater.toml cannot be used: {error}. The names are "
            f"{', '.join(ServeSettings.__struct_fields__)}; of a model in [{TABLE}.models.NAME]: "
            f"{', '.join(ModelSettings.__struct_fields__)}."
        ) from error
